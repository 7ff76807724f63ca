"""Sides beside each other: effects, overall and verdicts by value, against references in double precision."""

import numpy as np
import pytest
from scipy import stats
from tests.compare.compare_samples import queries, side_of, task_of

from gistembed.compare.align import align
from gistembed.compare.effects import effects
from gistembed.compare.words import headline, method_lines, result_warnings, verdict_words
from gistembed.errors import UserError
from gistembed.evaluate import compare as compare_queries
from gistembed.evaluate import seed_interval

ONE_SEED = "with one seed, intervals are over queries alone: another seed may change more than they say"


def models(random, gains, items=40, seeds=1):
    """For each gain, the values of each seed: hard and easy items, and a little noise."""
    hard = random.uniform(size=items)
    return [[hard + gain + random.normal(0, 0.05, items) for _ in range(seeds)] for gain in gains]


def compared(*sides, retention=()):
    aligned = align(sides, retention)
    return aligned, effects(aligned)


def test_of_one_seed_it_is_the_comparison_that_a_run_makes():
    """Same interval to the bit, so that `compare RUN#base RUN` repeats the run's own report."""
    (base,), (tuned,) = models(np.random.default_rng(0), (0, 0.1))
    _, result = compared(side_of("a", {"t": [task_of(base)]}), side_of("b", {"t": [task_of(tuned)]}))
    ((effect,),) = result.by_challenger
    own = compare_queries(("a", base), ("b", tuned), metric="m")
    np.testing.assert_allclose(
        [effect.difference.mean, effect.difference.low, effect.difference.high],
        [own.difference.mean, own.difference.low, own.difference.high],
        atol=1e-12,
    )
    assert (effect.wins, effect.losses, effect.ties, effect.verdict) == (
        own.wins,
        own.losses,
        own.ties,
        own.verdict,
    )
    assert effect.corrected_p_value == effect.p_value < 0.05
    assert result.overall == [None]


def test_of_several_seeds_it_is_the_seed_interval():
    """To Monte-Carlo error: the draws are others. Seeds come in another order on the second side."""
    base, tuned = models(np.random.default_rng(1), (0, 0.02), seeds=5)
    _, result = compared(
        side_of("a", {"t": [task_of(one) for one in base]}, (1, 2, 3, 4, 5)),
        side_of("b", {"t": [task_of(one) for one in reversed(tuned)]}, (5, 4, 3, 2, 1)),
    )
    ((effect,),) = result.by_challenger
    expected = seed_interval(np.array(tuned) - np.array(base))
    assert effect.difference.mean == pytest.approx(expected.mean, abs=1e-12)
    width = expected.high - expected.low
    assert effect.difference.low == pytest.approx(expected.low, abs=0.05 * width)
    assert effect.difference.high == pytest.approx(expected.high, abs=0.05 * width)


def test_overall_against_a_loop():
    """Items are drawn within each task, and seeds once for both: what one does here, it does there.

    Drawn apart, the seeds' luck would halve its variance, and the interval here would be 0.7 times as wide.
    """
    random = np.random.default_rng(2)
    luck = np.array([-0.1, -0.05, 0.0, 0.05, 0.1])
    base = {"s": np.zeros((5, 30)), "t": np.zeros((5, 50))}
    tuned = {name: luck[:, None] + 0.02 + random.normal(0, 0.05, one.shape) for name, one in base.items()}
    sides = [
        side_of(name, {task: [task_of(row) for row in rows] for task, rows in own.items()}, range(5))
        for name, own in (("a", base), ("b", tuned))
    ]
    _, result = compared(*sides)
    (overall,) = result.overall
    loop = []
    for _ in range(8000):
        drawn = [tuned[task][:, random.choice(size, size)] for task, size in (("s", 30), ("t", 50))]
        by_seed = np.mean([one.mean(axis=1) for one in drawn], axis=0)
        error = by_seed.std(ddof=1) / np.sqrt(5)
        loop.append(by_seed.mean() + error * stats.t.rvs(4, random_state=random))
    assert overall.tasks == ["s", "t"]
    assert overall.difference.mean == pytest.approx(np.mean([one.mean() for one in tuned.values()]))
    low, high = np.percentile(loop, [2.5, 97.5])
    assert overall.difference.low == pytest.approx(low, abs=0.06 * (high - low))
    assert overall.difference.high == pytest.approx(high, abs=0.06 * (high - low))
    # Each task's mean has the spread of the seeds, so does the mean of both.
    assert (high - low) > 0.9 * 2 * 2.776 * luck.std(ddof=1) / np.sqrt(5)


def test_correction_is_over_all_tasks_and_challengers_and_decides():
    """One weak effect among nine tests: its interval alone says better, its verdict doesn't."""
    random = np.random.default_rng(3)
    noise = random.normal(0, 0.1, 40)
    weak = (noise - noise.mean()) + 2.3 * noise.std() / np.sqrt(40)
    # As many gains as losses of each size: no effect at all.
    nothing = np.concatenate([np.linspace(0.01, 0.2, 20), -np.linspace(0.01, 0.2, 20)])
    tasks = {"r": nothing, "s": nothing, "t": nothing}
    sides = [side_of("base", {task: [task_of(np.zeros(40))] for task in tasks})]
    sides += [side_of(name, {task: [task_of(own)] for task, own in tasks.items()}) for name in "xy"]
    sides.append(side_of("z", {task: [task_of(own)] for task, own in (tasks | {"t": weak}).items()}))
    _, result = compared(*sides)
    effect = result.by_challenger[2][2]
    assert result.tests == 9
    assert effect.difference.low > 0
    assert effect.p_value < 0.05
    assert effect.corrected_p_value == pytest.approx(9 * effect.p_value)
    assert effect.verdict == "not distinguishable"
    # Alone it is better.
    _, alone = compared(side_of("base", {"t": [task_of(np.zeros(40))]}), side_of("z", {"t": [task_of(weak)]}))
    assert alone.by_challenger[0][0].verdict == "better"
    # Overall effects are corrected over the challengers.
    p_values = [one.p_value for one in result.overall]
    smallest = min(range(3), key=p_values.__getitem__)
    assert result.overall[smallest].corrected_p_value == pytest.approx(min(1, 3 * p_values[smallest]))


def test_retention_stands_apart_and_is_in_the_verdict():
    """Better by 0.1 on two tasks, worse by 0.3 on retention: the mean of all three would be a loss."""
    tasks = {"retention": -0.3, "s": 0.1, "t": 0.1}
    aligned, result = compared(
        side_of("a", {task: [task_of(np.zeros(30))] for task in tasks}),
        side_of("b", {task: [task_of(np.full(30, gain))] for task, gain in tasks.items()}),
    )
    assert [task.name for task in aligned.tasks] == ["s", "t", "retention"]
    (own,), (overall,) = result.by_challenger, result.overall
    assert (overall.tasks, overall.verdict) == (["s", "t"], "better")
    assert overall.difference.mean == pytest.approx(0.1)
    assert verdict_words(("b", "a"), own, overall, aligned.count) == (
        "b against a: better: mean of 2 tasks +0.100, 95 % interval +0.100 to +0.100, corrected p 0.0002, "
        "on 60 items, 1 seed; retention worse: -0.300, 95 % interval -0.300 to -0.300, corrected p 0.0006"
    )
    # Any task can be called so.
    aligned, result = compared(
        *(
            side_of(name, {task: [task_of(np.full(30, gain * way))] for task, gain in tasks.items()})
            for name, way in (("a", 0), ("b", 1))
        ),
        retention=["t"],
    )
    assert [task.name for task in aligned.tasks] == ["s", "retention", "t"]
    assert result.overall == [None]
    assert headline(result.by_challenger[0], None).task == "s"


def test_few_items_decide_nothing_and_are_in_no_overall_effect():
    tasks = {"few": 19, "s": 30, "t": 30}
    aligned, result = compared(
        side_of("a", {task: [task_of(np.zeros(count))] for task, count in tasks.items()}),
        side_of("b", {task: [task_of(np.full(count, 0.5))] for task, count in tasks.items()}),
    )
    few, *others = result.by_challenger[0]
    assert (few.decides, few.verdict) == (False, "not distinguishable")
    assert [one.verdict for one in others] == ["better", "better"]
    assert result.overall[0].tasks == ["s", "t"]
    assert result_warnings(aligned, result) == [
        "few: fewer than 20 queries decide nothing; it is in no overall effect"
    ]
    aligned, result = compared(
        side_of("a", {"few": [task_of(np.zeros(3))]}), side_of("b", {"few": [task_of(np.ones(3))]})
    )
    assert verdict_words(("b", "a"), result.by_challenger[0], None, 1) == (
        "b against a: not distinguishable: few m 0.000 → 1.000 (+1.000, 95 % interval +1.000 to +1.000, "
        "corrected p 0.0002) on 3 queries; fewer than 20 decide nothing, 1 seed"
    )


def test_of_one_item_there_is_no_p_value():
    """All resamples of it are the same, which would be p 0.0002; nor is it one of the tests."""
    many = np.linspace(-0.1, 0.3, 30)
    aligned, result = compared(
        side_of("a", {"t": [task_of(np.zeros(30))], "one": [task_of([0.0])]}),
        side_of("b", {"t": [task_of(many)], "one": [task_of([0.3])]}),
        retention=["one"],
    )
    tested, one = result.by_challenger[0]
    assert (one.p_value, one.corrected_p_value, one.verdict) == (None, None, "not distinguishable")
    assert (result.tests, tested.corrected_p_value) == (1, tested.p_value)
    assert verdict_words(("b", "a"), result.by_challenger[0], None, 1).endswith(
        "; one not distinguishable: +0.300, 95 % interval +0.300 to +0.300, no p-value"
    )
    assert "Of one item with one seed, nothing can vary: it has no p-value." in method_lines(aligned, result)
    # Two seeds can differ on one item.
    _, result = compared(
        side_of("a", {"one": [task_of([0.0])] * 2}, (1, 2)),
        side_of("b", {"one": [task_of([0.3]), task_of([0.1])]}, (1, 2)),
    )
    assert result.by_challenger[0][0].p_value is not None


def test_what_rounding_makes_is_no_difference():
    """Scores that differ in the last bits, all in one direction."""
    values = np.random.default_rng(0).random(30)
    _, result = compared(
        side_of("a", {"t": [task_of(values)]}), side_of("b", {"t": [task_of(values + 1e-12)]})
    )
    ((effect,),) = result.by_challenger
    assert (effect.verdict, effect.p_value, effect.difference.mean) == ("not distinguishable", 1.0, 0.0)
    assert (effect.wins, effect.losses, effect.ties) == (0, 0, 30)


def test_spearman_is_computed_anew():
    """The point is the library's own; a mean over items of anything would not be."""
    random = np.random.default_rng(6)
    grades = random.integers(0, 6, 80).astype(float)
    cosines = [grades + random.normal(0, noise, 80) for noise in (6, 0.5)]
    kind = {"judged": "spearman", "unit": "pairs", "targets": grades}
    aligned, result = compared(
        *(side_of(name, {"sts": [task_of(own, **kind)]}) for name, own in zip("ab", cosines, strict=True))
    )
    ((effect,),) = result.by_challenger
    expected = [stats.spearmanr(one, grades).statistic for one in cosines]
    assert (effect.baseline.mean, effect.challenger.mean) == pytest.approx(expected)
    assert effect.difference.mean == pytest.approx(expected[1] - expected[0])
    assert effect.verdict == "better"
    assert effect.difference.low < effect.difference.mean < effect.difference.high
    # Of a pair, how near its place among the cosines is to that among the grades.
    places = [stats.rankdata(one) / 80 for one in (*cosines, grades)]
    gains = np.abs(places[0] - places[2]) - np.abs(places[1] - places[2])
    best = int(np.argmax(gains))
    assert effect.gains[0].texts == [queries(80)[best]]
    assert effect.gains[0].after - effect.gains[0].before == pytest.approx(gains[best])
    assert (effect.wins, effect.losses) == (int((gains > 1e-9).sum()), int((gains < -1e-9).sum()))
    assert method_lines(aligned, result)[-1] == (
        "Spearman's correlation is computed anew on every resample of the pairs."
    )


def test_pairs_that_belong_gain_by_rising():
    labels = np.array([1.0, 0.0] * 15)
    before = np.linspace(0, 1, 30)
    after = before + 10 * labels
    kind = {"judged": "average precision", "unit": "pairs", "targets": labels}
    _, result = compared(
        side_of("a", {"p": [task_of(before, **kind)]}), side_of("b", {"p": [task_of(after, **kind)]})
    )
    ((effect,),) = result.by_challenger
    assert (effect.challenger.mean, effect.verdict) == (1.0, "better")
    assert effect.losses == 0
    # The first of those that belong rose from the last place of 30 to the 16th: 15 places.
    assert effect.gains[0].after - effect.gains[0].before == pytest.approx(15 / 30)


def test_repetitions_decide_by_the_texts_behind_them():
    """Ten samples of 200 texts: their spread is the interval, and ten is not "fewer than 20"."""
    first = np.random.default_rng(7).normal(0.4, 0.02, 10)
    keys = [f"d\0{number}" for number in range(10)]
    kind = {"judged": "repetitions", "unit": "samples", "texts": (), "notes": (), "keys": keys}
    _, result = compared(
        side_of("a", {"c": [task_of(first, sampled=200, **kind)]}),
        side_of("b", {"c": [task_of(first + 0.1, sampled=200, **kind)]}),
    )
    ((effect,),) = result.by_challenger
    assert (effect.verdict, effect.items, effect.gains) == ("better", 10, [])
    aligned, result = compared(
        side_of("a", {"c": [task_of(first, sampled=19, **kind)]}),
        side_of("b", {"c": [task_of(first + 0.1, sampled=19, **kind)]}),
    )
    assert result_warnings(aligned, result) == ["c: fewer than 20 texts decide nothing"]
    assert result.by_challenger[0][0].verdict == "not distinguishable"


def test_only_what_all_have_is_compared_and_the_rest_is_counted():
    """Query 3 of one side has no partner, nor has seed 9, nor the task `u`."""
    ten, nine = queries(10), queries(9)
    first = side_of("a", {"t": [task_of(np.zeros(10), keys=ten)] * 2, "u": [task_of([0.0])] * 2}, (1, 2))
    second = side_of("b", {"t": [task_of(np.ones(9), keys=nine[::-1], digest="e")] * 3}, (9, 2, 1))
    aligned, result = compared(first, second)
    assert aligned.seeds == (1, 2)
    assert [(task.name, task.items) for task in aligned.tasks] == [("t", 9)]
    assert list(aligned.warnings) == [
        "b: 1 of 3 seeds left out, as not all have them (9)",
        "left out, as not all have them: u (not b-1)",
        "t: not all were scored on the same data; the 9 queries that all have (of up to 10) are compared, "
        "and what else was in the data may differ",
        "2 seeds tell little of what another would change, and intervals are as wide: use more",
    ]
    assert result.by_challenger[0][0].wins == 9


def test_items_meet_whatever_their_order():
    names = queries(20)
    values = np.arange(20.0)
    _, result = compared(
        side_of("a", {"t": [task_of(values, keys=names)]}),
        side_of("b", {"t": [task_of(values[::-1], keys=names[::-1])]}),
    )
    assert result.by_challenger[0][0].ties == 20


def test_a_side_without_seeds_meets_every_seed():
    base, tuned = [np.zeros(30)], [np.full(30, gain) for gain in (0.1, 0.2, 0.3)]
    aligned, result = compared(
        side_of("base", {"t": [task_of(one) for one in base]}),
        side_of("tuned", {"t": [task_of(one) for one in tuned]}, (1, 2, 3)),
    )
    assert aligned.count == 3
    ((effect,),) = result.by_challenger
    assert effect.difference.mean == pytest.approx(0.2)
    # Of three seeds, none or all draws may be of one of them.
    assert effect.difference.low < 0.15 < 0.25 < effect.difference.high


def test_runs_of_other_seeds_are_one_against_one_and_said_to_be():
    aligned, _ = compared(
        side_of("a", {"t": [task_of(np.zeros(30))]}, (1,)), side_of("b", {"t": [task_of(np.ones(30))]}, (2,))
    )
    assert list(aligned.warnings) == [
        "the seeds are not the same (a 1, b 2): what they do is not told from the settings",
        ONE_SEED,
    ]


def test_other_metrics_are_not_compared():
    with pytest.raises(UserError) as error:
        compared(
            side_of("a", {"t": [task_of([0.0], metric="m")]}),
            side_of("b", {"t": [task_of([0.0], metric="n")]}),
        )
    assert str(error.value) == (
        "compare: nothing that all were scored on (t: left out, as not all were scored by the same metric "
        "(m, n)); score all on the same data"
    )


def test_other_data_of_one_name_is_said_to_be():
    with pytest.raises(UserError) as error:
        compared(
            side_of("a", {"t": [task_of([0.0], keys=["x"], digest="d")]}),
            side_of("b", {"t": [task_of([0.0], keys=["y"], digest="e")]}),
        )
    assert str(error.value) == (
        "compare: nothing that all were scored on (t: left out, as it is of other data for some, and no "
        "queries are in all); score all on the same data"
    )


def test_no_common_seed_is_refused():
    with pytest.raises(UserError) as error:
        compared(
            side_of("a", {"t": [task_of([0.0])] * 2}, (1, 2)), side_of("b", {"t": [task_of([0.0])]}, (3,))
        )
    assert str(error.value) == (
        "compare: no seed that all have (a: 1, 2; b: 3); train them with the same seeds"
    )


def test_retention_alone_is_no_comparison():
    with pytest.raises(UserError) as error:
        compared(*(side_of(name, {"retention": [task_of([0.0])]}) for name in "ab"))
    assert str(error.value) == "compare: nothing that all were scored on; score all on the same data"


def test_a_retention_task_is_one_that_is_there():
    with pytest.raises(UserError) as error:
        compared(*(side_of(name, {"t": [task_of([0.0])]}) for name in "ab"), retention=["u"])
    assert str(error.value) == "--retention u: no such task; choose among t"


def test_more_tests_than_resamples_can_decide():
    tasks = {f"t{number}": 0.5 for number in range(250)}
    aligned, result = compared(
        side_of("a", {task: [task_of(np.zeros(30))] for task in tasks}),
        side_of("b", {task: [task_of(np.full(30, gain))] for task, gain in tasks.items()}),
    )
    assert result_warnings(aligned, result) == [
        "250 tests are more than 9,999 resamples can decide after correction; compare fewer tasks or sides "
        "at once"
    ]
