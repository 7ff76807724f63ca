"""Means and differences over queries, with bootstrap confidence intervals."""

import warnings
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64
from scipy import stats

from gistembed.record import Comparison, Interval, Verdict

CONFIDENCE = 0.95
LEVEL = 0.05
"""Of tests: a p-value below it lies outside of the interval, and says that there is a difference."""

FEWEST_QUERIES = 20
"""Below this number of queries no verdict is given.

The percentile interval of few values is too narrow: of one value it is a point, and of five a 95 % interval
holds the true mean only about eight times in ten.
"""

RESAMPLES = 9999
SMALLEST_P = 2 / (RESAMPLES + 1)
"""That no resample lies on the other side of 0 says no more than this."""

TIE = 1e-9
"""Scores closer than this are a tie: rankings that differ only in the last bits of a float."""


def mean_interval(values: Float64[np.ndarray, " queries"], *, seed: int = 0) -> Interval:
    """Mean over queries with its percentile bootstrap interval.

    Args:
        values: One score for each query, at least one.
        seed: Seed of the resampling.
    """
    return percentile_interval(float(values.mean()), mean_resamples(values, seed=seed))


def mean_resamples(
    values: Float64[np.ndarray, " queries"], *, seed: int = 0
) -> Float64[np.ndarray, " resamples"]:
    """The mean of each resample of the queries, drawn with replacement.

    Args:
        values: One score for each query, at least one.
        seed: Seed of the resampling; with the same one, as many values are drawn at the same places.
    """
    # All resamples of one number are that number; the library warns instead of saying so.
    if len(values) == 1 or np.ptp(values) == 0:
        return np.full(RESAMPLES, values.mean())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = stats.bootstrap(
            (values,),
            np.mean,
            n_resamples=RESAMPLES,
            confidence_level=CONFIDENCE,
            method="percentile",
            batch=max(1, 10_000_000 // len(values)),
            rng=np.random.default_rng(seed),
        )
    resamples: Float64[np.ndarray, " resamples"] = result.bootstrap_distribution
    return resamples


def percentile_interval(mean: float, resamples: Float64[np.ndarray, " resamples"]) -> Interval:
    """A score with the percentile interval of its resamples.

    Args:
        mean: The score.
        resamples: The same score of each resample.
    """
    low, high = np.quantile(resamples, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(mean=mean, low=float(low), high=float(high))


def p_value(resamples: Float64[np.ndarray, " resamples"]) -> float:
    """Two-sided p-value of no difference: the level at which the percentile interval begins to hold 0.

        p  =  2 · min(F(0), 1 − F(0))        F: the distribution function whose inverse gives the interval

    So p < 0.05 exactly where 0 lies outside of the 95 % interval. It is never below `SMALLEST_P`.

    Args:
        resamples: The difference in each resample.

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, section 15.4 (intervals inverted).
    """
    ordered = np.sort(resamples)
    sides = (_share_up_to_zero(ordered), _share_up_to_zero(-ordered[::-1]))
    return float(min(1.0, max(SMALLEST_P, 2 * min(sides))))


def _share_up_to_zero(ordered: Float64[np.ndarray, " resamples"]) -> float:
    """The highest quantile that is not above 0; between resamples it goes straight, as in `np.quantile`."""
    count = int(np.searchsorted(ordered, 0.0, side="right"))
    if count in (0, len(ordered)):
        return float(count > 0)
    below, above = ordered[count - 1], ordered[count]
    return float((count - 1 + -below / (above - below)) / (len(ordered) - 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for being several, so that one below a level α keeps all false alarms below α.

    The smallest is multiplied by how many there are, the next by one less, and so on; none becomes smaller
    than one before it.

    Args:
        p_values: The p-values of all tests.

    Returns:
        The corrected ones, in the same order.

    Source: Holm 1979, A simple sequentially rejective multiple test procedure (Scand. J. Statistics 6:2).
    """
    corrected = [0.0] * len(p_values)
    highest = 0.0
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    for place, number in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - place) * p_values[number]))
        corrected[number] = highest
    return corrected


def compare(
    baseline: tuple[str, Float64[np.ndarray, " queries"]],
    challenger: tuple[str, Float64[np.ndarray, " queries"]],
    *,
    metric: str,
    seed: int = 0,
) -> Comparison:
    """Paired comparison of two models on the same queries.

    The queries are resampled with replacement; both models keep their scores on each, so that how hard a
    query is cancels out.

    Args:
        baseline: Name and scores of the model compared with.
        challenger: Name and scores of the model compared.
        metric: Name of the metric.
        seed: Seed of the resampling.

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13 (percentile interval).
    """
    difference = challenger[1] - baseline[1]
    interval = mean_interval(difference, seed=seed)
    wins, losses = int((difference > TIE).sum()), int((difference < -TIE).sum())
    return Comparison(
        baseline=baseline[0],
        challenger=challenger[0],
        metric=metric,
        difference=interval,
        confidence=CONFIDENCE,
        verdict=verdict_of(interval, queries=len(difference)),
        wins=wins,
        losses=losses,
        ties=len(difference) - wins - losses,
    )


def verdict_of(interval: Interval, *, queries: int) -> Verdict:
    """``better`` or ``worse`` only if the whole interval lies on one side of 0, and enough queries say so.

    Args:
        interval: The mean difference with its interval.
        queries: How many queries it is the mean of; fewer than `FEWEST_QUERIES` decide nothing.
    """
    if queries < FEWEST_QUERIES:
        return "not distinguishable"
    if interval.low > 0:
        return "better"
    if interval.high < 0:
        return "worse"
    return "not distinguishable"
