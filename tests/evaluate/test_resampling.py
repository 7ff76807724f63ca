"""Scores of resamples, p-values and their correction: against libraries and loops in double precision."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import average_precision_score

from gistembed.evaluate import in_common, mean_interval
from gistembed.evaluate.bootstrap import (
    RESAMPLES,
    SMALLEST_P,
    holm,
    mean_resamples,
    p_value,
    percentile_interval,
)
from gistembed.evaluate.resampling import (
    drawn_seeds,
    resampled_repetitions,
    resampled_scores,
    weighted_average_precision,
    weighted_means,
    weighted_spearman,
)

# Few different numbers, so that many are equal.
VALUES = st.integers(0, 4).map(float)


@settings(max_examples=60)
@given(st.lists(st.tuples(VALUES, VALUES, st.integers(0, 3)), min_size=2, max_size=25))
def test_weights_are_items_that_are_there_so_often(rows):
    """Spearman's correlation and the mean of items that are written down as often as they were drawn."""
    values, targets, counts = (np.array(column) for column in zip(*rows, strict=True))
    # As many are drawn as there are.
    counts = counts.astype(int)
    counts[0] += max(0, len(counts) - counts.sum())
    while counts.sum() > len(counts):
        counts[np.argmax(counts)] -= 1
    weights = counts.astype(float)[None]
    drawn, wanted = np.repeat(values, counts), np.repeat(targets, counts)
    assert weighted_means(values[None])(weights)[0, 0] == pytest.approx(drawn.mean())
    expected = 0.0
    if np.ptp(drawn) and np.ptp(wanted):
        expected = stats.spearmanr(drawn, wanted).statistic
    assert weighted_spearman(values[None], targets)(weights)[0, 0] == pytest.approx(expected, abs=1e-12)


@settings(max_examples=60)
@given(st.lists(st.tuples(VALUES, st.booleans(), st.integers(0, 3)), min_size=2, max_size=25))
def test_average_precision_of_drawn_items(rows):
    values, belong, counts = (np.array(column) for column in zip(*rows, strict=True))
    found = weighted_average_precision(values[None], belong)(counts.astype(float)[None])[0, 0]
    drawn = np.repeat(belong, counts)
    if not drawn.any():
        assert found == 0
        return
    assert found == pytest.approx(average_precision_score(drawn, np.repeat(values, counts)), abs=1e-12)


def independent(values, score, seed, resamples=4000):
    """The difference of two models, each (seeds, items), resample by resample.

    Items are drawn; what seeds add is Student's t times the standard error of a mean of so many.
    """
    random = np.random.default_rng(seed)
    seeds, items = values[0].shape
    found = []
    for _ in range(resamples):
        columns = random.choice(items, items)
        by_seed = [[score(row[columns], columns) for row in one] for one in values]
        difference = np.subtract(by_seed[1], by_seed[0])
        error = difference.std(ddof=1) / np.sqrt(seeds)
        found.append(difference.mean() + error * stats.t.rvs(seeds - 1, random_state=random))
    return np.array(found)


def test_paired_bootstrap_of_a_mean_against_an_independent_one():
    """Of seeds and items; the standard error of a percentile of so many is about 0.05 of the spread."""
    random = np.random.default_rng(3)
    hard = random.uniform(size=60)
    values = [hard + random.normal(0, 0.1, (4, 60)) + random.normal(mean, 0.02, (4, 1)) for mean in (0, 0.1)]
    rng = np.random.default_rng(0)
    found = resampled_scores([*map(weighted_means, values)], 60, drawn_seeds(4, rng), rng)
    expected = independent(values, lambda drawn, _: drawn.mean(), 1)
    difference = found[1] - found[0]
    np.testing.assert_allclose(
        np.percentile(difference, [2.5, 50, 97.5]),
        np.percentile(expected, [2.5, 50, 97.5]),
        atol=0.15 * expected.std(),
    )
    # Paired: the items differ far more than that.
    assert found[0].std() > difference.std()


def test_paired_bootstrap_of_spearman_against_an_independent_one():
    random = np.random.default_rng(4)
    targets = random.integers(0, 5, 50).astype(float)
    values = [targets + random.normal(0, noise, (5, 50)) for noise in (3, 1)]
    rng = np.random.default_rng(0)
    scores = [weighted_spearman(one, targets) for one in values]
    found = resampled_scores(scores, 50, drawn_seeds(5, rng), rng)

    def spearman(drawn, columns):
        return np.corrcoef(stats.rankdata(drawn), stats.rankdata(targets[columns]))[0, 1]

    expected = independent(values, spearman, 1, 3000)
    np.testing.assert_allclose(
        np.percentile(found[1] - found[0], [2.5, 50, 97.5]),
        np.percentile(expected, [2.5, 50, 97.5]),
        atol=0.25 * expected.std(),
    )


def test_items_of_a_group_are_drawn_together():
    """Items that are all alike within their group are as few as there are groups."""
    random = np.random.default_rng(6)
    of_groups = random.normal(size=12)
    groups = np.repeat(np.arange(12), random.integers(1, 9, 12))
    values = of_groups[groups][None]
    draws = drawn_seeds(1, np.random.default_rng(0))
    (found,) = resampled_scores([weighted_means(values)], len(groups), draws, random, groups)
    sizes = np.bincount(groups)
    expected = []
    for _ in range(4000):
        drawn = random.choice(12, 12)
        expected.append((of_groups[drawn] * sizes[drawn]).sum() / sizes[drawn].sum())
    np.testing.assert_allclose(
        np.percentile(found, [2.5, 50, 97.5]),
        np.percentile(expected, [2.5, 50, 97.5]),
        atol=0.15 * np.std(expected),
    )


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_the_interval_over_seeds_holds_the_truth_as_often_as_it_says(seeds):
    """Of models that differ by the luck of their seeds alone, one in twenty is taken for another."""
    random = np.random.default_rng(7)
    draws = drawn_seeds(seeds, np.random.default_rng(0))
    trials = 400
    missed = 0
    for _ in range(trials):
        resamples = draws @ random.normal(size=seeds) / seeds
        low, high = np.quantile(resamples, [0.025, 0.975])
        missed += not low <= 0 <= high
    assert stats.binomtest(missed, trials, 0.05).pvalue > 1e-3


def test_a_model_without_seeds_meets_all_seeds():
    """One column stands for every seed: the same as if it were there once for each."""
    values = np.random.default_rng(0).random((3, 30))
    one = values[:1]
    draws = drawn_seeds(3, np.random.default_rng(1))
    alone, repeated = resampled_scores(
        [weighted_means(one), weighted_means(np.repeat(one, 3, axis=0))], 30, draws, np.random.default_rng(2)
    )
    np.testing.assert_allclose(alone * 3, repeated * 3, atol=1e-12)


def test_repetitions_spread_as_student_s_t():
    """Ten repetitions: mean ± 2.262 · sd · √1.1; their own mean's interval would be a third as wide."""
    values = np.random.default_rng(5).normal(0.4, 0.02, (1, 10))
    draws = drawn_seeds(1, np.random.default_rng(0))
    (found,) = resampled_repetitions([values], draws, np.random.default_rng(1))
    half = stats.t.ppf(0.975, 9) * values.std(ddof=1) * np.sqrt(1.1)
    low, high = np.percentile(found, [2.5, 97.5])
    assert (high - low) / 2 == pytest.approx(half, rel=0.05)
    assert (high + low) / 2 == pytest.approx(values.mean(), abs=0.1 * half)


def test_repetitions_are_paired():
    """A model that is better by the same in each sample is better by that, whatever the samples do."""
    values = np.random.default_rng(5).normal(0.4, 0.1, (2, 10))
    draws = drawn_seeds(2, np.random.default_rng(0))
    first, second = resampled_repetitions([values, values + 0.01], draws, np.random.default_rng(1))
    np.testing.assert_allclose(second - first, 0.01, atol=1e-12)


@settings(max_examples=60)
@given(
    st.lists(st.floats(-1, 1).map(lambda x: round(x, 2)), min_size=1, max_size=30),
    st.floats(-1, 1).map(lambda x: round(x, 2)),
)
def test_p_below_a_level_is_0_outside_of_the_interval(values, shift):
    resamples = mean_resamples(np.array(values)) + shift
    interval = percentile_interval(0.0, resamples)
    p = p_value(resamples)
    assert SMALLEST_P <= p <= 1
    assume(abs(p - 0.05) > 1e-9)
    assert (p < 0.05) == (interval.low > 0 or interval.high < 0)
    assert p_value(-resamples) == pytest.approx(p)


@settings(max_examples=30)
@given(st.floats(-0.6, 0.6), st.integers(0, 100))
def test_p_is_where_the_interval_begins_to_hold_0(shift, seed):
    """Against a search for that level by `np.quantile`."""
    resamples = np.random.default_rng(seed).normal(shift, 0.3, 999)
    assume(resamples.min() < 0 < resamples.max())
    inside, outside = 0.0, 1.0
    for _ in range(50):
        level = (inside + outside) / 2
        low, high = np.quantile(resamples, [level / 2, 1 - level / 2])
        inside, outside = (level, outside) if low <= 0 <= high else (inside, level)
    assert p_value(resamples) == pytest.approx(max(inside, SMALLEST_P), abs=1e-9)


@pytest.mark.parametrize(("value", "p"), [(0.1, SMALLEST_P), (-0.1, SMALLEST_P), (0.0, 1.0)])
def test_p_of_resamples_that_are_all_the_same(value, p):
    assert p_value(np.full(RESAMPLES, value)) == p


def test_holm_by_hand():
    """Of 0.01, 0.04, 0.03: 3 · 0.01, then 2 · 0.03, then 1 · 0.04, which is not below the one before."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []


@settings(max_examples=60)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.001, 0.5))
def test_holm_rejects_what_the_procedure_steps_through(p_values, level):
    """Holm's own words: from the smallest on, reject while p ≤ α / (how many are left)."""
    rejected = set()
    order = sorted(range(len(p_values)), key=lambda number: p_values[number])
    for place, number in enumerate(order):
        bound = level / (len(order) - place)
        assume(abs(p_values[number] - bound) > 1e-12)
        if p_values[number] > bound:
            break
        rejected.add(number)
    assert {number for number, p in enumerate(holm(p_values)) if p <= level} == rejected


def test_an_interval_is_that_of_its_resamples():
    values = np.random.default_rng(0).random(30)
    assert mean_interval(values) == percentile_interval(values.mean(), mean_resamples(values))


def test_what_all_have_in_common():
    first, second = {1: {"a": 0, "b": 1}, 2: {"a": 0, "b": 1}}, {2: {"b": 0, "c": 1}, 3: {"b": 0}}
    assert in_common([first, second]) == ([2], ["b"])
    assert in_common([first, {3: {"a": 0}}]) == ([], [])
