"""What scorers take and give."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int64

from gistembed.evaluate.tasks.kinds import Use
from gistembed.pairs import Texts

Embed = Callable[[Sequence[str], Use], np.ndarray]
"""A model, as a scorer sees it: embeddings, of any length, of raw texts in one use."""


@dataclass(frozen=True)
class Scored:
    """The scores of one model on one task.

    Attributes:
        metrics: Each metric of the whole task, by the name that mteb has for it.
        items: What the metrics are made of, as columns of one length: a row for each query, pair, text or
            repetition. Models that are scored on one task have the same rows.
        experiments: Metrics of each repetition, where there are repetitions.
    """

    metrics: Mapping[str, float]
    items: Mapping[str, Sequence[Any] | np.ndarray]
    experiments: Sequence[Mapping[str, float]] = field(default=())


def embed_ids(
    texts: Texts, ids: Int64[np.ndarray, " ids"], embed: Embed, use: Use
) -> Float32[np.ndarray, "ids dim"]:
    """Embeddings by text id; each distinct text is embedded once.

    Args:
        texts: The table that the ids point into.
        ids: Text ids.
        embed: The model.
        use: What the texts are in the task.
    """
    distinct, places = np.unique(ids, return_inverse=True)
    return embed(texts.of(distinct), use)[places]


def unit(vectors: Float32[np.ndarray, "texts dim"]) -> Float32[np.ndarray, "texts dim"]:
    """The vectors with length 1; what is zero stays zero.

    Args:
        vectors: Vectors.
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, np.float32(1))


def paired_cosines(
    first: Float32[np.ndarray, "pairs dim"], second: Float32[np.ndarray, "pairs dim"]
) -> Float64[np.ndarray, " pairs"]:
    """The cosine of each vector with its partner, in double precision.

    Args:
        first: Vectors.
        second: Their partners.
    """
    first, second = first.astype(np.float64), second.astype(np.float64)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    cosines: Float64[np.ndarray, " pairs"] = np.einsum("pd,pd->p", first, second)
    return cosines / np.where(lengths > 0, lengths, 1)
