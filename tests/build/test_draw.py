"""Draws against loops over the full matrix: the same rows for the same numbers, in the right proportion."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from tests.build.reference import draw_by_loops, softmax, unit_rows

from gistembed.build import choose_by_softmax, draw_triplets


def labelled(seed, rows, classes, dim, dtype=np.float32):
    """Vectors around one centre for each class, and the classes; some of them may have one row or none."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, rows)
    centres = generator.standard_normal((classes, dim))
    vectors = centres[labels] + 2 * generator.standard_normal((rows, dim))
    return vectors.astype(dtype), labels


def as_pairs(drawn):
    """(positive, negative) of each row, None for what is not drawn."""
    columns = ([None if one < 0 else one for one in rows.tolist()] for rows in drawn)
    return list(zip(*columns, strict=True))


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(4, 40),
    classes=st.integers(2, 8),
    dim=st.integers(1, 9),
    topk=st.integers(1, 12),
    temperature=st.sampled_from([0.01, 0.05, 1.0]),
    at_once=st.integers(1, 300),
    dtype=st.sampled_from([np.float16, np.float32]),
)
def test_draws_as_loops_over_the_matrix_do(seed, rows, classes, dim, topk, temperature, at_once, dtype):
    vectors, labels = labelled(seed, rows, classes, dim, dtype)
    labels[:2] = 0, 1
    drawn = draw_triplets(vectors, labels, seed=seed, topk=topk, temperature=temperature, at_once=at_once)
    if dim > 1:
        expected = draw_by_loops(vectors, labels.tolist(), seed, topk, temperature)
        assert as_pairs(drawn) == expected
    else:
        # In one dimension all similarities are 1 or -1: only the earlier of equals may decide.
        blocked = draw_triplets(vectors, labels, seed=seed, topk=topk, temperature=temperature)
        assert as_pairs(drawn) == as_pairs(blocked)


@pytest.mark.parametrize("dim", [7, 384])
def test_blocks_don_t_change_what_is_drawn(dim):
    vectors, labels = labelled(3, 400, 3, dim, np.float16)
    whole = draw_triplets(vectors, labels)
    for at_once in (1, 1000, 12_345):
        for ours, theirs in zip(draw_triplets(vectors, labels, at_once=at_once), whole, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_more_rows_don_t_change_the_numbers_of_the_first():
    """A row's positive depends on its class alone: rows of other classes that follow leave it as it is."""
    vectors, labels = labelled(5, 60, 2, 8)
    more_vectors, _ = labelled(6, 30, 2, 8)
    few = draw_triplets(vectors, labels)
    many = draw_triplets(np.concatenate([vectors, more_vectors]), np.concatenate([labels, np.full(30, 2)]))
    np.testing.assert_array_equal(many.positives[:60], few.positives)


def test_of_many_equally_similar_rows_the_earlier_are_taken():
    """Forty copies of one vector: without a rule for ties, the four candidates would be any of them."""
    vectors = np.concatenate([np.tile([[1.0, 2.0, 3.0]], (40, 1)), -np.eye(3)]).astype(np.float32)
    labels = np.array([0] * 40 + [1] * 3)
    seen = set()
    for seed in range(20):
        drawn = draw_triplets(vectors, labels, seed=seed, topk=4, at_once=100)
        seen |= set(drawn.positives[:40].tolist())
    # Row 4 stands in for each of the first four in its own list.
    assert seen == {0, 1, 2, 3, 4}


def test_nearly_equal_rows_are_ranked_by_what_float32_products_can_t_tell():
    """Similarities 1e-8 apart: float32 products tie or swap them, and the best of them is the one to draw."""
    generator = np.random.default_rng(0)
    base = generator.standard_normal(384)
    vectors = np.stack([base + 1e-6 * generator.standard_normal(384) for _ in range(50)] + [-base, base * -2])
    labels = np.array([0] * 50 + [1, 1])
    unit = unit_rows(vectors).astype(np.float64)
    exact = unit[:50] @ unit[:50].T
    np.fill_diagonal(exact, -1)
    drawn = draw_triplets(vectors, labels, topk=1)
    np.testing.assert_array_equal(exact[np.arange(50), drawn.positives[:50]], exact.max(axis=1))


def test_a_softmax_is_drawn_in_its_proportions():
    """A grid of numbers in the place of random ones gives each probability to the grid's step."""
    scores, temperature, steps = np.array([0.9, 0.88, 0.8, 0.61, -0.2]), 0.05, 100_000
    uniforms = (np.arange(steps) + 0.5) / steps
    chosen = choose_by_softmax(np.tile(scores, (steps, 1)), uniforms, temperature)
    shares = np.bincount(chosen, minlength=5) / steps
    np.testing.assert_allclose(shares, softmax(scores.tolist(), temperature), atol=1.01 / steps)


def test_extreme_scores_neither_overflow_nor_leave_the_list():
    scores = np.array([[1.0, -1.0], [-1.0, -1.0]])
    largest = np.nextafter(1.0, 0.0)
    assert choose_by_softmax(scores, np.array([largest, largest]), 1e-3).tolist() == [0, 1]
    assert choose_by_softmax(scores, np.array([0.0, 0.0]), 1e-3).tolist() == [0, 0]


def test_positives_and_negatives_are_drawn_in_their_proportions():
    """Chi-square over many seeds, for one row of each class."""
    vectors, labels = labelled(1, 24, 3, 6)
    temperature, topk, seeds = 0.3, 5, 400
    drawn = [draw_triplets(vectors, labels, seed=s, topk=topk, temperature=temperature) for s in range(seeds)]
    unit = unit_rows(vectors).astype(np.float64)
    for row in (int(np.argmax(labels == label)) for label in range(3)):
        same = np.flatnonzero((labels == labels[row]) & (np.arange(24) != row))
        nearest = same[np.argsort(-(unit[same] @ unit[row]), kind="stable")[:topk]]
        positives = np.bincount([one.positives[row] for one in drawn], minlength=24)
        assert positives.sum() == positives[nearest].sum() == seeds
        expected = seeds * np.array(softmax((unit[nearest] @ unit[row]).tolist(), temperature))
        assert chisquare(positives[nearest], expected).pvalue > 1e-4
        others = np.flatnonzero(labels != labels[row])
        negatives = np.bincount([one.negatives[row] for one in drawn], minlength=24)
        assert negatives[others].sum() == seeds
        assert chisquare(negatives[others]).pvalue > 1e-4


def test_progress_counts_every_row():
    vectors, labels = labelled(2, 50, 12, 4)
    done = []
    draw_triplets(vectors, labels, at_once=7, on_progress=done.append)
    assert sum(done) == 50


def test_one_class_has_no_negatives():
    with pytest.raises(ValueError, match=r"^a negative is of another class, but there are fewer than two$"):
        draw_triplets(np.eye(3, dtype=np.float32), np.zeros(3, int))


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_a_vector_without_a_direction_is_named(value):
    vectors, labels = labelled(2, 10, 2, 4)
    labels[4:7] = 0
    vectors[5] = value
    with pytest.raises(ValueError, match=r"^the vector of row 5 is zero or not finite$"):
        draw_triplets(vectors, labels)
