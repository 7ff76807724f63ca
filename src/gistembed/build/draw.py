"""Draws a positive and a negative for each labelled text: one like it of its class, and any of the others."""

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64, Num

_SIMILARITIES_AT_ONCE = 1 << 22
# As many numbers of vectors as stay in a core's cache.
_NUMBERS_AT_ONCE = 1 << 18
_UNIT_ROUNDOFF = float(np.finfo(np.float32).eps) / 2


@runtime_checkable
class Vectors(Protocol):
    """Vectors by row: an array, or whatever reads them when they are asked for."""

    def __getitem__(self, rows: Int64[np.ndarray, " rows"], /) -> Num[np.ndarray, "rows dim"]:
        """The vectors of some rows, of whatever length; only their directions count."""


class Draws(NamedTuple):
    """What was drawn for each row.

    Attributes:
        positives: The row of its positive; -1 for a row that is alone in its class.
        negatives: The row of its negative; -1 for a row that is alone in its class.
    """

    positives: Int64[np.ndarray, " rows"]
    negatives: Int64[np.ndarray, " rows"]


def draw_triplets(
    vectors: Vectors,
    labels: Int64[np.ndarray, " rows"],
    *,
    seed: int = 1029,
    topk: int = 100,
    temperature: float = 0.05,
    at_once: int = _SIMILARITIES_AT_ONCE,
    on_progress: Callable[[int], None] = lambda count: None,
) -> Draws:
    """Draw a positive and a negative for each row, as the paper made MTEBcls.

    The positive is one of the `topk` other rows of its class that are most similar to it, drawn by

        p(row)  ∝  e^(cosine / temperature)

    and the negative is one of all rows of other classes, each as likely as any other. Of equally similar rows
    the earlier is taken. Products in float32 only narrow down which rows can be among the most similar, by a
    bound on their error; what decides is the cosine of the float32 unit vectors, summed in float64, row by
    row. Random numbers belong to rows. So neither `at_once` nor the number of cores changes what is drawn.

    Memory is that of one class's vectors and of `at_once` similarities; no matrix of all rows is made.

    Args:
        vectors: Each row's vector.
        labels: Each row's class, numbered from 0.
        seed: Seed of all draws.
        topk: From how many of the most similar rows a positive is drawn.
        temperature: The lower, the likelier the most similar.
        at_once: Most similarities held at a time; a row's own with its whole class are held at once.
        on_progress: Called with the number of rows done since the call before.

    Raises:
        ValueError: If there are fewer than two classes, or a vector is zero or not finite.

    Source: Solatorio 2024 (arXiv 2402.16829), MTEBcls; ties, rounding and seeding are ours.
    """
    classes = np.bincount(labels)
    if np.count_nonzero(classes) < 2:
        raise ValueError("a negative is of another class, but there are fewer than two")
    for_positives, for_negatives = map(np.random.default_rng, np.random.SeedSequence(seed).spawn(2))
    uniforms = for_positives.random(len(labels))
    positives, negatives = np.full(len(labels), -1), np.full(len(labels), -1)
    by_class = np.argsort(labels, kind="stable")
    starts = np.cumsum(classes) - classes
    # The row of each other class that a number from 0 stands for: the class's own rows are stepped over.
    others = for_negatives.integers(0, len(labels) - classes[labels])
    others += np.where(others >= starts[labels], classes[labels], 0)
    for start, size in zip(starts.tolist(), classes.tolist(), strict=True):
        members = by_class[start : start + size]
        if size > 1:
            unit = _unit(vectors, members)
            step = max(1, at_once // size)
            for rows in (np.arange(i, min(i + step, size)) for i in range(0, size, step)):
                nearest, cosines = _nearest(unit, rows, min(topk, size - 1))
                choice = choose_by_softmax(cosines, uniforms[members[rows]], temperature)
                positives[members[rows]] = members[nearest[np.arange(len(rows)), choice]]
                on_progress(len(rows))
            negatives[members] = by_class[others[members]]
        else:
            on_progress(size)
    return Draws(positives, negatives)


def choose_by_softmax(
    scores: Float64[np.ndarray, "rows candidates"],
    uniforms: Float64[np.ndarray, " rows"],
    temperature: float,
) -> Int64[np.ndarray, " rows"]:
    """One candidate of each row: the first whose cumulated probability exceeds the row's random number.

        p(candidate)  =  e^(score / temperature) / Σ e^(score / temperature)

    Args:
        scores: Scores of each row's candidates.
        uniforms: A number in [0, 1) for each row.
        temperature: What scores are divided by.
    """
    weights = np.exp((scores - scores.max(axis=1, keepdims=True)) / temperature)
    cumulated = np.cumsum(weights, axis=1)
    choice: Int64[np.ndarray, " rows"] = np.argmax(cumulated > uniforms[:, None] * cumulated[:, -1:], axis=1)
    return choice


def _unit(vectors: Vectors, members: Int64[np.ndarray, " members"]) -> Float32[np.ndarray, "members dim"]:
    """The vectors of some rows at length 1."""
    dimensions = vectors[members[:1]].shape[1]
    unit = np.empty((len(members), dimensions), np.float32)
    for piece in _pieces(len(members), dimensions):
        own = vectors[members[piece]].astype(np.float64)
        lengths = np.sqrt(np.square(own).sum(axis=1))
        usable = np.isfinite(lengths) & (lengths > 0)
        if not usable.all():
            row = members[piece][np.argmin(usable)]
            raise ValueError(f"the vector of row {row} is zero or not finite")
        unit[piece] = own / lengths[:, None]
    return unit


def _nearest(
    unit: Float32[np.ndarray, "members dim"], rows: Int64[np.ndarray, " rows"], count: int
) -> tuple[Int64[np.ndarray, "rows count"], Float64[np.ndarray, "rows count"]]:
    """The members most similar to some of them, without these, the most similar first; and their cosines."""
    size, dimensions = unit.shape
    similarities = unit[rows] @ unit.T
    similarities[np.arange(len(rows)), rows] = -np.inf
    least = np.partition(similarities, size - count, axis=1)[:, size - count]
    # Summed in any order, a product of unit vectors is off by no more than this; twice, as both may be.
    slack = np.float32(2.02 * (dimensions + 2) * _UNIT_ROUNDOFF)
    places, candidates = np.nonzero(similarities >= (least - slack)[:, None])
    del similarities
    held = np.bincount(places, minlength=len(rows))
    beside = np.arange(len(places)) - np.repeat(np.cumsum(held) - held, held)
    cosines, members = np.full((len(rows), held.max()), -np.inf), np.zeros((len(rows), held.max()), np.int64)
    cosines[places, beside] = _cosines(unit, rows[places], candidates)
    members[places, beside] = candidates
    best = np.argsort(-cosines, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(members, best, 1), np.take_along_axis(cosines, best, 1)


def _cosines(
    unit: Float[np.ndarray, "members dim"],
    left: Int64[np.ndarray, " pairs"],
    right: Int64[np.ndarray, " pairs"],
) -> Float64[np.ndarray, " pairs"]:
    """Products of unit vectors, each the same whichever others are reckoned beside it."""
    cosines = np.empty(len(left))
    for piece in _pieces(len(left), unit.shape[1]):
        ours, theirs = unit[left[piece]], unit[right[piece]]
        cosines[piece] = np.vecdot(ours.astype(np.float64), theirs.astype(np.float64))
    return cosines


def _pieces(count: int, dimensions: int) -> Iterator[slice]:
    step = max(1, _NUMBERS_AT_ONCE // dimensions)
    return (slice(start, start + step) for start in range(0, count, step))
