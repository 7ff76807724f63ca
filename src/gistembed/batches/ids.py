"""The text ids of a batch: what the mask needs to know about who is who."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64, Shaped

from gistembed.pairs import Pairs, Relations, offsets_of


@dataclass(frozen=True)
class BatchIds:
    """Text ids of the rows of one batch.

    Attributes:
        anchors: Each row's anchor.
        positives: Each row's positive.
        negatives: Each row's hard negatives; -1 pads.
        same_anchors: The text that each anchor counts as; where none counts as another, this is ``anchors``.
        same_positives: The same for the positives.
        same_negatives: The same for the negatives.
        known: Known positives of the rows' anchors that count as texts of this batch, row after row.
        known_offsets: Those of row i are ``known[known_offsets[i] : known_offsets[i + 1]]``.
        trusted: Which of the hard negatives a person trusts; None where none is.
    """

    anchors: Int64[np.ndarray, " rows"]
    positives: Int64[np.ndarray, " rows"]
    negatives: Int64[np.ndarray, "rows negatives"]
    same_anchors: Int64[np.ndarray, " rows"]
    same_positives: Int64[np.ndarray, " rows"]
    same_negatives: Int64[np.ndarray, "rows negatives"]
    known: Int64[np.ndarray, " known"]
    known_offsets: Int64[np.ndarray, " rows_and_one"]
    trusted: Bool[np.ndarray, "rows negatives"] | None = None


def batch_ids(pairs: Pairs, relations: Relations, rows: Int64[np.ndarray, " rows"]) -> BatchIds:
    """Look up the ids of a batch.

    Args:
        pairs: The pairs that the row numbers refer to.
        relations: Known positives of these pairs.
        rows: Row numbers of the batch.
    """
    anchors, positives = pairs.anchors[rows], pairs.positives[rows]
    negatives = _of_negatives(pairs, rows, pairs.negative_ids, -1)
    same_anchors, same_positives, same_negatives = map(pairs.identity, (anchors, positives, negatives))
    owners, known = relations.of_each(same_anchors)
    # Ten times as fast as `np.isin`, for as few as these.
    present = np.sort(np.concatenate([same_anchors, same_positives, same_negatives.ravel()]))
    in_batch = present[np.minimum(np.searchsorted(present, known), len(present) - 1)] == known
    return BatchIds(
        anchors=anchors,
        positives=positives,
        negatives=negatives,
        same_anchors=same_anchors,
        same_positives=same_positives,
        same_negatives=same_negatives,
        known=known[in_batch],
        known_offsets=offsets_of(np.bincount(owners[in_batch], minlength=len(rows))),
        trusted=None if pairs.trusted is None else _of_negatives(pairs, rows, pairs.trusted, False),
    )


def _of_negatives(
    pairs: Pairs, rows: Int64[np.ndarray, " rows"], values: Shaped[np.ndarray, " negatives"], padding: int
) -> Shaped[np.ndarray, "rows most"]:
    """The values of each row's negatives, from the left."""
    starts = pairs.negative_offsets[rows]
    counts = pairs.negative_offsets[rows + 1] - starts
    places = np.arange(counts.max())
    result = np.full((len(rows), len(places)), padding, dtype=values.dtype)
    used = places < counts[:, None]
    result[used] = values[(starts[:, None] + places)[used]]
    return result
