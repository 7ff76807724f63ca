"""The text ids of a batch: what the mask needs to know about who is who."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from gistembed.pairs import Pairs, Relations, offsets_of


@dataclass(frozen=True)
class BatchIds:
    """Text ids of the rows of one batch.

    Attributes:
        anchors: Each row's anchor.
        positives: Each row's positive.
        negatives: Each row's hard negatives; -1 pads.
        known: The texts of this batch that are known positives of the rows' anchors, row after row.
        known_offsets: Those of row i are ``known[known_offsets[i] : known_offsets[i + 1]]``.
    """

    anchors: Int64[np.ndarray, " rows"]
    positives: Int64[np.ndarray, " rows"]
    negatives: Int64[np.ndarray, "rows negatives"]
    known: Int64[np.ndarray, " known"]
    known_offsets: Int64[np.ndarray, " rows_and_one"]


def batch_ids(pairs: Pairs, relations: Relations, rows: Int64[np.ndarray, " rows"]) -> BatchIds:
    """Look up the ids of a batch.

    Args:
        pairs: The pairs that the row numbers refer to.
        relations: Known positives of these pairs.
        rows: Row numbers of the batch.
    """
    batch = pairs.take(rows)
    present = np.sort(np.concatenate([batch.anchors, batch.positives, batch.negative_ids]))
    owners, known = relations.of_each(batch.anchors)
    # Ten times as fast as `np.isin`, for as few as these.
    in_batch = present[np.minimum(np.searchsorted(present, known), len(present) - 1)] == known
    return BatchIds(
        anchors=batch.anchors,
        positives=batch.positives,
        negatives=_padded(batch.negative_rows(), batch.negative_ids, len(rows)),
        known=known[in_batch],
        known_offsets=offsets_of(np.bincount(owners[in_batch], minlength=len(rows))),
    )


def _padded(
    owners: Int64[np.ndarray, " ids"], ids: Int64[np.ndarray, " ids"], rows: int
) -> Int64[np.ndarray, "rows longest"]:
    """Ids in the rows that own them, from the left; owners are sorted."""
    counts = np.bincount(owners, minlength=rows)
    result = np.full((rows, counts.max()), -1, dtype=np.int64)
    result[owners, np.arange(len(ids)) - np.repeat(np.cumsum(counts) - counts, counts)] = ids
    return result
