"""The guards' numbers, by value."""

import math

import numpy as np
import pytest
import torch

from gistembed.train.guards.measures import (
    contrastive_loss,
    ends,
    first_not_finite,
    guessing_loss,
    mean_cosine,
    mean_turn,
    rank_agreement,
    separation,
)

OFF = ~np.eye(3, dtype=bool)


def test_mean_cosine_is_that_of_all_pairs():
    """Two equal directions and one across: 1, 0 and 0, whatever the lengths."""
    assert float(mean_cosine(torch.tensor([[1.0, 0], [5, 0], [0, 2]]))) == pytest.approx(1 / 3)
    vectors = torch.randn(7, 4, generator=torch.Generator().manual_seed(0))
    unit = torch.nn.functional.normalize(vectors)
    pairs = (unit @ unit.T)[~torch.eye(7, dtype=torch.bool)]
    assert float(mean_cosine(vectors)) == pytest.approx(float(pairs.mean()), abs=1e-6)


def test_mean_cosine_of_half_precision_is_made_in_full():
    assert float(mean_cosine(torch.ones(1000, 64, dtype=torch.float16))) == pytest.approx(1, abs=1e-5)


def test_separation_counts_wins_and_half_of_the_ties():
    similarities = np.array([[0.9, 0.1, 0.9], [0.5, 0.4, 0.6], [0.0, 0.1, 0.2]])
    # First row: a win and a tie; second: two losses; third: two wins.
    assert separation(similarities, OFF) == pytest.approx((1 + 0.5 + 0 + 0 + 1 + 1) / 6)
    one = np.zeros_like(OFF)
    one[0, 1] = True
    assert separation(similarities, one) == 1
    assert separation(similarities, np.zeros_like(OFF)) is None


def test_contrastive_loss_is_that_of_the_softmax():
    similarities = np.array([[0.5, 0.1, 0.3], [0.2, 0.2, 0.2], [0.0, 0.9, 0.4]])
    rivals = OFF.copy()
    rivals[0, 2] = False
    rows = [
        -math.log(math.exp(5) / (math.exp(5) + math.exp(1))),
        math.log(3),
        -math.log(math.exp(4) / (math.exp(0) + math.exp(9) + math.exp(4))),
    ]
    assert contrastive_loss(similarities, rivals, 0.1) == pytest.approx(sum(rows) / 3)
    assert guessing_loss(rivals) == pytest.approx((math.log(2) + 2 * math.log(3)) / 3)
    equal = np.full((3, 3), 0.7)
    assert contrastive_loss(equal, rivals, 0.01) == pytest.approx(guessing_loss(rivals))


def test_rank_agreement_is_spearmans():
    first = np.array([[9, 0.1, 0.2], [0.3, 9, 0.4], [0.5, 0.6, 9]])
    assert rank_agreement(first, np.exp(first), OFF) == pytest.approx(1)
    assert rank_agreement(first, -first, OFF) == pytest.approx(-1)
    second = np.array([[0, 2, 1], [3, 0, 4], [5, 6, 0.0]])
    assert rank_agreement(first, second, OFF) == pytest.approx(1 - 6 * 2 / (6 * 35))
    assert rank_agreement(first, np.ones((3, 3)), OFF) is None


def test_mean_turn_tells_angles_that_an_arc_cosine_would_not():
    angles = np.radians([0, 1e-3, 60])
    after = np.stack([np.cos(angles), np.sin(angles)], 1)
    before = np.tile([1.0, 0], (3, 1))
    assert mean_turn(before, before) == 0
    assert mean_turn(before[1:2], after[1:2]) == pytest.approx(1e-3)
    assert mean_turn(before, after) == pytest.approx((0 + 1e-3 + 60) / 3)


def test_ends_of_a_series():
    first, last, chance = ends([4.0, 4.0, 2.0, 2.0, 1.0, 1.0, 0.0, 0.0], 0.25)
    assert (first, last) == (4, 0)
    # Squared differences 0, 4, 0, 1, 0, 1, 0: noise √(6/7/2), over two means of two values each.
    assert chance == pytest.approx(math.sqrt(6 / 7 / 2) * math.sqrt(2 / 2))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_first_not_finite_is_named(bad, dtype):
    whole = torch.full((3, 2), 1e30, dtype=dtype)
    broken = whole.clone()
    broken[1, 1] = bad
    tensors = [("a", whole), ("empty", torch.empty(0)), ("b", broken), ("c", broken)]
    assert first_not_finite(tensors) == "b"
    assert first_not_finite(tensors[:2]) is None
    assert first_not_finite([]) is None


def test_what_is_finite_is_known_without_float64(monkeypatch):
    """Not all accelerators have it."""

    def refuse(_):
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype")

    monkeypatch.setattr(torch.Tensor, "double", refuse, raising=False)
    assert first_not_finite([("a", torch.ones(3)), ("b", torch.tensor([torch.inf]))]) == "b"
    assert first_not_finite([("a", torch.ones(3))]) is None


def test_numbers_whose_sum_overflows_are_finite():
    assert first_not_finite([("a", torch.full((4,), 3e38)), ("b", torch.full((4,), 3e38))]) is None
