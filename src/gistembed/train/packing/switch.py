"""A student's transformer that can read texts without padding for a while."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from gistembed.train.packing.attention import Sight, attend_within

# The attention that models have unless they are told otherwise, and ours.
PADDED, PACKED = "sdpa", "gistembed_packed"
# What models hand to their attention that changes nothing of it, or is heeded here, in the terms of
# transformers. Anything else may be a part of the attention that is not known here.
_UNDERSTOOD = {
    "cache_position",
    "cu_seq_lens_k",
    "cu_seq_lens_q",
    "deterministic",
    "max_length_k",
    "max_length_q",
    "output_attentions",
    "output_hidden_states",
    "position_ids",
    "return_dict",
    "seq_idx",
    "sliding_window",
    "token_type_ids",
    "use_cache",
}
# What features say of texts without padding; modules that name their inputs don't name these.
_BOUNDS = {"cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k"}


class PackingError(ValueError):
    """A model's attention can't be had without padding; the message says why, as what the model does."""


@contextmanager
def reads_packed(model: SentenceTransformer) -> Iterator[None]:
    """A model reads texts of `gistembed.batches.TokenCache.packed` too; with padding it reads as ever.

    Args:
        model: The model, whose first module is a transformer with the attention `PADDED`.
    """
    AttentionInterface.register(PACKED, _attention)
    AttentionMaskInterface.register(PACKED, _mask)
    module: Any = model[0]
    transformer, named = module.model, module.model_forward_params
    try:
        transformer.set_attn_implementation(PACKED)
        if named is not None:
            module.model_forward_params = named | _BOUNDS
        yield
    finally:
        transformer.set_attn_implementation(PADDED)
        module.model_forward_params = named


def attentions(transformer: PreTrainedModel) -> set[str | None]:
    """What the parts of a transformer compute attention by."""
    parts = [part for part in transformer.modules() if isinstance(part, PreTrainedModel)]
    return {part.config._attn_implementation for part in parts}


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **options: Any,  # noqa: ANN401
) -> tuple[Tensor, None]:
    """Attention as transformers' models call it, with or without padding."""
    starts = options.get("cu_seq_lens_q")
    if starts is None:
        padded: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, is_causal, **options
        )
        return padded
    unknown = [name for name in options if name not in _UNDERSTOOD and options[name] is not None]
    if unknown:
        raise PackingError(f"has an attention of its own, with `{unknown[0]}`")
    if attention_mask is not None:
        raise PackingError("adds something of its own to its attention")
    groups = query.shape[1] // key.shape[1]
    heads = [query, repeat_kv(key, groups), repeat_kv(value, groups)]
    if torch.is_autocast_enabled(query.device.type):
        # As PyTorch casts what goes into its own attention.
        dtype = torch.get_autocast_dtype(query.device.type)
        heads = [x.to(dtype) for x in heads]
    query, key, value = (x[0].transpose(0, 1) for x in heads)
    sight = Sight(
        scale=query.shape[-1] ** -0.5 if scaling is None else scaling,
        causal=getattr(module, "is_causal", True) if is_causal is None else is_causal,
        window=options.get("sliding_window"),
        dropout=dropout,
    )
    return attend_within(query, key, value, starts, options["max_length_q"], sight)[None], None


def _mask(*, attention_mask: Tensor | None = None, **options: Any) -> Tensor | None:  # noqa: ANN401
    """Who sees whom in texts with padding; without it attention knows by itself."""
    if attention_mask is None:
        return None
    return sdpa_mask(attention_mask=attention_mask, **options)
