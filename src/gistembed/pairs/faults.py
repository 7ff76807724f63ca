"""What contradicts or repeats among numbered texts: arrays in, masks out, for reading and for the doctor."""

import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt64

from gistembed.pairs.pairs import offsets_of, spans


def are_known(
    owners: Int64[np.ndarray, " texts"],
    texts: Int64[np.ndarray, " texts"],
    known_owners: Int64[np.ndarray, " known"],
    known_texts: Int64[np.ndarray, " known"],
) -> Bool[np.ndarray, " texts"]:
    """Whether each text is known to belong to its owner: an anchor, or a row.

    Args:
        owners: The owner of each text, by number.
        texts: The texts, by number.
        known_owners: The owner of each text that is known to belong to one.
        known_texts: These texts.
    """
    size = max(int(texts.max(initial=0)), int(known_texts.max(initial=0))) + 1
    known: Bool[np.ndarray, " texts"] = np.isin(owners * size + texts, known_owners * size + known_texts)
    return known


def repeated_negatives(
    negatives: Int64[np.ndarray, " negatives"],
    offsets: Int64[np.ndarray, " rows_and_one"],
    trusted: Bool[np.ndarray, " negatives"] | None = None,
) -> Bool[np.ndarray, " negatives"]:
    """The negatives that stand in their row already; of equal ones, the first that a person trusts stays.

    Args:
        negatives: The negatives, by number, row after row.
        offsets: Those of row ``i`` are ``negatives[offsets[i] : offsets[i + 1]]``.
        trusted: Whether a person trusts each; None where nobody says so.
    """
    counts = np.diff(offsets)
    rows = np.repeat(np.arange(len(counts)), counts)
    several = np.flatnonzero(counts[rows] > 1)
    keys = rows[several] * (int(negatives.max(initial=0)) + 1) + negatives[several]
    doubted = np.zeros(len(several), bool) if trusted is None else ~trusted[several]
    order = np.lexsort((doubted, keys))
    again = keys[order][1:] == keys[order][:-1]
    repeated = np.zeros(len(negatives), bool)
    repeated[several[order[1:][again]]] = True
    return repeated


def earlier_pair(
    anchors: Int64[np.ndarray, " pairs"],
    positives: Int64[np.ndarray, " pairs"],
    rows: Int64[np.ndarray, " pairs"],
    negatives: Int64[np.ndarray, " negatives"],
    offsets: Int64[np.ndarray, " rows_and_one"],
    *,
    trusted: Bool[np.ndarray, " negatives"] | None = None,
    weights: Float32[np.ndarray, " pairs"] | None = None,
) -> Int64[np.ndarray, " pairs"]:
    """For each pair, the first pair that says the same; -1 if it is the first.

    That is: the same anchor and positive, the same negatives in any order, the same of them trusted, and the
    same weight. Negatives are compared by a 64-bit sum of scattered numbers, among pairs whose anchor and
    positive are equal; all else exactly.

    Args:
        anchors: The anchor of each pair, by number.
        positives: The positive of each pair.
        rows: The row whose negatives each pair has.
        negatives: The negatives, by number, row after row; none twice in a row.
        offsets: Those of row ``i`` are ``negatives[offsets[i] : offsets[i + 1]]``.
        trusted: Whether a person trusts each; None where nobody says so.
        weights: The weight of each pair; None where all are alike.
    """
    earlier = np.full(len(anchors), -1, np.int64)
    keys = anchors * (int(positives.max(initial=0)) + 1) + positives
    order = np.argsort(keys, kind="stable")
    like_next = keys[order][1:] == keys[order][:-1]
    if not like_next.any():
        return earlier
    several = np.sort(order[np.append(like_next, False) | np.insert(like_next, 0, False)])
    keys = keys[several]
    weight = np.ones(len(several), np.float32) if weights is None else weights[several]
    sums = _sums_of_negatives(rows[several], negatives, offsets, trusted)
    order = np.lexsort((sums, weight, keys))
    is_first = np.ones(len(order), bool)
    is_first[1:] = np.logical_or.reduce(
        [values[order][1:] != values[order][:-1] for values in (keys, weight, sums)]
    )
    first = several[order[is_first]][np.cumsum(is_first) - 1]
    earlier[several[order]] = np.where(is_first, -1, first)
    return earlier


def _sums_of_negatives(
    rows: Int64[np.ndarray, " pairs"],
    negatives: Int64[np.ndarray, " negatives"],
    offsets: Int64[np.ndarray, " rows_and_one"],
    trusted: Bool[np.ndarray, " negatives"] | None,
) -> UInt64[np.ndarray, " pairs"]:
    """A number for the set of negatives of each pair's row, and for which of them are trusted."""
    used, of_pair = np.unique(rows, return_inverse=True)
    counts = np.diff(offsets)[used]
    which = spans(offsets[used], counts)
    marks = _scatter(2 * negatives[which] + (0 if trusted is None else trusted[which]))
    # Sums may run over: differences of running sums are right modulo 2^64.
    running = np.concatenate([np.zeros(1, np.uint64), np.cumsum(marks, dtype=np.uint64)])
    ends = offsets_of(counts)
    sums: UInt64[np.ndarray, " pairs"] = (running[ends[1:]] - running[ends[:-1]])[of_pair]
    return sums


def _scatter(numbers: Int64[np.ndarray, " numbers"]) -> UInt64[np.ndarray, " numbers"]:
    """Numbers spread over 64 bits so that sums of them tell sets apart (the finaliser of splitmix64)."""
    mixed = numbers.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
