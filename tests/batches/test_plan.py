"""The order of training: a pure function of seed and epoch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gistembed.batches import BatchPlan, PlanSampler, RowNumbers


@st.composite
def plans(draw):
    pairs = draw(st.integers(2, 60))
    return BatchPlan(pairs, batch_size=draw(st.integers(2, pairs)), seed=draw(st.integers(0, 2**32)))


@given(plans(), st.integers(0, 5))
def test_an_epoch_shows_each_pair_at_most_once(plan, epoch):
    batches = plan.epoch(epoch)
    assert batches.shape == (plan.pairs // plan.batch_size, plan.batch_size)
    assert batches.size == len(set(batches.ravel().tolist()) & set(range(plan.pairs)))


@given(plans(), st.integers(0, 5))
def test_equal_plans_give_equal_batches(plan, epoch):
    again = BatchPlan(plan.pairs, plan.batch_size, plan.seed)
    np.testing.assert_array_equal(plan.epoch(epoch), again.epoch(epoch))


def test_epochs_and_seeds_differ_and_none_leaves_out_the_same_pairs():
    """103 pairs in batches of 10: with one fixed shuffle the same 3 would never be seen."""
    orders = [
        BatchPlan(103, 10, seed).epoch(epoch).ravel().tolist() for seed in range(3) for epoch in range(4)
    ]
    assert len({tuple(order) for order in orders}) == 12
    assert len({frozenset(range(103)) - frozenset(order) for order in orders}) == 12


def test_pairs_that_fill_all_batches_are_all_seen():
    assert sorted(BatchPlan(12, 4, seed=1).epoch(0).ravel().tolist()) == list(range(12))


@pytest.mark.parametrize(
    ("pairs", "batch_size", "message"),
    [
        (10, 11, "batch size 11: expected 2 … 10, the number of training pairs"),
        (10, 1, "batch size 1: expected 2 … 10, the number of training pairs"),
        (10, -4, "batch size -4: expected 2 … 10, the number of training pairs"),
    ],
)
def test_refusals(pairs, batch_size, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        BatchPlan(pairs, batch_size, seed=0)


def test_the_sampler_follows_the_plan_from_epoch_to_epoch():
    plan = BatchPlan(11, 3, seed=5)
    sampler = PlanSampler(plan)
    assert len(sampler) == 3
    assert list(sampler) == plan.epoch(0).tolist()
    sampler.set_epoch(2)
    assert list(sampler) == plan.epoch(2).tolist()


def test_rows_are_their_own_numbers():
    """One by one from the table, several at once without it."""
    rows = RowNumbers.up_to(5)
    assert (len(rows), rows.column_names) == (5, ["row"])
    assert rows[3] == {"row": 3}
    assert rows.__getitems__([4, 0]) == [4, 0]
