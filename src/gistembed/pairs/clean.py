"""Leaves out what would teach a model something false, and counts it."""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Int64

from gistembed.pairs.pairs import Pairs

SAME_TEXT = "pairs whose positive is the same text as the anchor"
OWN_NEGATIVE = "negatives that are the pair's own anchor or a known positive of it"
WEIGHTLESS = "pairs whose weight is 0"
REPEATED = "pairs that repeat an earlier pair with the same negatives"


def clean(pairs: Pairs) -> Pairs:
    """The pairs without those that say nothing, and without negatives that contradict a pair."""
    dropped = dict(pairs.dropped)
    same_text = pairs.identity(pairs.anchors) == pairs.identity(pairs.positives)
    if same_text.any():
        dropped[SAME_TEXT] = int(same_text.sum())
        pairs = pairs.take(np.flatnonzero(~same_text))
    if pairs.weights is not None and (weightless := pairs.weights == 0).any():
        dropped[WEIGHTLESS] = int(weightless.sum())
        pairs = pairs.take(np.flatnonzero(~weightless))
    own_negative = _own_negatives(pairs)
    if own_negative.any():
        dropped[OWN_NEGATIVE] = int(own_negative.sum())
        pairs = pairs.without_negatives(own_negative)
    repeated = _repeated(pairs)
    if len(repeated):
        dropped[REPEATED] = len(repeated)
        pairs = pairs.take(np.delete(np.arange(len(pairs)), repeated))
    return replace(pairs, dropped=dropped)


def _own_negatives(pairs: Pairs) -> Bool[np.ndarray, " negatives"]:
    if not len(pairs.negative_ids):
        return np.zeros(0, bool)
    anchors = pairs.identity(pairs.anchors)[pairs.negative_rows()]
    negatives = pairs.identity(pairs.negative_ids)
    known = np.isin(anchors * len(pairs.texts) + negatives, pairs.pair_keys())
    own: Bool[np.ndarray, " negatives"] = known | (anchors == negatives)
    return own


def _repeated(pairs: Pairs) -> Int64[np.ndarray, " repeated"]:
    """The pairs that stand before already, with the same negatives, in the order of the pairs."""
    keys = pairs.pair_keys()
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    like_next = ordered[1:] == ordered[:-1]
    several = np.zeros(len(keys), bool)
    several[order[1:][like_next]] = True
    several[order[:-1][like_next]] = True
    repeated: list[int] = []
    seen: set[tuple[int, bytes]] = set()
    for row in np.flatnonzero(several).tolist():
        whole = (int(keys[row]), pairs.identity(pairs.negatives(row)).tobytes())
        if whole in seen:
            repeated.append(row)
        seen.add(whole)
    return np.array(repeated, np.int64)
