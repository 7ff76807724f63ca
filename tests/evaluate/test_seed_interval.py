"""Means over seeds and queries: the interval holds the luck of both."""

import numpy as np
import pytest

from gistembed.evaluate import mean_interval, seed_interval


def test_of_one_seed_it_is_the_interval_over_queries():
    values = np.random.default_rng(0).random((1, 40))
    assert seed_interval(values) == mean_interval(values[0])


def test_equal_values_are_a_point():
    interval = seed_interval(np.full((3, 5), 0.25))
    assert (interval.mean, interval.low, interval.high) == (0.25, 0.25, 0.25)


def test_what_only_seeds_change_shows():
    """All queries agree within a seed: an interval over queries alone, of their means, would be a point.

    Of S = 4 seeds at 0, 1, 2, 3 it is that of Student's t: 3.182 · sd / √4 on either side.
    """
    values = np.repeat(np.arange(4.0)[:, None], 50, axis=1)
    assert mean_interval(values.mean(axis=0)).low == 1.5
    interval = seed_interval(values)
    assert interval.mean == 1.5
    half = 3.182 * np.arange(4.0).std(ddof=1) / 2
    assert (interval.low, interval.high) == (
        pytest.approx(1.5 - half, rel=0.05),
        pytest.approx(1.5 + half, rel=0.05),
    )


def test_queries_of_a_group_count_as_one():
    """Of 200 queries in 20 groups that agree, the interval is that of 20 numbers."""
    of_groups = np.random.default_rng(3).normal(size=20)
    values = np.repeat(of_groups, 10)[None]
    interval = seed_interval(values, groups=np.repeat(np.arange(20), 10))
    expected = mean_interval(of_groups)
    assert interval.mean == pytest.approx(expected.mean)
    assert interval.low == pytest.approx(expected.low, abs=0.03)
    assert interval.high == pytest.approx(expected.high, abs=0.03)


def test_width_is_that_of_both_lucks():
    """Effects of seeds and queries that add up: the variance is var(seeds)/S + var(queries)/Q."""
    random = np.random.default_rng(1)
    of_seeds, of_queries = random.normal(size=30), random.normal(size=200)
    interval = seed_interval(of_seeds[:, None] + of_queries[None, :])
    expected = 1.96 * np.sqrt(of_seeds.var(ddof=1) / 30 + of_queries.var() / 200)
    assert (interval.high - interval.low) / 2 == pytest.approx(expected, rel=0.04)


def test_blocks_change_nothing_but_the_numbers_that_are_drawn(monkeypatch):
    """Few resamples at once, as for many queries: none is left at 0."""
    values = 1 + np.random.default_rng(2).random((3, 20))
    monkeypatch.setattr("gistembed.evaluate.resampling._AT_ONCE", 20 * 1000)
    interval = seed_interval(values)
    assert 1.2 < interval.low < interval.mean < interval.high < 1.8
