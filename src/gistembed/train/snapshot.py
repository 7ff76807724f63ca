"""All that a training run goes on from, as safetensors and JSON, which run no code when they are read."""

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from gistembed.errors import UserError
from gistembed.files import write_whole

_WEIGHTS = "weights.safetensors"
_TENSORS = "state.safetensors"
_VALUES = "state.json"
# Of activation checkpointing and of torch.compile.
_WRAPPERS = ("_checkpoint_wrapped_module.", "_orig_mod.")


def trained_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters that learn and buffers that are saved, by name; what is tied has one name.

    The rest comes from the student's own folder, which a resumed run has checked to be the same.

    Args:
        model: The model; its weights may lie in parts.
    """
    persistent = {plain_name(name) for name in model.state_dict()}
    learning = {name: tensor for name, tensor in model.named_parameters() if tensor.requires_grad}
    tensors = learning | dict(model.named_buffers())
    return {
        plain: tensor
        for name, tensor in tensors.items()
        if (plain := plain_name(name)) in persistent or name in learning
    }


def plain_name(name: str) -> str:
    """The name of a weight without what training has wrapped around its module.

    Args:
        name: The name as the model in training has it.
    """
    for wrapper in _WRAPPERS:
        name = name.replace(wrapper, "")
    return name


def save_weights(weights: Mapping[str, Tensor], folder: Path) -> None:
    """Write what training changes in a model.

    Args:
        weights: The whole tensors under the names of `trained_tensors`.
        folder: Where to write.
    """
    save_file({name: _plain(tensor) for name, tensor in weights.items()}, folder / _WEIGHTS)


def saved_weights(model: nn.Module, folder: Path) -> dict[str, Tensor]:
    """What `save_weights` wrote, on the CPU.

    Args:
        model: What it was written of.
        folder: Where it was written.

    Raises:
        UserError: If the model has other parameters than the one that was saved.
    """
    saved = load_file(folder / _WEIGHTS)
    shapes = [
        {name: tuple(tensor.shape) for name, tensor in one.items()} for one in (saved, trained_tensors(model))
    ]
    if shapes[0] != shapes[1]:
        raise UserError(f"{folder}: holds another model than the student; choose another --out")
    return saved


def load_weights(model: nn.Module, folder: Path) -> None:
    """Put back what `save_weights` wrote.

    Raises:
        UserError: If the model has other parameters than the one that was saved.
    """
    saved = saved_weights(model, folder)
    with torch.no_grad():
        for name, tensor in trained_tensors(model).items():
            tensor.copy_(saved[name])


def save_state(state: Mapping[str, Any], folder: Path) -> None:
    """Write a tree of dicts, lists, tuples, tensors and plain values.

    Args:
        state: The tree.
        folder: Where to write.

    Raises:
        TypeError: If there is anything else in it.
    """
    tensors: dict[str, Tensor] = {}
    values = _pack(dict(state), tensors, "state")
    save_file(tensors, folder / _TENSORS)
    write_whole(folder / _VALUES, json.dumps(values).encode())


def load_state(folder: Path) -> dict[str, Any]:
    """The tree that `save_state` wrote, equal in every type and bit; tensors are on the CPU."""
    values = json.loads((folder / _VALUES).read_bytes())
    state: dict[str, Any] = _unpack(values, load_file(folder / _TENSORS))
    return state


def random_state() -> dict[str, Any]:
    """The state of every random generator that training may draw from, in this process."""
    name, key, position, has_gauss, gauss = np.random.get_state(legacy=True)  # noqa: NPY002 — libraries may draw from it
    return {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(np.asarray(key).astype(np.int64)), position, has_gauss, gauss),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def set_random_state(state: Mapping[str, Any]) -> None:
    """Go on drawing where `random_state` was taken."""
    random.setstate(state["python"])
    name, key, *rest = state["numpy"]
    np.random.set_state((name, key.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def _pack(value: Any, tensors: dict[str, Tensor], place: str) -> Any:  # noqa: ANN401 — a tree of anything
    """A tree as JSON; its tensors are put aside under their places."""
    match value:
        case Tensor():
            tensors[place] = _plain(value)
            return {"tensor": place}
        case None | bool() | int() | float() | str():
            return value
        case dict():
            return {"dict": [[key, _pack(one, tensors, f"{place}.{key}")] for key, one in value.items()]}
        case list() | tuple():
            kind = "list" if isinstance(value, list) else "tuple"
            return {kind: [_pack(one, tensors, f"{place}.{number}") for number, one in enumerate(value)]}
    raise TypeError(f"{place}: a {type(value).__name__} can't be kept in a checkpoint")


def _unpack(value: Any, tensors: Mapping[str, Tensor]) -> Any:  # noqa: ANN401
    match value:
        case {"tensor": place}:
            # Memory of its own, laid out as any other: sums over it come out the same to the bit.
            return tensors[place].clone()
        case {"dict": items}:
            return {key: _unpack(one, tensors) for key, one in items}
        case {"list": items}:
            return [_unpack(one, tensors) for one in items]
        case {"tuple": items}:
            return tuple(_unpack(one, tensors) for one in items)
    return value


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().contiguous()
