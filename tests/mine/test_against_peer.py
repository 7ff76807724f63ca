"""The numbers of sentence-transformers' `mine_hard_negatives`, with a real model on real text."""

import datasets
import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import mine_hard_negatives
from tests.pairs.pairs_samples import as_rows
from tests.real_text import documentation_pairs

from gistembed.guide import embed_now
from gistembed.mine import Documents, MiningSettings, mine_negatives, read_corpus
from gistembed.models import load_model
from gistembed.pairs import Texts, read_pairs

PAIRS = 150
TOLERANCE = 2e-6
CORPUS = 60


@pytest.fixture(scope="module")
def data():
    """Pairs of a paragraph and the next one, some with several positives; no text is in both roles."""
    every = documentation_pairs()[: PAIRS + CORPUS]
    anchors, positives = zip(*every[:PAIRS], strict=True)
    anchors, positives = list(anchors), list(positives)
    for row in range(0, PAIRS, 15):
        anchors.append(anchors[row])
        positives.append(positives[row + 1])
    shared = set(anchors) & set(positives)
    rows = [(a, p) for a, p in zip(anchors, positives, strict=True) if not {a, p} & shared]
    corpus = [text for pair in every[PAIRS:] for text in pair if text not in set(anchors)]
    table = {"anchor": [a for a, _ in rows], "positive": [p for _, p in rows]}
    return datasets.Dataset.from_dict(table), corpus


@pytest.fixture(scope="module")
def single(data):
    """The same with the first positive of each anchor only."""
    rows, corpus = data
    first = dict(zip(reversed(rows["anchor"]), reversed(rows["positive"]), strict=True))
    return datasets.Dataset.from_dict({"anchor": list(first), "positive": list(first.values())}), corpus


@pytest.fixture(scope="module", params=["static", "bert"])
def folder(request):
    return request.getfixturevalue(f"{request.param}_folder")


def theirs(folder, rows, corpus=None, **options):
    """(anchor, positive) to what they mine: [(text, score)], the hardest first."""
    model = SentenceTransformer(str(folder), device="cpu")
    found = mine_hard_negatives(
        rows,
        model,
        corpus=corpus,
        output_scores=True,
        verbose=False,
        query_prompt_name="query" if "query" in model.prompts else None,
        **options,
    )
    mined = {}
    for row in found:
        negatives = [row[name] for name in found.column_names if name.startswith("negative")]
        mined.setdefault((row["anchor"], row["positive"]), []).extend(
            zip(negatives, row["scores"][1:], strict=True)
        )
    return mined


def ours(folder, rows, corpus=None, **options):
    guide = load_model(str(folder), option="--guide", device="cpu")
    pairs = read_pairs(rows, texts=Texts())
    more = None
    if corpus is not None:
        others = read_corpus(datasets.Dataset.from_dict({"text": corpus}), pairs)
        more = Documents.of(others, embed_now(guide, others))
    mined = mine_negatives(
        pairs, embed_now(guide, pairs), MiningSettings(**options), corpus=more, device="cpu"
    )
    return {
        (anchor, positive): [(pairs.texts[i], score) for i, score in mined.of(pairs.texts.id_of(anchor))]
        for anchor, positive, _ in as_rows(pairs)
    }


def check_equal(ours, theirs):
    assert len(ours) == len(theirs)
    for row, expected in theirs.items():
        got = ours[row]
        np.testing.assert_allclose(
            [score for _, score in got], [score for _, score in expected], atol=TOLERANCE
        )
        # Texts may change places only where their scores can't be told apart.
        gaps = -np.diff([1.0, *(score for _, score in expected), -1.0])
        for place, ((one, _), (other, _)) in enumerate(zip(got, expected, strict=True)):
            assert one == other or min(gaps[place : place + 2]) < 2 * TOLERANCE


WINDOWS = [
    {"num_negatives": 3, "range_max": 10},
    {"num_negatives": 2, "range_min": 5, "range_max": 40},
    {"num_negatives": 4, "range_max": 60, "absolute_margin": 0.0},
    {"num_negatives": 4, "range_max": 30, "absolute_margin": 0.002},
    {"num_negatives": 3, "range_max": 80, "relative_margin": 0.01},
    {"num_negatives": 3, "range_min": 2, "range_max": 50, "relative_margin": 0.002, "absolute_margin": 0.001},
]


@pytest.mark.parametrize("options", WINDOWS, ids=str)
def test_one_positive(folder, single, options):
    """What their default of keeping partial rows gives; a row without any negative is none of theirs."""
    rows, _ = single
    expected = theirs(folder, rows, **options)
    got = {row: negatives for row, negatives in ours(folder, rows, **options).items() if negatives}
    assert expected
    check_equal(got, expected)
