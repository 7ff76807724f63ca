"""Effects with intervals, p-values corrected for being several, and the items that changed most."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from gistembed.compare.align import Aligned, AlignedTask
from gistembed.compare.record import ChangeRecord, EffectRecord, OverallRecord
from gistembed.evaluate import FEWEST_QUERIES, verdict_of
from gistembed.evaluate.bootstrap import LEVEL, TIE, holm, mean_resamples, p_value, percentile_interval
from gistembed.evaluate.resampling import (
    Weighted,
    drawn_seeds,
    resampled_repetitions,
    resampled_scores,
    weighted_average_precision,
    weighted_means,
    weighted_spearman,
)
from gistembed.record import Interval, Verdict

_CHANGES_SHOWN = 5
# None that a task has, whose draws of items have nothing to do with those of seeds.
_SEED_OF_SEEDS = 1 << 32


@dataclass(frozen=True)
class _Score:
    """The score of a side on a task, and that of each resample."""

    score: float
    resamples: Float64[np.ndarray, " resamples"]

    def interval(self) -> Interval:
        return percentile_interval(self.score, self.resamples)

    def minus(self, other: "_Score") -> "_Score":
        """The difference; what only rounding makes of it is none."""
        difference = self.resamples - other.resamples
        score = self.score - other.score
        return _Score(0.0 if abs(score) < TIE else score, np.where(np.abs(difference) < TIE, 0.0, difference))


@dataclass(frozen=True)
class Effects:
    """Every challenger against the baseline.

    Attributes:
        by_challenger: The effects of each on the tasks.
        overall: The effect of each over several tasks; None where there is but one.
        tests: How many p-values of tasks were corrected together.
    """

    by_challenger: list[list[EffectRecord]]
    overall: list[OverallRecord | None]
    tests: int


def effects(aligned: Aligned) -> Effects:
    """Compare each side with the first.

    Args:
        aligned: The sides beside each other.
    """
    of_seeds = drawn_seeds(aligned.count, np.random.default_rng(_SEED_OF_SEEDS))
    # Tasks that are put into one mean need draws of their own; the others have those of a run's own report.
    scores = [
        _scores(task, of_seeds, 0 if task.is_retention else number)
        for number, task in enumerate(aligned.tasks)
    ]
    sides = len(aligned.tasks[0].values)
    differences = [[own[side].minus(own[0]) for own in scores] for side in range(1, sides)]
    p_values = [
        [
            p_value(one.resamples) if _varies(task, aligned.count) else None
            for task, one in zip(aligned.tasks, row, strict=True)
        ]
        for row in differences
    ]
    tests = [p for row in p_values for p in row if p is not None]
    corrected = iter(holm(tests))
    by_challenger = [
        [
            _effect(task, own, side, difference, p, None if p is None else next(corrected))
            for task, own, difference, p in zip(aligned.tasks, scores, row, row_of_p, strict=True)
        ]
        for side, (row, row_of_p) in enumerate(zip(differences, p_values, strict=True), 1)
    ]
    return Effects(by_challenger, _overall(aligned.tasks, differences), len(tests))


def _varies(task: AlignedTask, seeds: int) -> bool:
    """Whether a resample can be another one: of one item with one seed, all are the same."""
    return task.items > 1 or seeds > 1


def _scores(task: AlignedTask, of_seeds: Float64[np.ndarray, "resamples seeds"], seed: int) -> list[_Score]:
    """The score of every side on a task, each with the same draws; other tasks have other draws of items."""
    random = np.random.default_rng(seed)
    if task.judged == "repetitions":
        found = resampled_repetitions(task.values, of_seeds, random)
    elif task.judged == "mean" and of_seeds.shape[1] == 1:
        # The very draws of `mean_interval`, so that a run's own report has the same interval.
        found = np.stack([mean_resamples(values[0], seed=seed) for values in task.values])
    else:
        found = resampled_scores(
            [_weighted(task, values) for values in task.values], task.items, of_seeds, random
        )
    once = np.ones((1, task.items))
    points = [float(_weighted(task, values)(once).mean()) for values in task.values]
    return [_Score(point, resamples) for point, resamples in zip(points, found, strict=True)]


def _weighted(task: AlignedTask, values: Float64[np.ndarray, "seeds items"]) -> Weighted:
    if task.targets is None:
        return weighted_means(values)
    if task.judged == "average precision":
        return weighted_average_precision(values, task.targets > 0)
    return weighted_spearman(values, task.targets)


def _effect(
    task: AlignedTask,
    scores: Sequence[_Score],
    side: int,
    difference: _Score,
    p: float | None,
    corrected: float | None,
) -> EffectRecord:
    interval = difference.interval()
    before, after = task.item_scores(0), task.item_scores(side)
    change = after - before
    wins, losses = int((change > TIE).sum()), int((change < -TIE).sum())
    order = np.argsort(-change, kind="stable") if task.texts else np.empty(0, np.int64)
    gained = [row for row in order[:_CHANGES_SHOWN].tolist() if change[row] > TIE]
    lost = [row for row in order[::-1][:_CHANGES_SHOWN].tolist() if change[row] < -TIE]

    def changed(row: int) -> ChangeRecord:
        found = [None if own is None else own[row] for own in (task.found[0], task.found[side])]
        return ChangeRecord(
            texts=list(task.texts[row]),
            note=task.notes[row],
            before=float(before[row]),
            after=float(after[row]),
            found_before=found[0],
            found_after=found[1],
        )

    return EffectRecord(
        task=task.name,
        metric=task.metric,
        judged=task.judged,
        is_retention=task.is_retention,
        unit=task.unit,
        items=task.items,
        decides=task.sampled >= FEWEST_QUERIES,
        baseline=scores[0].interval(),
        challenger=scores[side].interval(),
        difference=interval,
        p_value=p,
        corrected_p_value=corrected,
        verdict=_verdict(interval, corrected, task.sampled),
        wins=wins,
        losses=losses,
        ties=task.items - wins - losses,
        gains=[changed(row) for row in gained],
        falls=[changed(row) for row in lost],
    )


def _overall(
    tasks: Sequence[AlignedTask], differences: Sequence[Sequence[_Score]]
) -> list[OverallRecord | None]:
    """The mean over tasks that are not retention and have enough items, for each challenger."""
    enough = [
        number
        for number, task in enumerate(tasks)
        if not task.is_retention and task.sampled >= FEWEST_QUERIES
    ]
    if len(enough) < 2:
        return [None] * len(differences)
    means = [
        _Score(
            float(np.mean([row[number].score for number in enough])),
            np.mean([row[number].resamples for number in enough], axis=0),
        )
        for row in differences
    ]
    p_values = [p_value(mean.resamples) for mean in means]
    fewest = min(tasks[number].sampled for number in enough)
    return [
        OverallRecord(
            tasks=[tasks[number].name for number in enough],
            difference=mean.interval(),
            p_value=p,
            corrected_p_value=corrected,
            verdict=_verdict(mean.interval(), corrected, fewest),
        )
        for mean, p, corrected in zip(means, p_values, holm(p_values), strict=True)
    ]


def _verdict(interval: Interval, corrected: float | None, items: int) -> Verdict:
    """A verdict by the corrected p-value; the interval says on which side."""
    if corrected is None or corrected >= LEVEL:
        return "not distinguishable"
    return verdict_of(interval, queries=items)
