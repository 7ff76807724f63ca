"""Leaves out what would teach a model something false, and counts it."""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Int64

from gistembed.pairs.faults import are_known, earlier_pair, repeated_negatives
from gistembed.pairs.pairs import Pairs

SAME_TEXT = "pairs whose positive is the same text as the anchor"
OWN_NEGATIVE = "negatives that are the pair's own anchor or a known positive of it"
WEIGHTLESS = "pairs whose weight is 0"
REPEATED = "pairs that repeat an earlier pair with the same negatives"
REPEATED_NEGATIVE = "negatives that stand in their pair already"


def clean(pairs: Pairs) -> Pairs:
    """The pairs without those that say nothing, and without negatives that contradict a pair or repeat.

    What pairs of weight 0 say is not trained on, but their positives stay known.
    """
    dropped = dict(pairs.dropped)
    same_text = pairs.identity(pairs.anchors) == pairs.identity(pairs.positives)
    if same_text.any():
        dropped[SAME_TEXT] = int(same_text.sum())
        pairs = pairs.take(np.flatnonzero(~same_text))
    if pairs.weights is not None and (weightless := pairs.weights == 0).any():
        dropped[WEIGHTLESS] = int(weightless.sum())
        pairs = pairs.only_knowing(weightless)
    own_negative = _own_negatives(pairs)
    if own_negative.any():
        dropped[OWN_NEGATIVE] = int(own_negative.sum())
        pairs = pairs.without_negatives(own_negative)
    twice = repeated_negatives(pairs.identity(pairs.negative_ids), pairs.negative_offsets, pairs.trusted)
    if twice.any():
        dropped[REPEATED_NEGATIVE] = int(twice.sum())
        pairs = pairs.without_negatives(twice)
    repeated = _earlier(pairs) >= 0
    if repeated.any():
        dropped[REPEATED] = int(repeated.sum())
        pairs = pairs.take(np.flatnonzero(~repeated))
    return replace(pairs, dropped=dropped)


def _own_negatives(pairs: Pairs) -> Bool[np.ndarray, " negatives"]:
    if not len(pairs.negative_ids):
        return np.zeros(0, bool)
    anchors = pairs.identity(pairs.anchors)[pairs.negative_rows()]
    negatives = pairs.identity(pairs.negative_ids)
    own: Bool[np.ndarray, " negatives"] = are_known(anchors, negatives, *pairs.known_pairs()) | (
        anchors == negatives
    )
    return own


def _earlier(pairs: Pairs) -> Int64[np.ndarray, " pairs"]:
    return earlier_pair(
        pairs.identity(pairs.anchors),
        pairs.identity(pairs.positives),
        np.arange(len(pairs)),
        pairs.identity(pairs.negative_ids),
        pairs.negative_offsets,
        trusted=pairs.trusted,
        weights=pairs.weights,
    )
