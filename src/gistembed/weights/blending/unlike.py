"""What two models must share for the mean of their weights to be a model."""

import json
from collections.abc import Mapping
from typing import Any

import torch

from gistembed.errors import UserError
from gistembed.models import EmbeddingModel

# Where the weights came from and how they were stored, not what is computed with them.
_PROVENANCE = {"architectures", "transformers_version", "dtype", "torch_dtype"}
# What a user may set after training without a weight losing its meaning.
_SETTINGS = {"processing_kwargs", "unpad_inputs"}
_TOKENIZER_STATE = {"truncation", "padding"}


def refuse_unlike(base: EmbeddingModel, tuned: EmbeddingModel) -> None:
    """Refuse two models whose weights don't stand for the same.

    Args:
        base: One model, without adapter.
        tuned: The other, without adapter.

    Raises:
        UserError: If their modules, configurations, tokenizers or weights differ in kind or shape; the
            message says in what. Also if a weight is not finite.
    """
    difference = (
        _modules(base, tuned)
        or _configurations(base, tuned)
        or _tokenizers(base, tuned)
        or _state(base, tuned)
    )
    if difference is not None:
        raise UserError(
            f"{base.name} and {tuned.name} can't be blended: {difference}; give a model and one that was "
            "trained from it"
        )
    for model in (base, tuned):
        for name, weight in model.model.state_dict().items():
            if not torch.isfinite(weight).all():
                raise UserError(f"{model.name}: the weight {name} is not finite; this model is broken")


def _modules(base: EmbeddingModel, tuned: EmbeddingModel) -> str | None:
    kinds = [" → ".join(type(module).__name__ for module in one.model) for one in (base, tuned)]
    return None if kinds[0] == kinds[1] else f"their modules are {kinds[0]} and {kinds[1]}"


def _configurations(base: EmbeddingModel, tuned: EmbeddingModel) -> str | None:
    for place, modules in enumerate(zip(base.model, tuned.model, strict=True)):
        a, b = (_configuration(module) for module in modules)
        for name in sorted(a.keys() | b.keys()):
            if a.get(name) != b.get(name):
                return f"{name} of module {place} is {a.get(name)!r} and {b.get(name)!r}"
    return None


def _configuration(module: Any) -> dict[str, Any]:  # noqa: ANN401 — sentence-transformers has many kinds
    """All settings that a module computes with, besides its weights."""
    own = module.get_config_dict() if hasattr(module, "get_config_dict") else {}
    config = getattr(module, "config", None)
    inner = {} if config is None else config.to_dict()
    ignored = _PROVENANCE | _SETTINGS
    return {
        name: value
        for name, value in (own | inner).items()
        if name not in ignored and not name.startswith("_")
    }


def _tokenizers(base: EmbeddingModel, tuned: EmbeddingModel) -> str | None:
    """Equal shapes with other words would blend the vectors of unlike tokens."""
    a, b = (_tokenizer(model.model.tokenizer) for model in (base, tuned))
    unlike = [name for name in sorted(a.keys() | b.keys()) if a.get(name) != b.get(name)]
    return f"their tokenizers differ ({unlike[0]})" if unlike else None


def _tokenizer(tokenizer: Any) -> Mapping[str, Any]:  # noqa: ANN401 — of two libraries, or of neither
    """What a tokenizer does with a text, as far as it says so."""
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if hasattr(backend, "to_str"):
        content: dict[str, Any] = json.loads(backend.to_str())
        return {name: value for name, value in content.items() if name not in _TOKENIZER_STATE}
    return {"vocabulary": tokenizer.get_vocab()} if hasattr(tokenizer, "get_vocab") else {}


def _state(base: EmbeddingModel, tuned: EmbeddingModel) -> str | None:
    a, b = base.model.state_dict(), tuned.model.state_dict()
    for name in sorted(a.keys() ^ b.keys()):
        return f"only {base.name if name in a else tuned.name} has the weight {name}"
    for name, weight in a.items():
        other = b[name]
        if weight.shape != other.shape:
            return f"the shape of {name} is {tuple(weight.shape)} and {tuple(other.shape)}"
        if not weight.is_floating_point() and not torch.equal(weight, other):
            return f"{name}, which is no weight but whole numbers, differs"
    return None
