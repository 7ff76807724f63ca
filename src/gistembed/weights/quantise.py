"""A model's embeddings in fewer bits and dimensions, and what that does to retrieval."""

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float32

from gistembed.errors import UserError
from gistembed.evaluate import (
    METRICS,
    RetrievalTask,
    compare,
    mean_interval,
    rank_vectors,
    score,
)
from gistembed.evaluate.runs.encoder import check_finite
from gistembed.guide import stored_as
from gistembed.models import EmbeddingModel
from gistembed.terms import Role, VectorDtype
from gistembed.weights.blending.choose import scored_on
from gistembed.weights.records import KeptForm, QuantisationRecord

Precision = Literal["float32", "float16", "int8", "binary, full queries", "binary"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

_BITS: dict[Precision, int] = {
    "float32": 32,
    "float16": 16,
    "int8": 8,
    "binary, full queries": 1,
    "binary": 1,
}


def quantisation(
    model: EmbeddingModel,
    task: RetrievalTask,
    *,
    dimensions: Sequence[int] | None = None,
    on_progress: Callable[[int], None] = lambda count: None,
) -> QuantisationRecord:
    """Score a model's embeddings in every precision, whole and cut to their first numbers.

    Args:
        model: The model.
        task: What to search in what.
        dimensions: How many of the first numbers to keep; all, a half and a quarter by default.
        on_progress: Called with the number of texts embedded since the call before.

    Raises:
        UserError: If there are not so many numbers, or an embedding is not finite.
    """
    sizes = _sizes(model, dimensions)
    texts = task.pairs.texts
    queries = _embedded(model, texts.of(task.queries), "anchor", on_progress)
    documents = _embedded(model, texts.of(task.documents), "document", on_progress)
    scores = {
        (precision, size): score(
            task,
            rank_vectors(
                task,
                kept(queries, "float32" if precision == "binary, full queries" else precision, size),
                kept(documents, precision, size),
            ),
        )[METRICS[0]]
        for size in sizes
        for precision in PRECISIONS
    }
    whole = scores["float32", model.dimensions]
    forms = []
    for (precision, size), values in scores.items():
        change = compare(("float32", whole), (precision, values), metric=METRICS[0])
        forms.append(
            KeptForm(
                precision=precision,
                dimensions=size,
                bytes=-(-size * _BITS[precision] // 8),
                score=mean_interval(values),
                change=change.difference,
                verdict=change.verdict,
            )
        )
    return QuantisationRecord(model=model.name, metric=METRICS[0], data=scored_on(task), forms=forms)


def _embedded(
    model: EmbeddingModel, texts: Sequence[str], role: Role, on_progress: Callable[[int], None]
) -> Float32[np.ndarray, "texts dim"]:
    vectors = model.embed(texts, role, on_progress)
    check_finite(model, texts, vectors)
    return vectors


def kept(
    vectors: Float32[np.ndarray, "texts dim"], precision: Precision, size: int
) -> Float32[np.ndarray, "texts size"]:
    """What is left of vectors, as unit vectors whose dot products rank as those of the kept form do.

    Binary keeps the sign of each number: the more signs two texts share, the larger the product, so that it
    ranks by Hamming distance. int8 scales each vector to its own largest number, as the guide's store does.

    Args:
        vectors: Unit vectors.
        precision: What to keep of each number.
        size: How many of the first numbers to keep.
    """
    first = vectors[:, :size]
    if precision in get_args(VectorDtype):
        numbers = stored_as(_unit(first), precision).astype(np.float32)  # type: ignore[arg-type]
    else:
        numbers = np.where(first > 0, np.float32(1), np.float32(-1))
    return _unit(numbers)


def _unit(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)


def _sizes(model: EmbeddingModel, dimensions: Sequence[int] | None) -> list[int]:
    """All dimensions first, whatever else: it is what the others are compared with."""
    every = model.dimensions
    chosen = (every // 2, every // 4) if dimensions is None else dimensions
    for size in chosen:
        if not 1 <= size <= every:
            raise UserError(f"--dimensions {size}: {model.name} has {every}; choose from 1 to so many")
    return [every, *sorted({size for size in chosen if 1 <= size < every}, reverse=True)]
