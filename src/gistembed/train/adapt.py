"""What of a student is trained: adapters of low rank (LoRA), or all but its first layers."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from sentence_transformers import SentenceTransformer
from torch import nn
from transformers import PreTrainedModel

from gistembed.config import Freeze, LoraSettings
from gistembed.errors import UserError
from gistembed.models import TASKS
from gistembed.record import AdaptationRecord

_PROBE = "text"


@dataclass(frozen=True)
class Adaptation:
    """How much of a student is trained; all of it by default.

    Attributes:
        lora: Adapters that are trained in place of the student's own weights.
        freeze: What keeps its weights: ``embeddings``, or these and so many of the first layers.
        seed: Seed of the adapters' first weights.
    """

    lora: LoraSettings | None = None
    freeze: Freeze | None = None
    seed: int = 0


def adapt(model: SentenceTransformer, adaptation: Adaptation) -> AdaptationRecord | None:
    """Make a student train only what it is meant to, in place.

    Args:
        model: The student.
        adaptation: What is meant to be trained.

    Returns:
        What is trained now; None if it is the whole student.

    Raises:
        UserError: If the student has no such parts, or nothing would be left to train.
    """
    if adaptation.lora is not None:
        names = _add_lora(model, adaptation.lora, adaptation.seed)
        words = f"LoRA of rank {adaptation.lora.rank} in {len(names)} linear layers"
        return _record(model, words, lora=names)
    if adaptation.freeze is not None:
        return _record(model, *_freeze(model, adaptation.freeze))
    return None


def merge_lora(model: SentenceTransformer) -> None:
    """Add what the adapters learned to the weights under them, and take the adapters away, in place."""
    _unload(model, merge=True)


def remove_lora(model: SentenceTransformer) -> None:
    """Take the adapters away, and leave the weights under them as they were, in place."""
    _unload(model, merge=False)


def linear_layers(transformer: PreTrainedModel) -> dict[str, nn.Linear]:
    """The linear layers within the stack of a transformer, by their full names.

    Those outside, such as a pooler, take no part in most embeddings: an adapter there would learn nothing.
    """
    stack, layers = layer_stack(transformer)
    return {
        f"{stack}.{name}": module for name, module in layers.named_modules() if isinstance(module, nn.Linear)
    }


def layer_stack(transformer: PreTrainedModel) -> tuple[str, nn.ModuleList]:
    """The layers of a transformer, and the name that their list has in it.

    That is the largest list of modules: architectures call it ``encoder.layer``, ``layers``, ``h``, …
    """
    lists = [
        (name, module) for name, module in transformer.named_modules() if isinstance(module, nn.ModuleList)
    ]
    assert lists, "a transformer has layers"
    return max(lists, key=lambda named: _size(named[1]))


def embedding_part(transformer: PreTrainedModel) -> str:
    """The name of the largest part of a transformer that holds its word embeddings and none of its layers."""
    words = transformer.get_input_embeddings()
    name = next(name for name, module in transformer.named_modules() if module is words)
    stack, _ = layer_stack(transformer)
    steps = name.split(".")
    parts = [".".join(steps[:end]) for end in range(1, len(steps) + 1)]
    return next(part for part in parts if not f"{stack}.".startswith(f"{part}."))


def _add_lora(model: SentenceTransformer, lora: LoraSettings, seed: int) -> list[str]:
    """Add adapters and train nothing else; gives the layers that have one."""
    try:
        from peft import LoraConfig
    except ImportError as error:
        raise UserError("--lora: needs the package peft; run `pip install 'gistembed[lora]'`") from error
    transformer = _transformer(model, "--lora", "LoRA needs the linear layers of a transformer")
    if getattr(transformer, "_hf_peft_config_loaded", False):
        raise UserError("--lora: the student holds an adapter already; merge it into its weights first")
    names = _targets(transformer, lora.target_modules)
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.scale,
        lora_dropout=lora.dropout,
        target_modules=names,
    )
    model.requires_grad_(False)
    # Made on the CPU whatever the student is on; the run's own random numbers stay what they are.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model.add_adapter(config)
    return names


def _targets(transformer: PreTrainedModel, wanted: Sequence[str] | None) -> list[str]:
    """The linear layers that get an adapter, by their full names."""
    layers = linear_layers(transformer)
    if wanted is None:
        return list(layers)
    if wanted == ():
        raise UserError("[lora] target_modules: names no layer; leave it out for all linear layers")
    for target in wanted:
        if not any(_is_called(name, target) for name in layers):
            known = ", ".join(sorted({name.rpartition(".")[2] for name in layers}))
            raise UserError(
                f"[lora] target_modules: the student has no linear layer '{target}'; they are called {known}"
            )
    return [name for name in layers if any(_is_called(name, target) for target in wanted)]


def _is_called(name: str, target: str) -> bool:
    return f".{name}".endswith(f".{target}")


def _unload(model: SentenceTransformer, *, merge: bool) -> None:
    from peft.tuners.tuners_utils import BaseTunerLayer

    transformer = model.transformers_model
    assert transformer is not None, "LoRA is for transformers"
    adapted = [
        (name, module) for name, module in transformer.named_modules() if isinstance(module, BaseTunerLayer)
    ]
    for name, module in adapted:
        if merge:
            module.merge()
        transformer.set_submodule(name, module.get_base_layer())
    for name in list(transformer.peft_config):
        transformer.delete_adapter(name)


def _freeze(model: SentenceTransformer, freeze: Freeze) -> tuple[str, list[str]]:
    """Freeze the first parts; gives what they are in words, and by their names."""
    option = f"--freeze {freeze}"
    if type(model[0]).__name__ == "StaticEmbedding":
        if freeze != "embeddings":
            raise UserError(f"{option}: a static student has embeddings and no layers; leave it out")
        root: nn.Module = model[0]
        parts, words = ["embedding"], "embeddings"
    else:
        root = transformer = _transformer(model, option, "only parts of a transformer can be frozen")
        stack, layers = layer_stack(transformer)
        parts, words = [embedding_part(transformer)], "embeddings"
        if freeze != "embeddings":
            if freeze > len(layers):
                raise UserError(f"{option}: the student has only {len(layers)} layers; freeze fewer")
            parts += [f"{stack}.{number}" for number in range(freeze)]
            words += " and the first layer" if freeze == 1 else f" and the first {freeze} layers"
    for part in parts:
        root.get_submodule(part).requires_grad_(False)
    if not _learns(model):
        raise UserError(f"{option}: nothing of the student would be left to train; freeze less")
    return f"{words} frozen", parts


def _learns(model: SentenceTransformer) -> bool:
    """Whether an embedding depends on anything that is trained: not all parameters have a part in it."""
    features = model.preprocess([_PROBE], task=TASKS["anchor"])
    features = {
        name: value.to(model.device) if isinstance(value, torch.Tensor) else value
        for name, value in features.items()
    }
    with torch.enable_grad():
        return bool(model(features)["sentence_embedding"].requires_grad)


def _transformer(model: SentenceTransformer, option: str, reason: str) -> PreTrainedModel:
    transformer = model.transformers_model
    if not isinstance(transformer, PreTrainedModel):
        kind = {"StaticEmbedding": "a static model"}.get(
            type(model[0]).__name__, f"a {type(model[0]).__name__}"
        )
        raise UserError(f"{option}: the student is {kind}, and {reason}; leave it out")
    return transformer


def _record(
    model: SentenceTransformer, words: str, frozen: Sequence[str] = (), lora: Sequence[str] = ()
) -> AdaptationRecord:
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    return AdaptationRecord(
        words=words,
        frozen=list(frozen),
        lora_layers=list(lora),
        trained_parameters=trained,
        all_parameters=_size(model),
    )


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
