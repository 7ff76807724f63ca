"""Means and differences over queries, with bootstrap confidence intervals."""

import warnings

import numpy as np
from jaxtyping import Float64
from scipy import stats

from gistembed.record import Comparison, Interval, Verdict

CONFIDENCE = 0.95

FEWEST_QUERIES = 20
"""Below this number of queries no verdict is given.

The percentile interval of few values is too narrow: of one value it is a point, and of five a 95 % interval
holds the true mean only about eight times in ten.
"""

_RESAMPLES = 9999
# Scores closer than this are a tie: rankings that differ only in the last bits of a float.
_TIE = 1e-9


def mean_interval(values: Float64[np.ndarray, " queries"], *, seed: int = 0) -> Interval:
    """Mean over queries with its percentile bootstrap interval.

    Args:
        values: One score for each query, at least one.
        seed: Seed of the resampling.
    """
    mean = float(values.mean())
    # All resamples of one number are that number; the library warns instead of saying so.
    if len(values) == 1 or np.ptp(values) == 0:
        return Interval(mean=mean, low=mean, high=mean)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = stats.bootstrap(
            (values,),
            np.mean,
            n_resamples=_RESAMPLES,
            confidence_level=CONFIDENCE,
            method="percentile",
            batch=max(1, 10_000_000 // len(values)),
            rng=np.random.default_rng(seed),
        )
    interval = result.confidence_interval
    return Interval(mean=mean, low=float(interval.low), high=float(interval.high))


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
    wins, losses = int((difference > _TIE).sum()), int((difference < -_TIE).sum())
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
