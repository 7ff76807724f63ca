"""Scores of resampled items and seeds, whatever the score is: each item counts as often as it was drawn."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float64, Int64

from gistembed.evaluate.bootstrap import RESAMPLES

Weighted = Callable[[Float64[np.ndarray, "block items"]], Float64[np.ndarray, "block seeds"]]
"""A score of all items under each seed, for weights that say how often each item is there."""

_Ranks = Callable[[Float64[np.ndarray, "block items"]], Float64[np.ndarray, "block items"]]

# So many resampled numbers are held at once.
_AT_ONCE = 2_000_000


def drawn_seeds(seeds: int, random: np.random.Generator) -> Float64[np.ndarray, "resamples seeds"]:
    """How much each seed weighs in each resample; together as much as there are seeds.

        v_s  =  1 + √S · (g_s − ḡ) / √χ²        g ~ N(0, 1),  χ² with S − 1 degrees of freedom

    A mean over seeds so weighed is spread as Student's t with S − 1 degrees of freedom, times the seeds' own
    standard deviation over √S. To draw seeds with replacement would say too little of what another seed
    changes: of five, less than two thirds.

    Args:
        seeds: How many there are.
        random: Where chance comes from.

    Source: Student 1908, The probable error of a mean (Biometrika 6:1).
    """
    if seeds == 1:
        return np.ones((RESAMPLES, 1))
    noise = random.standard_normal((RESAMPLES, seeds))
    noise -= noise.mean(axis=1, keepdims=True)
    noise *= np.sqrt(seeds / random.chisquare(seeds - 1, size=(RESAMPLES, 1)))
    return 1 + noise


def resampled_scores(
    scores: Sequence[Weighted],
    items: int,
    of_seeds: Float64[np.ndarray, "resamples seeds"],
    random: np.random.Generator,
    groups: Int64[np.ndarray, " items"] | None = None,
) -> Float64[np.ndarray, "models resamples"]:
    """The score of each resample of seeds and items, with the same draws for all models.

    Items are drawn with replacement, and seeds weighed by chance, each on their own:

        score*  =  1/S · Σ_s v_s · score_s(w)        v as of `drawn_seeds`,  w ~ multinomial(items)

    As all models have the same draws, the difference of two rows is the resampled difference of the two: how
    hard an item is, and what a seed does to both, cancels out.

    Args:
        scores: The score of each model. One that gives a single column has no seeds.
        items: How many items there are.
        of_seeds: How much each seed weighs in each resample, as `drawn_seeds` gives it.
        random: Where the draws of items come from.
        groups: The group of each item, from 0; whole groups are drawn then, because the items of one are
            alike. By default each item is drawn by itself.

    Source: Owen 2007, The pigeonhole bootstrap (Annals of Applied Statistics 1:2).
    """
    resamples, seeds = of_seeds.shape
    found = np.empty((len(scores), resamples))
    drawn_of = items if groups is None else int(groups.max()) + 1
    block = max(1, _AT_ONCE // items)
    for start in range(0, resamples, block):
        part = slice(start, min(start + block, resamples))
        drawn = random.multinomial(drawn_of, np.full(drawn_of, 1 / drawn_of), size=part.stop - start)
        weights = (drawn if groups is None else drawn[:, groups]).astype(np.float64)
        for row, score in enumerate(scores):
            found[row, part] = (score(weights) * of_seeds[part]).sum(axis=1) / seeds
    return found


def resampled_repetitions(
    values: Sequence[Float64[np.ndarray, "_ repetitions"]],
    of_seeds: Float64[np.ndarray, "resamples seeds"],
    random: np.random.Generator,
) -> Float64[np.ndarray, "models resamples"]:
    """The same for scores of repetitions that are each made from a resample of the items.

    Each repetition is a resample already, so that the spread of the repetitions, and not that of their mean,
    is what other items would change. R of them tell that spread only roughly: it enters as that of Student's
    t with R − 1 degrees of freedom, and with 1/R of its square more, for a mean of R.

        score*  =  mean_r(x*_r) + √(1 + 1/R) · √(1/χ²) · Σ_r g_r · (x*_r − mean(x*))        g ~ N(0, 1)

    where x*_r is the mean of repetition r over resampled seeds. It is linear in x, so that differences of
    rows are those of paired models, as in `resampled_scores`.

    Args:
        values: The scores of each model; repetition ``r`` is of the same items for all. One row has no seeds.
        of_seeds: How much each seed weighs in each resample.
        random: Where the draws come from.
    """
    resamples, seeds = of_seeds.shape
    repetitions = values[0].shape[1]
    noise = random.standard_normal((resamples, repetitions))
    noise *= np.sqrt((1 + 1 / repetitions) / random.chisquare(repetitions - 1, size=(resamples, 1)))
    found = np.empty((len(values), resamples))
    for row, one in enumerate(values):
        by_repetition = of_seeds @ np.broadcast_to(one, (seeds, repetitions)) / seeds
        mean = by_repetition.mean(axis=1, keepdims=True)
        found[row] = mean[:, 0] + ((by_repetition - mean) * noise).sum(axis=1)
    return found


def weighted_means(values: Float64[np.ndarray, "seeds items"]) -> Weighted:
    """The mean over items, for scores that are one.

    Args:
        values: The score of each item under each seed.
    """
    return lambda weights: weights @ values.T / weights.sum(axis=1, keepdims=True)


def weighted_spearman(
    values: Float64[np.ndarray, "seeds items"], targets: Float64[np.ndarray, " items"]
) -> Weighted:
    """Spearman's correlation with what should be; 0 where either orders nothing.

    Args:
        values: What is found for each item under each seed.
        targets: What should be.
    """
    *found, wanted = (_weighted_ranks(row) for row in (*values, targets))

    def score(weights: Float64[np.ndarray, "block items"]) -> Float64[np.ndarray, "block seeds"]:
        ranks = wanted(weights)
        return np.stack([_correlation(rank(weights), ranks, weights) for rank in found], axis=1)

    return score


def weighted_average_precision(
    values: Float64[np.ndarray, "seeds items"], belong: Bool[np.ndarray, " items"]
) -> Weighted:
    """Average precision of a ranking by value, equal values in one place; 0 where nothing belongs.

    Args:
        values: What is found for each item under each seed.
        belong: Which items should come first.
    """
    places = [_groups(-row) for row in values]

    def score(weights: Float64[np.ndarray, "block items"]) -> Float64[np.ndarray, "block seeds"]:
        return np.stack([_average_precision(weights, belong, *one) for one in places], axis=1)

    return score


def _groups(
    values: Float64[np.ndarray, " items"],
) -> tuple[Int64[np.ndarray, " items"], Int64[np.ndarray, " groups"]]:
    """The order of the values, and where in it each group of equal ones begins."""
    order = np.argsort(values, kind="stable")
    return order, np.flatnonzero(np.diff(values[order], prepend=np.nan) != 0)


def _weighted_ranks(values: Float64[np.ndarray, " items"]) -> _Ranks:
    """The rank of each item among all that are drawn; equal ones share the middle of theirs."""
    order, starts = _groups(values)
    group = np.empty(len(values), np.int64)
    group[order] = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(values)))

    def rank(weights: Float64[np.ndarray, "block items"]) -> Float64[np.ndarray, "block items"]:
        counts = np.add.reduceat(weights[:, order], starts, axis=1)
        middles = np.cumsum(counts, axis=1) - (counts - 1) / 2
        return middles[:, group]

    return rank


def _correlation(
    first: Float64[np.ndarray, "block items"],
    second: Float64[np.ndarray, "block items"],
    weights: Float64[np.ndarray, "block items"],
) -> Float64[np.ndarray, " block"]:
    """Pearson's correlation of two rows of ranks; the mean rank is the same for both."""
    middle = (weights.shape[1] + 1) / 2
    first, second = first - middle, second - middle
    products = (weights * first * second).sum(axis=1)
    squares = (weights * first**2).sum(axis=1) * (weights * second**2).sum(axis=1)
    correlations: Float64[np.ndarray, " block"] = products / np.sqrt(np.where(squares > 0, squares, np.inf))
    return correlations


def _average_precision(
    weights: Float64[np.ndarray, "block items"],
    belong: Bool[np.ndarray, " items"],
    order: Int64[np.ndarray, " items"],
    starts: Int64[np.ndarray, " groups"],
) -> Float64[np.ndarray, " block"]:
    counts = np.add.reduceat(weights[:, order], starts, axis=1)
    right = np.add.reduceat((weights * belong)[:, order], starts, axis=1)
    taken = np.maximum(np.cumsum(counts, axis=1), 1)
    gained = (right * np.cumsum(right, axis=1) / taken).sum(axis=1)
    precisions: Float64[np.ndarray, " block"] = gained / np.maximum(right.sum(axis=1), 1)
    return precisions
