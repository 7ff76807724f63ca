"""Weights and optimizer states that lie in parts in several processes: put together, and dealt out again.

In each of these functions all processes have to meet.

Source: FSDP2, `torch.distributed.fsdp.fully_shard`.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.optim import Optimizer

from gistembed.ranks import is_first
from gistembed.train.snapshot import plain_name


def held_here(tensor: Tensor) -> Tensor:
    """What of a tensor lies in this process; all of it if it isn't in parts.

    Args:
        tensor: A weight or a gradient.
    """
    if hasattr(tensor, "to_local"):
        part: Tensor = tensor.to_local()
        return part
    return tensor


def whole_weights(model: nn.Module) -> dict[str, Tensor]:
    """All parameters and saved buffers by name, whole in the memory of every process, and not on its device.

    Args:
        model: A model in parts.
    """
    return {plain_name(name): _whole(tensor) for name, tensor in model.state_dict().items()}


def gathered(model: nn.Module, optimizer: Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights and the optimizer's state by the names of the weights, in the first process; empty in others.

    Args:
        model: A model in parts.
        optimizer: What trains it.
    """
    state: Any = get_optimizer_state_dict(
        model, optimizer, options=StateDictOptions(full_state_dict=True, cpu_offload=True)
    )
    weights: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        whole = _whole(tensor)
        if is_first():
            weights[plain_name(name)] = whole
    return weights, state


def deal_out_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Give each process its part of weights that are whole in every one; those not named stay.

    Args:
        model: A model in parts.
        weights: Of `gathered`.
    """
    set_model_state_dict(model, dict(weights), options=StateDictOptions(full_state_dict=True, strict=False))


def deal_out_optimizer(model: nn.Module, optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Give each process its part of an optimizer's state that is whole in every one.

    Args:
        model: A model in parts.
        optimizer: What trains it.
        state: Of `gathered`.
    """
    if not state["state"]:
        # Plain gradient descent remembers nothing, which the library can't deal out.
        for group, saved in zip(optimizer.param_groups, state["param_groups"], strict=True):
            group.update({name: value for name, value in saved.items() if name != "params"})
        return
    # Not strict: a weight that got no gradient has no state.
    options = StateDictOptions(full_state_dict=True, strict=False)
    set_optimizer_state_dict(model, optimizer, dict(state), options=options)


def _whole(tensor: Tensor) -> Tensor:
    if hasattr(tensor, "full_tensor"):
        tensor = tensor.full_tensor()
    return tensor.detach().cpu()
