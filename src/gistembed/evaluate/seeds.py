"""Means over queries and seeds, with intervals that know of the luck of both."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from jaxtyping import Float64, Int64

from gistembed.evaluate.bootstrap import mean_interval, percentile_interval
from gistembed.evaluate.resampling import drawn_seeds, resampled_scores, weighted_means
from gistembed.record import Interval

# Fewer seeds hardly tell what another one would change.
_FEW_SEEDS = 5


def seed_interval(
    values: Float64[np.ndarray, "seeds queries"],
    *,
    groups: Int64[np.ndarray, " queries"] | None = None,
    seed: int = 0,
) -> Interval:
    """Mean over seeds and queries with its 95 % interval; of one seed without groups, as `mean_interval`.

    Queries are resampled with replacement and seeds weighed by chance, each on their own; see `drawn_seeds`
    and `resampled_scores`. The interval holds what another seed would change as well as what other queries
    would; of few seeds, which hardly tell how far apart others would be, it is wide. It errs to the wide side
    for what seeds and queries do together.

    Args:
        values: The score, or the difference of two, of each query under each seed.
        groups: The group of each query, from 0, where queries of a group are alike, as those of one topic.
        seed: Seed of the resampling.
    """
    seeds, queries = values.shape
    if (seeds == 1 and groups is None) or np.ptp(values) == 0:
        return mean_interval(values.mean(axis=0), seed=seed)
    random = np.random.default_rng(seed)
    of_seeds = drawn_seeds(seeds, random)
    (means,) = resampled_scores([weighted_means(values)], queries, of_seeds, random, groups)
    return percentile_interval(float(values.mean()), means)


def in_common(scores: Sequence[Mapping[int, Collection[str]]]) -> tuple[list[int], list[str]]:
    """The seeds and the queries that all have, in the order of the first.

    Args:
        scores: By seed, the queries of each of those to be put side by side.
    """
    seeds = [seed for seed in scores[0] if all(seed in one for one in scores)]
    kept = [one[seed] for one in scores for seed in seeds]
    return seeds, [query for query in kept[0] if all(query in one for one in kept)] if kept else []


def aligned(
    scores: Sequence[Mapping[int, Mapping[str, float]]],
) -> list[Float64[np.ndarray, "seeds queries"]] | None:
    """Scores of the seeds and the queries that all have in common; None if there are none.

    Args:
        scores: By seed and query, of each of those to be put side by side.
    """
    seeds, queries = in_common(scores)
    if not queries:
        return None
    return [np.array([[one[seed][query] for query in queries] for seed in seeds]) for one in scores]


def few_seeds(count: int) -> str | None:
    """What a reader of intervals over so many seeds should know; None where they are enough.

    Args:
        count: How many there are.
    """
    if count == 1:
        return "with one seed, intervals are over queries alone: another seed may change more than they say"
    if count < _FEW_SEEDS:
        return f"{count} seeds tell little of what another would change, and intervals are as wide: use more"
    return None
