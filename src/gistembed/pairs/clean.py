"""Leaves out what would teach a model something false, and counts it."""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool

from gistembed.pairs.pairs import Pairs, offsets_of

SAME_TEXT = "pairs whose positive is the same text as the anchor"
OWN_NEGATIVE = "negatives that are the pair's own anchor or a known positive of it"
REPEATED = "pairs that repeat an earlier pair with the same negatives"


def clean(pairs: Pairs) -> Pairs:
    """The pairs without those that say nothing, and without negatives that contradict a pair."""
    same_text = pairs.anchors == pairs.positives
    pairs = pairs.take(np.flatnonzero(~same_text))
    own_negative = _own_negatives(pairs)
    pairs = _without_negatives(pairs, own_negative)
    repeated = _repeated(pairs)
    pairs = pairs.take(np.flatnonzero(~repeated))
    left_out = {SAME_TEXT: same_text, OWN_NEGATIVE: own_negative, REPEATED: repeated}
    return replace(
        pairs, dropped={reason: int(rows.sum()) for reason, rows in left_out.items() if rows.any()}
    )


def _own_negatives(pairs: Pairs) -> Bool[np.ndarray, " negatives"]:
    anchors = pairs.anchors[pairs.negative_rows()]
    known = np.isin(anchors * len(pairs.texts) + pairs.negative_ids, pairs.pair_keys())
    own: Bool[np.ndarray, " negatives"] = known | (anchors == pairs.negative_ids)
    return own


def _without_negatives(pairs: Pairs, leaves: Bool[np.ndarray, " negatives"]) -> Pairs:
    rows = pairs.negative_rows()[~leaves]
    return replace(
        pairs,
        negative_offsets=offsets_of(np.bincount(rows, minlength=len(pairs))),
        negative_ids=pairs.negative_ids[~leaves],
    )


def _repeated(pairs: Pairs) -> Bool[np.ndarray, " pairs"]:
    keys = pairs.pair_keys()
    _, which, counts = np.unique(keys, return_inverse=True, return_counts=True)
    repeated = np.zeros(len(pairs), bool)
    seen: set[tuple[int, bytes]] = set()
    for row in np.flatnonzero(counts[which] > 1).tolist():
        whole = (int(keys[row]), pairs.negatives(row).tobytes())
        repeated[row] = whole in seen
        seen.add(whole)
    return repeated
