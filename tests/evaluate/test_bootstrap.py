"""Intervals and verdicts: against an independent bootstrap, and against their own promise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gistembed.evaluate import FEWEST_QUERIES, compare, mean_interval, verdict_of
from gistembed.record import Interval


def independent_interval(values, seed):
    """The percentile interval, resample by resample."""
    random = np.random.default_rng(seed)
    means = [random.choice(values, len(values)).mean() for _ in range(20_000)]
    return np.percentile(means, [2.5, 97.5])


@pytest.mark.parametrize("size", [5, 40, 300])
def test_interval_against_an_independent_bootstrap(size):
    """Equal to Monte-Carlo error: the standard error of such a percentile is about 0.02 of the mean's."""
    values = np.random.default_rng(size).exponential(size=size)
    interval = mean_interval(values)
    tolerance = 0.1 * values.std() / np.sqrt(size)
    np.testing.assert_allclose([interval.low, interval.high], independent_interval(values, 1), atol=tolerance)
    assert interval.mean == values.mean()


def test_interval_is_a_function_of_the_seed():
    values = np.random.default_rng(0).standard_normal(50)
    assert mean_interval(values, seed=3) == mean_interval(values, seed=3) != mean_interval(values, seed=4)


@pytest.mark.parametrize("values", [[0.25], [0.25] * 7, [0.0] * 3])
def test_interval_of_one_number(values):
    assert mean_interval(np.array(values)) == Interval(mean=values[0], low=values[0], high=values[0])


def test_two_values_span_from_one_to_the_other():
    assert mean_interval(np.array([0.0, 1.0])) == Interval(mean=0.5, low=0.0, high=1.0)


def test_coverage():
    """A 95 % interval holds the true mean about 95 times in 100: 100 samples of 60, at least 88 of them."""
    random = np.random.default_rng(7)
    intervals = [mean_interval(random.normal(0.3, 1, size=60), seed=i) for i in range(100)]
    covered = sum(interval.low <= 0.3 <= interval.high for interval in intervals)
    assert 88 <= covered <= 99


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (1e-12, 0.1, "better"),
        (0.0, 0.1, "not distinguishable"),
        (-0.1, 0.1, "not distinguishable"),
        (-0.1, 0.0, "not distinguishable"),
        (0.0, 0.0, "not distinguishable"),
        (-0.1, -1e-12, "worse"),
    ],
)
def test_verdicts(low, high, verdict):
    interval = Interval(mean=(low + high) / 2, low=low, high=high)
    assert verdict_of(interval, queries=20) == verdict
    assert verdict_of(interval, queries=19) == "not distinguishable"


@pytest.mark.parametrize(("queries", "verdict"), [(1, None), (2, None), (19, None), (20, "better")])
def test_few_queries_decide_nothing(queries, verdict):
    """Every query gains, and the interval of one query is a point: without the rule all were "better"."""
    comparison = compare(("base", np.zeros(queries)), ("guided", np.full(queries, 0.5)), metric="RR@10")
    assert comparison.difference == Interval(mean=0.5, low=0.5, high=0.5)
    assert comparison.wins == queries
    assert comparison.verdict == (verdict or "not distinguishable")


def test_why_few_queries_decide_nothing():
    """Of five values a 95 % interval holds the true mean about 8 times in 10, not 95 times in 100."""
    random = np.random.default_rng(11)
    intervals = [mean_interval(random.normal(0.3, 1, size=5), seed=i) for i in range(200)]
    assert 150 <= sum(interval.low <= 0.3 <= interval.high for interval in intervals) <= 178


def test_comparison_by_value():
    before = np.array([0.0, 0.5, 1.0, 0.5, 0.2])
    after = np.array([1.0, 0.4, 1.0, 0.5 + 1e-12, 0.3])
    comparison = compare(("base", before), ("guided", after), metric="nDCG@10", seed=5)
    assert (comparison.baseline, comparison.challenger, comparison.metric) == ("base", "guided", "nDCG@10")
    assert (comparison.wins, comparison.losses, comparison.ties) == (2, 1, 2)
    assert comparison.confidence == 0.95
    assert comparison.difference == mean_interval(after - before, seed=5)
    assert comparison.difference.mean == pytest.approx(0.2)
    assert comparison.verdict == "not distinguishable"


def test_a_comparison_is_paired():
    """Queries differ far more than the models do; unpaired, a gain of 0.01 would drown in it."""
    before = np.random.default_rng(0).uniform(size=200)
    comparison = compare(("base", before), ("guided", before + 0.01), metric="RR@10")
    assert comparison.verdict == "better"
    assert comparison.difference.low == pytest.approx(0.01)
    assert comparison.wins == 200


def test_equal_models_are_not_distinguishable():
    scores = np.random.default_rng(0).uniform(size=20)
    comparison = compare(("base", scores), ("guided", scores), metric="RR@10")
    assert comparison.verdict == "not distinguishable"
    assert (comparison.wins, comparison.losses, comparison.ties) == (0, 0, 20)


@settings(max_examples=50)
@given(st.lists(st.floats(-1, 1).map(lambda x: round(x, 3)), min_size=1, max_size=40))
def test_exchanging_the_models_mirrors_the_comparison(differences):
    zeros, gains = np.zeros(len(differences)), np.array(differences)
    there = compare(("a", zeros), ("b", gains), metric="m")
    back = compare(("b", gains), ("a", zeros), metric="m")
    assert (there.wins, there.losses, there.ties) == (back.losses, back.wins, back.ties)
    assert there.difference.mean == pytest.approx(-back.difference.mean)
    assert there.difference.low <= there.difference.mean + 1e-12
    assert there.difference.high >= there.difference.mean - 1e-12
    assert {there.verdict, back.verdict} in ({"better", "worse"}, {"not distinguishable"})
    if len(differences) < FEWEST_QUERIES:
        assert there.verdict == "not distinguishable"
