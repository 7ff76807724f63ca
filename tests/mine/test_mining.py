"""Mining against its definition, ties and blocks of any size included."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.mine.mining_reference import exact_vectors, mine_by_definition
from tests.pairs.pairs_samples import pairs_of, rows_of_texts

from gistembed.guide import GuideVectors
from gistembed.mine import (
    Documents,
    MiningSettings,
    Nearest,
    OwnTexts,
    choose_negatives,
    comparisons,
    highest_scores,
    mine_negatives,
    nearest_documents,
)
from gistembed.mine.nearest import top_columns


def vectors_of(vectors):
    """All texts in both roles."""
    rows = np.arange(len(vectors))
    return GuideVectors(vectors, {"anchor": rows, "document": rows})


def as_dict(mined):
    return {anchor: mined.of(anchor) for anchor in mined.anchors.tolist()}


limits = st.none() | st.sampled_from([-0.25, 0.0, 0.125, 0.25, 0.5])
windows = st.tuples(st.integers(1, 3), st.integers(0, 2), st.none() | st.integers(0, 4))


@st.composite
def mining_settings(draw):
    count, skipped, more = draw(windows)
    return MiningSettings(
        num_negatives=count,
        range_min=skipped,
        range_max=None if more is None else skipped + count + more,
        absolute_margin=draw(limits),
        relative_margin=draw(limits),
        positive_share=draw(st.none() | st.sampled_from([0.5, 1.0])),
        max_cosine=draw(st.none() | st.sampled_from([0.0, 0.5, 1.0])),
        min_cosine=draw(st.none() | st.sampled_from([-1.0, -0.25])),
        replace=draw(st.booleans()),
    )


@settings(max_examples=100)
@given(
    rows=rows_of_texts(texts=9, max_size=8),
    wanted=mining_settings(),
    seed=st.integers(0, 1000),
    kinds=st.integers(1, 6),
    block=st.integers(1, 12),
    more=st.integers(0, 4),
)
def test_mining_is_what_its_definition_says(rows, wanted, seed, kinds, block, more):
    pairs = pairs_of(rows)
    documents = np.unique(np.concatenate([pairs.positives, pairs.negative_ids]))
    known = len(pairs.texts)
    # A corpus has new texts, and may have those that were anchors only.
    corpus = np.setdiff1d(np.unique(pairs.anchors), documents)
    corpus = np.concatenate([corpus, [pairs.texts.add(f"new {i}") for i in range(more)]]).astype(np.int64)
    assert len(pairs.texts) == known + more
    vectors = exact_vectors(np.random.default_rng(seed), len(pairs.texts), kinds)
    mined = mine_negatives(
        pairs,
        vectors_of(vectors),
        wanted,
        corpus=Documents(corpus, vectors_of(vectors)) if len(corpus) else None,
        device="cpu",
        document_block=block,
    )
    expected = mine_by_definition(pairs, lambda a, b: float(vectors[a] @ vectors[b]), wanted, corpus.tolist())
    assert as_dict(mined) == expected


def test_anchors_that_do_not_fit_at_once(monkeypatch):
    """Three at a time, or two, because more of their documents would be too many to hold."""
    pairs = pairs_of([(f"q{i}", f"d{i}", []) for i in range(10)])
    vectors = vectors_of(exact_vectors(np.random.default_rng(1), 20, 12))
    wanted = MiningSettings(num_negatives=4, absolute_margin=0.125)
    expected = as_dict(mine_negatives(pairs, vectors, wanted, device="cpu"))
    monkeypatch.setattr("gistembed.mine.mining._SLAB", 3)
    for kept, slabs in ((100, 4), (8, 5)):
        monkeypatch.setattr("gistembed.mine.mining._KEPT", kept)
        done = []
        mined = mine_negatives(pairs, vectors, wanted, device="cpu", on_progress=done.append)
        assert as_dict(mined) == expected
        assert sum(done) == comparisons(10, 10, wanted) == 10 * slabs


@pytest.mark.parametrize(("anchor_block", "document_block"), [(1, 25), (7, 1), (7, 9), (40, 60)])
def test_what_is_nearest_does_not_depend_on_blocks(anchor_block, document_block):
    generator = np.random.default_rng(0)
    anchors, documents = exact_vectors(generator, 40, 7), exact_vectors(generator, 60, 7)
    own = OwnTexts(np.arange(40), np.arange(40))
    ids = np.arange(60)
    found = nearest_documents(
        anchors,
        (
            (ids[s : s + document_block], documents[s : s + document_block])
            for s in range(0, 60, document_block)
        ),
        own,
        9,
        anchor_block=anchor_block,
    )
    scores = anchors @ documents.T
    for row in range(40):
        order = sorted((i for i in range(60) if i != row), key=lambda i: (-scores[row, i], i))[:9]
        assert found.ids[row].tolist() == order
        assert found.similarities[row].tolist() == scores[row, order].tolist()


def test_fewer_documents_than_wanted_are_padded():
    one = np.ones((1, 1), np.float32)
    found = nearest_documents(one, [(np.array([4]), one)], OwnTexts(np.array([0]), np.array([4])), 2)
    assert found.ids.tolist() == [[-1, -1]]
    assert found.similarities.tolist() == [[-np.inf, -np.inf]]


@given(
    st.lists(st.lists(st.sampled_from([-np.inf, 0.0, 1.0]), min_size=6, max_size=6), min_size=1, max_size=4),
    st.integers(1, 8),
)
def test_of_equal_scores_those_further_left_are_found(scores, count):
    values, columns = top_columns(torch.tensor(scores), count)
    for row, own in enumerate(scores):
        real = {c for c in columns[row].tolist() if own[c] > -np.inf}
        best = sorted(range(6), key=lambda c: (-own[c], c))[:count]
        assert real == {c for c in best if own[c] > -np.inf}
        assert values[row].tolist() == [own[c] for c in columns[row].tolist()]


def test_limits_by_value():
    """Where the positive's cosine is negative, a share of it lies above it and a relative margin below."""
    positives = np.array([0.8, -0.4], np.float32)

    def limits_of(**options):
        return highest_scores(positives, MiningSettings(**options)).tolist()

    assert limits_of() == [np.inf, np.inf]
    assert limits_of(absolute_margin=0.1) == pytest.approx([0.7, -0.5])
    assert limits_of(relative_margin=0.25) == pytest.approx([0.6, -0.5])
    assert limits_of(positive_share=0.75) == pytest.approx([0.6, -0.3])
    assert limits_of(positive_share=0.75, absolute_margin=0.0, max_cosine=0.5) == pytest.approx([0.5, -0.4])


RANKED = Nearest(np.arange(40).reshape(4, 10), np.tile(np.linspace(0.9, 0.0, 10, dtype=np.float32), (4, 1)))
NO_LIMIT = np.full(4, np.inf, np.float32)


def drawn(rows, seed=0, count=3):
    wanted = MiningSettings(num_negatives=count, range_min=2, range_max=10, sampling="random", seed=seed)
    part = Nearest(RANKED.ids[rows], RANKED.similarities[rows])
    return choose_negatives(part, np.arange(4)[rows], NO_LIMIT[rows], wanted)


def test_what_is_drawn_for_an_anchor_does_not_depend_on_the_others():
    every = drawn([0, 1, 2, 3])
    assert np.array_equal(drawn([2]).ids, every.ids[2:3])
    assert np.array_equal(drawn([3, 0]).ids, every.ids[[3, 0]])
    assert not np.array_equal(drawn([0, 1, 2, 3], seed=1).ids, every.ids)


def test_draws_reach_all_that_is_left_and_nothing_else():
    ids = np.stack([drawn([0], seed).ids[0] for seed in range(200)])
    assert (np.diff(ids, axis=1) > 0).all(), "the hardest first, none twice"
    assert set(ids.flat) == set(range(2, 10))
    # 3 of 8 in 200 draws: 75 of each are expected, with a deviation of 6.8.
    assert np.abs(np.bincount(ids.flat, minlength=10)[2:] - 75).max() < 30


def test_a_draw_from_too_few_takes_all():
    assert drawn([1], count=8).ids.tolist() == [list(range(12, 20))]
