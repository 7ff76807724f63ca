"""Mining as its definition reads: one anchor, one document at a time."""

import numpy as np


def mine_by_definition(pairs, score, settings, corpus=()):
    """The negatives of each anchor as {anchor id: [(document id, score)]}; draws nothing at random.

    Args:
        pairs: The pairs.
        score: From an anchor's id and a document's to their cosine.
        settings: What may be taken.
        corpus: Ids of further documents.
    """
    documents = {*pairs.positives.tolist(), *pairs.negative_ids.tolist(), *corpus}
    mined = {}
    for anchor in set(pairs.anchors.tolist()):
        positives = {int(p) for a, p in zip(pairs.anchors, pairs.positives, strict=True) if a == anchor}
        own = positives | {anchor}
        if not settings.replace:
            for row in range(len(pairs)):
                if pairs.anchors[row] == anchor:
                    own |= set(pairs.negatives(row).tolist())
        scores = {text: score(anchor, text) for text in documents | positives}
        ranking = sorted(documents - own, key=lambda text: (-scores[text], text))[: settings.range_max]
        least = min(scores[text] for text in positives)
        left = [text for text in ranking if _may(scores[text], least, settings)][settings.range_min :]
        mined[anchor] = [(text, scores[text]) for text in left[: settings.num_negatives]]
    return mined


def _may(score, positive, settings):
    rules = [
        settings.absolute_margin is None or score <= positive - settings.absolute_margin,
        settings.relative_margin is None or score <= positive - abs(positive) * settings.relative_margin,
        settings.positive_share is None or score <= positive * settings.positive_share,
        settings.max_cosine is None or score <= settings.max_cosine,
        settings.min_cosine is None or score >= settings.min_cosine,
    ]
    return all(rules)


def exact_vectors(generator, texts, kinds):
    """Unit vectors with exact products in float32, of few kinds, so that many scores are equal."""
    # Sixteen entries of a quarter: every product is a multiple of 1/16.
    signs = generator.choice([-1, 1], (kinds, 16)).astype(np.float32) / 4
    return signs[generator.integers(0, kinds, texts)]
