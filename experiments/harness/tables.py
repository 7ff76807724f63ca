"""Rows of a table: means over queries and seeds with intervals, and differences query by query."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from experiments.harness.training import Trained
from gistembed.evaluate import seed_interval, verdict_of
from gistembed.record import Interval

Row = dict[str, object]
"""A row by column. Of an interval, columns ``X``, ``X_low`` and ``X_high`` are its mean and its ends."""


def scored(trained: Sequence[Trained], test: str = "test", *, column: str = "nDCG@10") -> Row:
    """The mean over seeds and queries.

    Args:
        trained: One for each seed.
        test: Which test.
        column: What to call it.
    """
    return {column: f"{_scores(trained, test).mean():.4f}"}


def compared(
    trained: Sequence[Trained], baseline: Sequence[Trained], test: str = "test", *, column: str = "gain"
) -> Row:
    """The mean difference over seeds and queries with its 95 % interval, and what it says.

    Queries that share answers are resampled together.

    Args:
        trained: One for each seed.
        baseline: The same seeds of what it is compared with.
        test: Which test.
        column: What to call it.
    """
    difference = _scores(trained, test) - _scores(baseline, test)
    interval = seed_interval(difference, groups=baseline[0].tests[test].groups)
    return spread(column, interval) | {f"{column} verdict": verdict_of(interval, queries=difference.shape[1])}


def spread(column: str, interval: Interval) -> Row:
    """A mean and its interval as three columns."""
    return {
        column: f"{interval.mean:+.4f}",
        f"{column}_low": f"{interval.low:+.4f}",
        f"{column}_high": f"{interval.high:+.4f}",
    }


def _scores(trained: Sequence[Trained], test: str) -> Float64[np.ndarray, "seeds queries"]:
    return np.array([one.tests[test].by_query for one in trained])
