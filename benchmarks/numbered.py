"""Distinct pairs of real text, as many as a benchmark asks for, and a guide's vectors of them."""

import numpy as np
from datasets import Dataset
from tests.real_text import documentation_pairs

from gistembed.guide import GuideVectors
from gistembed.pairs import Pairs, read_pairs

_GUIDE_DIMENSIONS = 384


def numbered_pairs(count: int) -> Pairs:
    """Paragraphs of Python's documentation, numbered so as to be distinct.

    Args:
        count: How many pairs.
    """
    texts = documentation_pairs()
    numbered = [(f"{i} {a}", f"{i} {p}") for i in range(-(-count // len(texts))) for a, p in texts]
    anchors, positives = zip(*numbered[:count], strict=True)
    return read_pairs(Dataset.from_dict({"anchor": list(anchors), "positive": list(positives)}))


def random_guide(pairs: Pairs) -> GuideVectors:
    """Random vectors: what they say changes no size and no time.

    Args:
        pairs: Whose texts have them.
    """
    every = np.arange(len(pairs.texts))
    vectors = np.random.default_rng(0).standard_normal((len(every), _GUIDE_DIMENSIONS))
    return GuideVectors(vectors.astype(np.float16), {"anchor": every, "document": every})
