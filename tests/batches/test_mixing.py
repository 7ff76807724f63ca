"""Pairs of several tasks: how often each comes, and whether they share batches."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gistembed.batches import BatchPlan, TaskMix

SIZES = st.lists(st.integers(1, 30), min_size=1, max_size=4)


def tasks_of(sizes):
    """Which task each pair is of: the pairs of a task don't stand together."""
    tasks = np.repeat(np.arange(len(sizes)), sizes)
    return np.random.default_rng(0).permutation(tasks)


def mix_of(sizes, **settings):
    tasks = tasks_of(sizes)
    return tasks, TaskMix(tuple(np.flatnonzero(tasks == task) for task in range(len(sizes))), **settings)


@pytest.mark.parametrize(
    ("mixing", "temperature", "quotas"),
    [
        ("proportional", 2.0, [90, 9, 1]),
        ("round_robin", 2.0, [1, 1, 1]),
        # 100 pairs in proportion to 9.487, 3 and 1: 70.35, 22.25 and 7.42; the largest rest gets the last.
        ("temperature", 2.0, [70, 22, 8]),
        ("temperature", 1.0, [90, 9, 1]),
        ("temperature", 1e9, [34, 33, 33]),
    ],
)
def test_quotas(mixing, temperature, quotas):
    _, mix = mix_of([90, 9, 1], mixing=mixing, temperature=temperature)
    assert mix.quotas().tolist() == quotas


@settings(max_examples=200)
@given(
    sizes=SIZES,
    mixing=st.sampled_from(["proportional", "round_robin", "temperature"]),
    one_task=st.booleans(),
    temperature=st.sampled_from([1.0, 2.0, 5.0]),
    batch_size=st.integers(2, 7),
    epoch=st.integers(0, 3),
)
def test_an_epoch_has_what_its_quotas_say(sizes, mixing, one_task, temperature, batch_size, epoch):
    tasks, mix = mix_of(sizes, mixing=mixing, one_task=one_task, temperature=temperature)
    batches = mix.epoch(batch_size, 7, epoch)
    assert len(batches) == mix.steps(batch_size)
    assert (batches == mix.epoch(batch_size, 7, epoch)).all()
    drawn = np.bincount(tasks[batches.ravel()], minlength=len(sizes))
    quotas = mix.quotas()
    assert (drawn <= quotas).all()
    if one_task:
        assert (tasks[batches] == tasks[batches][:, :1]).all()
        assert drawn.tolist() == (quotas // batch_size * batch_size).tolist()
    else:
        assert drawn.sum() == quotas.sum() // batch_size * batch_size
    # Of one task, each pair comes once before any comes a second time.
    times = np.bincount(batches.ravel(), minlength=sum(sizes))
    for task, size in enumerate(sizes):
        assert times[tasks == task].max(initial=0) <= -(-quotas[task] // size)


def test_round_robin_takes_turns():
    tasks, mix = mix_of([6, 4, 9], mixing="round_robin")
    assert tasks[mix.epoch(3, 0, 0)].tolist() == [[0, 1, 2]] * 4
    tasks, mix = mix_of([6, 4, 9], mixing="round_robin", one_task=True)
    assert tasks[mix.epoch(2, 0, 0)].tolist() == [[0, 0], [1, 1], [2, 2]] * 2


def test_small_tasks_differ_from_epoch_to_epoch():
    _, mix = mix_of([8, 8], mixing="round_robin")
    first, second = (mix.epoch(4, 0, epoch).tolist() for epoch in (0, 1))
    assert first != second


def test_refusals():
    with pytest.raises(ValueError, match=r"^mixing temperature 0\.5: expected 1 or more$"):
        mix_of([2, 2], mixing="temperature", temperature=0.5)
    _, mix = mix_of([3, 3], one_task=True)
    with pytest.raises(ValueError, match=r"^batch size 4: more than an epoch has of any task$"):
        BatchPlan(6, 4, 0, mix)
    assert BatchPlan(6, 3, 0, mix).epoch(0).shape == (2, 3)
