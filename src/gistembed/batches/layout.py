"""How a model lays out its inputs: from token ids to the features that its own preprocessing gives."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int32, Int64

from gistembed.pairs import offsets_of

Tokens = Int64[np.ndarray, " tokens"]
Counts = Int64[np.ndarray, " texts"]


class LayoutError(ValueError):
    """A model's features can't be made from token ids; the message says why, as what the model does."""


@dataclass(frozen=True)
class PaddedLayout:
    """One row for each text, as wide as the longest: transformers.

    Attributes:
        columns: By feature, its value at every token, and where a row is padded. ``input_ids`` has the token
            itself in place of the first, here None.
        pads_left: Whether padding stands before the tokens.
        constants: Features that are the same for all texts: ``modality``, ``prompt_length``, ``task``.
    """

    columns: Mapping[str, tuple[int | None, int]]
    pads_left: bool
    constants: Mapping[str, Any]

    @classmethod
    def of(cls, features: Mapping[str, Any]) -> "PaddedLayout":
        """The layout of texts of unlike lengths.

        Raises:
            LayoutError: If it is another, or too little is padded to tell.
        """
        tensors, constants = _parted(features)
        real = tensors["attention_mask"].bool()
        if bool(real.all()):
            raise LayoutError("pads no text that could show how it pads")
        columns: dict[str, tuple[int | None, int]] = {}
        for name, values in tensors.items():
            if values.dtype != torch.int64 or values.shape != real.shape:
                raise LayoutError(f"reads `{name}`, which is not one integer for each token")
            padding = [*set(values[~real].tolist())]
            at_tokens = [None] if name == "input_ids" else [*set(values[real].tolist())]
            if len(padding) != 1 or len(at_tokens) != 1:
                raise LayoutError(f"reads `{name}`, which differs from token to token")
            columns[name] = (at_tokens[0], padding[0])
        padded = real[~real.all(1)]
        return cls(columns, not bool(padded[:, 0].any()), constants)

    def tokens(self, features: Mapping[str, Any]) -> tuple[Tokens, Counts]:
        """The token ids of all texts, one after the other, and how many each has."""
        real = features["attention_mask"].numpy().astype(bool)
        return features["input_ids"].numpy()[real], real.sum(1)

    def features(self, ids: Tokens, counts: Counts) -> dict[str, Any]:
        """What the model reads for texts with these tokens."""
        width = int(counts.max())
        places = np.arange(width)
        real = places >= (width - counts)[:, None] if self.pads_left else places < counts[:, None]
        features: dict[str, Any] = {}
        for name, (at_tokens, padding) in self.columns.items():
            values = np.full(real.shape, padding, np.int64)
            if at_tokens != padding:
                values[real] = ids if at_tokens is None else at_tokens
            features[name] = torch.from_numpy(values)
        return {**features, **self.constants}


@dataclass(frozen=True)
class FlatLayout:
    """The tokens of all texts one after the other, and where each text starts: static models.

    Attributes:
        constants: Features that are the same for all texts.
    """

    constants: Mapping[str, Any]

    @classmethod
    def of(cls, features: Mapping[str, Any]) -> "FlatLayout":
        """The layout of these features.

        Raises:
            LayoutError: If it is another.
        """
        tensors, constants = _parted(features)
        for name, values in tensors.items():
            if name not in ("input_ids", "offsets") or values.dtype != torch.int64 or values.ndim != 1:
                raise LayoutError(f"reads `{name}`, which is neither the ids of tokens nor their offsets")
        return cls(constants)

    def tokens(self, features: Mapping[str, Any]) -> tuple[Tokens, Counts]:
        """The token ids of all texts, one after the other, and how many each has."""
        ids = features["input_ids"].numpy()
        return ids, np.diff(features["offsets"].numpy(), append=len(ids))

    def features(self, ids: Tokens, counts: Counts) -> dict[str, Any]:
        """What the model reads for texts with these tokens."""
        offsets = torch.from_numpy(offsets_of(counts)[:-1])
        return {"input_ids": torch.from_numpy(ids), "offsets": offsets, **self.constants}


@dataclass(frozen=True)
class PackedLayout:
    """The tokens of all texts one after the other, and where each text starts: transformers without padding.

    The names are those that transformers' models and sentence-transformers' pooling know.

    Attributes:
        padded: How the model lays the same texts out with padding.
        first_position: The number of the position that a text's first token has in the model.
    """

    padded: PaddedLayout
    first_position: int

    def features(self, ids: Tokens, counts: Counts) -> dict[str, Any]:
        """What the model reads for texts with these tokens."""
        offsets = offsets_of(counts)
        texts = np.repeat(np.arange(len(counts)), counts)
        values = {name: at_tokens for name, (at_tokens, _) in self.padded.columns.items()}
        del values["attention_mask"]
        columns = {name: ids if value is None else np.full_like(ids, value) for name, value in values.items()}
        columns["position_ids"] = np.arange(len(ids)) - offsets[texts] + self.first_position
        columns["seq_idx"] = texts.astype(np.int32)
        return {
            **{name: torch.from_numpy(values[None]) for name, values in columns.items()},
            **_bounds(torch.from_numpy(offsets.astype(np.int32))),
            **self.padded.constants,
        }


def packed_texts(features: Mapping[str, Any]) -> int | None:
    """How many texts stand one after the other in features of a `PackedLayout`; None for other features."""
    return len(features["cu_seq_lens_q"]) - 1 if "cu_seq_lens_q" in features else None


def packed_parts(features: Mapping[str, Any], size: int) -> Iterator[dict[str, Any]]:
    """Features of a `PackedLayout`, so many texts at a time.

    Args:
        features: What the model reads for all of them.
        size: How many texts come together.
    """
    starts = features["cu_seq_lens_q"]
    for first in range(0, len(starts) - 1, size):
        its = starts[first : first + size + 1]
        tokens = slice(int(its[0]), int(its[-1]))
        part = {
            name: value[:, tokens] if isinstance(value, torch.Tensor) and value.ndim == 2 else value
            for name, value in features.items()
        }
        yield part | {"seq_idx": part["seq_idx"] - first} | _bounds(its - its[0])


def _bounds(starts: Int32[torch.Tensor, " texts_and_one"]) -> dict[str, Any]:
    """Where texts start and the last one ends, and how long the longest is, as attention is told."""
    longest = int(starts.diff().max())
    return {
        "cu_seq_lens_q": starts,
        "cu_seq_lens_k": starts,
        "max_length_q": longest,
        "max_length_k": longest,
    }


Layout = PaddedLayout | FlatLayout


def layout_of(features: Mapping[str, Any]) -> Layout:
    """The layout of features that a model's preprocessing gave for several texts of unlike lengths.

    Raises:
        LayoutError: If they can't be made from token ids.
    """
    if {"input_ids", "attention_mask"} <= features.keys():
        return PaddedLayout.of(features)
    if {"input_ids", "offsets"} <= features.keys():
        return FlatLayout.of(features)
    raise LayoutError(f"reads {', '.join(f'`{name}`' for name in features)}, and not the ids of tokens")


def same_features(some: Mapping[str, Any], others: Mapping[str, Any]) -> bool:
    """Whether features are equal: name by name, tensors in their dtype, shape and values."""
    return some.keys() == others.keys() and all(_same(value, others[name]) for name, value in some.items())


def _same(value: object, other: object) -> bool:
    if isinstance(value, torch.Tensor) and isinstance(other, torch.Tensor):
        return value.dtype == other.dtype and torch.equal(value, other)
    return type(value) is type(other) and value == other


def _parted(features: Mapping[str, Any]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors, and values that can be the same for all texts.

    Raises:
        LayoutError: If there is anything else.
    """
    tensors = {name: value for name, value in features.items() if isinstance(value, torch.Tensor)}
    constants = {name: value for name, value in features.items() if name not in tensors}
    for name, value in constants.items():
        if not isinstance(value, str | int | None):
            raise LayoutError(f"reads `{name}`, which is neither a tensor nor the same for all texts")
    return tensors, constants
