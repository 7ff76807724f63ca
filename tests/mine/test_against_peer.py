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


def distinct_beginnings():
    """Pairs of a paragraph and the next one; no two texts look alike to a model that reads 24 letters."""
    seen, pairs = set(), []
    for pair in documentation_pairs():
        beginnings = {"".join(text.casefold().split())[:12] for text in pair}
        if len(beginnings) == 2 and not beginnings & seen:
            seen |= beginnings
            pairs.append(pair)
    return pairs


@pytest.fixture(scope="module")
def data():
    """Rows of which every 15th anchor has two positives, and a corpus that holds a positive too."""
    every = distinct_beginnings()[: PAIRS + CORPUS]
    rows = every[:PAIRS] + [(every[row][0], every[row + 1][1]) for row in range(0, PAIRS, 15)]
    corpus = [text for pair in every[PAIRS:] for text in pair] + [every[7][1]]
    anchors, positives = zip(*rows, strict=True)
    return datasets.Dataset.from_dict({"anchor": anchors, "positive": positives}), corpus


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
    their_names = {"max_cosine": "max_score", "min_cosine": "min_score"}
    found = mine_hard_negatives(
        rows,
        model,
        corpus=corpus,
        output_scores=True,
        verbose=False,
        query_prompt_name="query" if "query" in model.prompts else None,
        **{their_names.get(name, name): value for name, value in options.items()},
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
        others = read_corpus(datasets.Dataset.from_dict({"text": corpus}), pairs).documents
        more = Documents.of(others, embed_now(guide, others))
    mined = mine_negatives(
        pairs, embed_now(guide, pairs), MiningSettings(**options), corpus=more, device="cpu"
    )
    return {
        (anchor, positive): [(pairs.texts[i], score) for i, score in mined.of(pairs.texts.id_of(anchor))]
        for anchor, positive, _ in as_rows(pairs)
    }


def check_equal(ours, theirs):
    """Equal scores place by place, and the same texts but for those whose scores differ by rounding alone."""
    assert ours.keys() == theirs.keys()
    same = []
    for row, expected in theirs.items():
        scores = [[score for _, score in mined] for mined in (ours[row], expected)]
        np.testing.assert_allclose(*scores, rtol=0, atol=TOLERANCE)
        same += [one == other for (one, _), (other, _) in zip(ours[row], expected, strict=True)]
    assert np.mean(same) > 0.98


WINDOWS = [
    {"num_negatives": 3, "range_max": 10},
    {"num_negatives": 2, "range_min": 5, "range_max": 40},
    {"num_negatives": 4, "range_max": 60, "absolute_margin": 0.0},
    {"num_negatives": 4, "range_max": 30, "absolute_margin": 0.002},
    {"num_negatives": 3, "range_max": 80, "relative_margin": 0.01},
    {"num_negatives": 3, "range_min": 2, "range_max": 50, "relative_margin": 0.002, "absolute_margin": 0.001},
]


def full(mined, count):
    return {row: negatives for row, negatives in mined.items() if len(negatives) == count}


def some(mined):
    return {row: negatives for row, negatives in mined.items() if negatives}


@pytest.mark.parametrize("options", WINDOWS, ids=str)
def test_one_positive(folder, single, options):
    """Partial rows too, which their triplets keep; a row without any negative is none of theirs."""
    rows, _ = single
    expected = theirs(folder, rows, **options)
    assert len(expected) > 10
    check_equal(some(ours(folder, rows, **options)), expected)


@pytest.mark.parametrize("options", [WINDOWS[0], WINDOWS[4]], ids=str)
def test_rows_with_too_few_are_dropped(folder, single, options):
    """Their tuples have no partial rows."""
    rows, _ = single
    expected = theirs(folder, rows, output_format="n-tuple", **options)
    assert len(expected) > 10
    check_equal(full(ours(folder, rows, **options), options["num_negatives"]), expected)


@pytest.mark.parametrize(
    "options",
    [
        {"num_negatives": 3, "range_max": 10},
        {"num_negatives": 2, "range_min": 3, "range_max": 9},
        {"num_negatives": 3, "range_max": 400, "relative_margin": 0.005},
        {"num_negatives": 3, "range_max": 400, "absolute_margin": 0.005, "range_min": 4},
        {"num_negatives": 3, "range_max": 400, "max_cosine": 0.97},
        {"num_negatives": 3, "range_max": 400, "max_cosine": 0.97, "min_cosine": 0.965},
    ],
    ids=str,
)
def test_several_positives_and_a_corpus(folder, data, options):
    """Both take the least similar positive; in a range that holds everything, theirs is as wide as ours."""
    rows, corpus = data
    expected = theirs(folder, rows, corpus, **options)
    assert len(expected) > 10
    check_equal(some(ours(folder, rows, corpus, **options)), expected)


@pytest.mark.parametrize("margin", [{"relative_margin": 0.005}, {"absolute_margin": 0.001}], ids=str)
def test_without_a_range_ours_finds_at_least_theirs(folder, data, margin):
    """Theirs looks at the nearest only: as many as ten times what is wanted, and the positives."""
    rows, corpus = data
    expected = theirs(folder, rows, corpus, num_negatives=2, **margin)
    got = ours(folder, rows, corpus, num_negatives=2, **margin)
    assert expected
    check_equal({row: got[row][: len(negatives)] for row, negatives in expected.items()}, expected)
