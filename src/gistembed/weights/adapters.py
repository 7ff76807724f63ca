"""Adapters (LoRA and its like): whether a model has any, and their weights merged into the model's own."""

from typing import Any

from gistembed.errors import UserError
from gistembed.models import EmbeddingModel


def has_adapter(model: EmbeddingModel) -> bool:
    """Whether a model is another one with an adapter.

    Args:
        model: The model, as `load_model` gives it.
    """
    return any(getattr(module, "peft_config", None) for module in model.model.modules())


def merge_adapter(model: EmbeddingModel) -> None:
    """Merge a model's adapter into its weights, in place: a plain model of the same embeddings to rounding.

    Args:
        model: A model with an adapter.

    Raises:
        UserError: If the adapter's weights are not finite, or it is of a kind that can't be merged.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils import AuxiliaryTrainingWrapper

    transformer: Any = model.model[0].model
    for name, layer in list(transformer.named_modules()):
        if isinstance(layer, BaseTunerLayer):
            try:
                layer.merge(safe_merge=True)
                plain = layer.get_base_layer()
            # Some kinds have nothing to merge into, and each says so in a way of its own.
            except Exception as error:
                raise UserError(f"{model.name}: its adapter can't be merged: {error}") from error
        elif isinstance(layer, AuxiliaryTrainingWrapper):
            plain = layer.unload_and_optionally_merge_module(merge=True, safe_merge=True, adapter_names=None)
        else:
            continue
        parent, _, own_name = name.rpartition(".")
        setattr(transformer.get_submodule(parent), own_name, plain)
    # What is saved from now on is the model; with these it would be an adapter that isn't there.
    del transformer.peft_config
    transformer._hf_peft_config_loaded = False
    # Weights are saved under the names that they were loaded by, which beside an adapter are others.
    conversions = getattr(transformer, "_weight_conversions", None) or []
    transformer._weight_conversions = [one for one in conversions if not _of_adapter(one)] or None


def _of_adapter(conversion: Any) -> bool:  # noqa: ANN401 — transformers' own
    """Whether it renames weights as only a model with an adapter needs it."""
    return any(name.startswith(("base_model.", "(lora_")) for name in conversion.source_patterns)
