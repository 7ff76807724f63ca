"""What the student's inputs tell of their texts, where nothing else is at hand: identity and wording."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Int
from sentence_transformers import SentenceTransformer
from torch import Tensor
from transformers import PreTrainedTokenizerBase

# Odd multipliers, so that no factor of a product is lost among 64 bits.
_MIX = -7046029254386353131
_BASE = -4417276706812531889


def row_tokens(
    features: Mapping[str, Any],
) -> tuple[Int[Tensor, " tokens"], Int[Tensor, " tokens"], int] | None:
    """All tokens of a column that are no padding, the row of each, and how many rows there are.

    Args:
        features: Inputs of a transformer (padded or flattened) or of a static model; None is returned for
            inputs without tokens.
    """
    tokens = features.get("input_ids")
    if not isinstance(tokens, Tensor):
        return None
    if "cu_seq_lens_q" in features or "offsets" in features:
        tokens = tokens.flatten()
        starts = features["offsets"] if "offsets" in features else features["cu_seq_lens_q"][:-1]
        places = torch.arange(len(tokens), device=tokens.device)
        rows = torch.searchsorted(starts.to(places.dtype).contiguous(), places, right=True) - 1
        return tokens, rows, len(starts)
    mask = features.get("attention_mask")
    present = torch.ones_like(tokens, dtype=torch.bool) if mask is None else mask.bool()
    return tokens[present], present.nonzero()[:, 0], len(tokens)


def hashed_rows(features: Mapping[str, Any]) -> Int[Tensor, " rows"] | None:
    """A 64-bit hash of each row's tokens: rows of equal tokens have equal hashes, others all but never.

    Two texts with equal tokens are one text to the student, whatever else they say.

    Args:
        features: See `row_tokens`.
    """
    found = row_tokens(features)
    if found is None:
        return None
    tokens, rows, count = found
    places = torch.arange(len(tokens), device=tokens.device)
    lengths = torch.bincount(rows, minlength=count)
    in_row = places - (lengths.cumsum(0) - lengths)[rows]
    powers = torch.full((int(lengths.max()) + 1 if len(tokens) else 1,), _BASE, device=tokens.device)
    powers[0] = 1
    powers = powers.cumprod(0)
    mixed = (tokens.long() + 1) * _MIX
    mixed = (mixed ^ (mixed >> 29)) * _MIX
    hashes = torch.zeros(count, dtype=torch.int64, device=tokens.device)
    hashes.index_add_(0, rows, mixed * powers[in_row])
    return hashes + lengths


def decoded(model: SentenceTransformer, features: Mapping[str, Any]) -> list[str]:
    """Texts from the student's tokens, as far as they tell.

    Args:
        model: The student.
        features: See `row_tokens`.

    Raises:
        ValueError: If the inputs hold no tokens.
    """
    found = row_tokens(features)
    if found is None:
        raise ValueError(
            "the guide can't read this student's inputs; "
            "pass data_collator=gistembed.GuideCollator(model, guide)"
        )
    tokens, rows, count = found
    by_row = torch.split(tokens.cpu(), torch.bincount(rows, minlength=count).tolist())
    ids = [row.tolist() for row in by_row]
    tokenizer = model.tokenizer
    if isinstance(tokenizer, PreTrainedTokenizerBase):
        return list(tokenizer.batch_decode(ids, skip_special_tokens=True))
    return list(tokenizer.decode_batch(ids, skip_special_tokens=True))


def same_tokens(model: SentenceTransformer, guide: SentenceTransformer) -> bool:
    """Whether the guide can read the student's inputs as they are.

    Args:
        model: The student.
        guide: The guide.
    """
    vocabularies = _vocabulary(model), _vocabulary(guide)
    limits = [math.inf if one.max_seq_length is None else one.max_seq_length for one in (model, guide)]
    alike = type(model[0]) is type(guide[0]) and vocabularies[0] == vocabularies[1]
    return alike and limits[1] >= limits[0]


def _vocabulary(model: SentenceTransformer) -> dict[str, int]:
    try:
        vocabulary: dict[str, int] = model.tokenizer.get_vocab()
    except AttributeError as error:
        raise ValueError("student and guide need a tokenizer; one of them has none") from error
    return vocabulary
