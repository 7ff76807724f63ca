"""The text ids of a batch: what the mask needs to know about who is who."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from gistembed.pairs import Pairs, Relations


@dataclass(frozen=True)
class BatchIds:
    """Text ids of the rows of one batch; -1 pads.

    Attributes:
        anchors: Each row's anchor.
        positives: Each row's positive.
        negatives: Each row's hard negatives.
        known: The texts of this batch that are known positives of each row's anchor.
    """

    anchors: Int64[np.ndarray, " rows"]
    positives: Int64[np.ndarray, " rows"]
    negatives: Int64[np.ndarray, "rows negatives"]
    known: Int64[np.ndarray, "rows known"]


def batch_ids(pairs: Pairs, relations: Relations, rows: Int64[np.ndarray, " rows"]) -> BatchIds:
    """Look up the ids of a batch.

    Args:
        pairs: The pairs that the row numbers refer to.
        relations: Known positives over all data, held-out pairs included.
        rows: Row numbers of the batch.
    """
    anchors, positives = pairs.anchors[rows], pairs.positives[rows]
    negatives = _padded([pairs.negatives(row) for row in rows.tolist()])
    present = np.unique(np.concatenate([anchors, positives, negatives.ravel()]))
    known = [relations.of(anchor) for anchor in anchors.tolist()]
    return BatchIds(anchors, positives, negatives, _padded([ids[np.isin(ids, present)] for ids in known]))


def _padded(lists: list[Int64[np.ndarray, " _"]]) -> Int64[np.ndarray, "rows longest"]:
    result = np.full((len(lists), max(map(len, lists))), -1, dtype=np.int64)
    for row, ids in enumerate(lists):
        result[row, : len(ids)] = ids
    return result
