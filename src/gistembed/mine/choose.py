"""From the nearest documents of an anchor to its negatives: limits, ranks, and which are taken."""

import numpy as np
from jaxtyping import Bool, Float32, Int64

from gistembed.mine.nearest import Nearest
from gistembed.mine.settings import MiningSettings


def highest_scores(
    positives: Float32[np.ndarray, " anchors"], settings: MiningSettings
) -> Float32[np.ndarray, " anchors"]:
    """The cosine above which a document is no negative of an anchor; infinity where nothing limits it.

    The least of what is set among p - m (``absolute_margin``), p - |p|·m (``relative_margin``), p·share
    (``positive_share``) and ``max_cosine``, reckoned in float32.

    Args:
        positives: Cosine p of each anchor with the least similar of its known positives.
        settings: What is set.

    Source: NV-Retriever (arXiv 2407.15831), section 3, for the limits that follow the positive; |p| and the
    least similar positive are as in sentence-transformers.
    """
    limits = np.full(len(positives), np.inf, np.float32)
    if settings.absolute_margin is not None:
        limits = np.minimum(limits, positives - np.float32(settings.absolute_margin))
    if settings.relative_margin is not None:
        limits = np.minimum(limits, positives - np.abs(positives) * np.float32(settings.relative_margin))
    if settings.positive_share is not None:
        limits = np.minimum(limits, positives * np.float32(settings.positive_share))
    if settings.max_cosine is not None:
        limits = np.minimum(limits, np.float32(settings.max_cosine))
    return limits


def choose_negatives(
    nearest: Nearest,
    anchor_ids: Int64[np.ndarray, " anchors"],
    highest: Float32[np.ndarray, " anchors"],
    settings: MiningSettings,
) -> Nearest:
    """The negatives of each anchor, the hardest first; -1 pads where there are too few.

    Args:
        nearest: The nearest documents that are not the anchor's own.
        anchor_ids: Text ids of the anchors; with the seed they decide what is drawn for each.
        highest: What `highest_scores` says.
        settings: What may be taken, and how.
    """
    similarities = nearest.similarities
    may = (nearest.ids >= 0) & (similarities <= highest[:, None])
    if settings.min_cosine is not None:
        may &= similarities >= np.float32(settings.min_cosine)
    # Ranks among those that may be negatives, from 0.
    ranks = np.cumsum(may, axis=1) - 1
    may &= ranks >= settings.range_min
    if settings.sampling == "random":
        may = _drawn(may, anchor_ids, settings)
    places = np.argsort(~may, axis=1, kind="stable")[:, : settings.num_negatives]
    taken = np.take_along_axis(may, places, axis=1)
    return Nearest(
        np.where(taken, np.take_along_axis(nearest.ids, places, axis=1), -1),
        np.where(taken, np.take_along_axis(similarities, places, axis=1), np.float32(-np.inf)),
    )


def _drawn(
    may: Bool[np.ndarray, "anchors depth"],
    anchor_ids: Int64[np.ndarray, " anchors"],
    settings: MiningSettings,
) -> Bool[np.ndarray, "anchors depth"]:
    """So many of each anchor at random; what one anchor gets doesn't depend on the others."""
    drawn = np.zeros_like(may)
    for row, anchor_id in enumerate(anchor_ids.tolist()):
        places = np.flatnonzero(may[row])
        count = min(settings.num_negatives, len(places))
        random = np.random.default_rng((settings.seed, anchor_id))
        drawn[row, random.choice(places, count, replace=False)] = True
    return drawn
