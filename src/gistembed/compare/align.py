"""Puts sides beside each other: the tasks, seeds and items that all of them have, and what was left out."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy import stats

from gistembed.compare.read_runs import HELD_OUT, RETENTION
from gistembed.compare.scores import Judged, ScoredModel, TaskScores
from gistembed.compare.sides import Side
from gistembed.errors import UserError
from gistembed.evaluate import few_seeds, in_common
from gistembed.journal import WITHOUT_INFLUENCE

_SAME_SPLIT = "runs with one split_seed hold the same pairs out"


@dataclass(frozen=True)
class AlignedTask:
    """One task with the scores of all sides, on the items that all have.

    Attributes:
        name: The task.
        judged: How its score comes from the values.
        metric: The name of the score.
        unit: What an item is, in the plural.
        is_retention: Whether it shows what was forgotten, and so stands apart.
        sampled: How many things its luck is of: its items, or the texts behind repetitions.
        values: By side, the values of each item under each seed; one row for a side that has no seeds.
        targets: What the order of the values is held against.
        texts: Each item for people.
        notes: What else is known of each.
        found: By side, what it took for the answer to each item; None where it isn't one model.
    """

    name: str
    judged: Judged
    metric: str
    unit: str
    is_retention: bool
    sampled: int
    values: tuple[Float64[np.ndarray, "_ items"], ...]
    targets: Float64[np.ndarray, " items"] | None
    texts: Sequence[tuple[str, ...]]
    notes: Sequence[str]
    found: tuple[Sequence[str | None] | None, ...]

    @property
    def items(self) -> int:
        """How many items there are."""
        return int(self.values[0].shape[1])

    def item_scores(self, side: int) -> Float64[np.ndarray, " items"]:
        """What each item says for a side, the mean over its seeds.

        Where the order of all items is judged, it is how near the place of the item among the values is to
        its place among the targets, as a share of all places; of items that belong or don't, how near to
        their end.

        Args:
            side: The side.
        """
        scores = self.values[side]
        if self.targets is not None:
            places = (stats.rankdata(scores, axis=1) - 0.5) / self.items
            wanted = (stats.rankdata(self.targets) - 0.5) / self.items
            scores = 1 - np.abs(places - wanted)
            if self.judged == "average precision":
                scores = np.where(self.targets > 0, places, 1 - places)
        means: Float64[np.ndarray, " items"] = scores.mean(axis=0)
        return means


@dataclass(frozen=True)
class Aligned:
    """All sides beside each other.

    Attributes:
        tasks: The tasks that all have, those of retention last.
        seeds: The seeds that all sides have that have any; none where each is one model.
        count: Over how many seeds scores are means.
        warnings: What was left out, and what a reader should know, one line each.
    """

    tasks: tuple[AlignedTask, ...]
    seeds: tuple[int, ...]
    count: int
    warnings: tuple[str, ...]


def align(sides: Sequence[Side], retention: Collection[str] = ()) -> Aligned:
    """Find what all sides have in common.

    Args:
        sides: The sides.
        retention: Names of further tasks that show what was forgotten.

    Raises:
        UserError: If they have no seed, or no task but retention, in common.
    """
    warnings = [
        f"{model.place}: {line}" for side in sides for model in side.models for line in model.left_out
    ]
    warnings += [*_unlike_settings(sides), *_unlike_scoring(sides)]
    models, seeds = _paired(sides, warnings)
    count = max(map(len, models))
    every = [model for row in models for model in row]
    names = list(dict.fromkeys(name for model in every for name in model.tasks))
    if unknown := [name for name in retention if name not in names]:
        raise UserError(f"--retention {unknown[0]}: no such task; choose among {', '.join(names)}")
    kept = {RETENTION, *retention}
    if missing := [name for name in names if any(name not in model.tasks for model in every)]:
        listed = ", ".join(f"{name} (not {_first_without(name, every)})" for name in missing)
        warnings.append(f"left out, as not all have them: {listed}")
    tasks = [
        task
        for name in names
        if name not in missing and (task := _aligned(name, models, name in kept, warnings)) is not None
    ]
    if all(task.is_retention for task in tasks):
        why = f" ({'; '.join(warnings)})" if warnings else ""
        raise UserError(f"compare: nothing that all were scored on{why}; score all on the same data")
    if (few := few_seeds(count)) is not None:
        warnings.append(few)
    tasks.sort(key=lambda task: task.is_retention)
    return Aligned(tuple(tasks), seeds, count, tuple(dict.fromkeys(warnings)))


def _paired(sides: Sequence[Side], warnings: list[str]) -> tuple[list[list[ScoredModel]], tuple[int, ...]]:
    """The models of each side by the seeds that all have; one for a side that has no seed."""
    if all(len(side.models) == 1 for side in sides):
        known = {side.name: side.seeds[0] for side in sides if side.seeds}
        if len(set(known.values())) > 1:
            listed = ", ".join(f"{name} {seed}" for name, seed in known.items())
            warnings.append(
                f"the seeds are not the same ({listed}): what they do is not told from the settings"
            )
        return [[*side.models] for side in sides], ()
    seeded = [side for side in sides if side.seeds]
    seeds = [seed for seed in seeded[0].seeds if all(seed in side.seeds for side in seeded)]
    if not seeds:
        listed = "; ".join(f"{side.name}: {', '.join(map(str, side.seeds))}" for side in seeded)
        raise UserError(f"compare: no seed that all have ({listed}); train them with the same seeds")
    for side in seeded:
        if lonely := [seed for seed in side.seeds if seed not in seeds]:
            warnings.append(
                f"{side.name}: {len(lonely)} of {len(side.seeds)} seeds left out, as not all have them "
                f"({', '.join(map(str, lonely))})"
            )
    by_seed = [{model.seed: model for model in side.models} for side in sides]
    models = [
        [own[seed] for seed in seeds] if side.seeds else [*side.models]
        for side, own in zip(sides, by_seed, strict=True)
    ]
    return models, tuple(seeds)


def _unlike_settings(sides: Sequence[Side]) -> list[str]:
    """What the models of one side differ in besides their seed."""
    lines = []
    for side in sides:
        first = side.models[0].settings
        differ = [
            name
            for name in first
            if name not in ("seed", *WITHOUT_INFLUENCE)
            and any(model.settings.get(name) != first[name] for model in side.models[1:])
        ]
        if differ:
            lines.append(f"{side.name}: its runs differ in {', '.join(differ)} too, not in their seed alone")
    return lines


def _unlike_scoring(sides: Sequence[Side]) -> list[str]:
    """What was set for some models and not for others, or to other values, when they were scored."""
    every = [model for side in sides for model in side.models]
    lines = []
    for name in dict.fromkeys(name for model in every for name in model.scored_with):
        if len({model.scored_with.get(name) for model in every}) > 1:
            values = {
                side.name: " and ".join(
                    dict.fromkeys(model.scored_with.get(name, "not set") for model in side.models)
                )
                for side in sides
            }
            listed = ", ".join(f"{side} {value}" for side, value in values.items())
            lines.append(
                f"scored under different settings, which differences may come from: {name} ({listed})"
            )
    return lines


def _first_without(name: str, models: Sequence[ScoredModel]) -> str:
    return next(model.place for model in models if name not in model.tasks)


def _aligned(
    name: str, models: Sequence[Sequence[ScoredModel]], is_retention: bool, warnings: list[str]
) -> AlignedTask | None:
    """One task on the items that all have; None if there are none, or its scores are not alike."""
    scores = [[model.tasks[name] for model in row] for row in models]
    every = [one for row in scores for one in row]
    first = every[0]
    if any((one.judged, one.metric) != (first.judged, first.metric) for one in every):
        metrics = ", ".join(dict.fromkeys(one.metric for one in every))
        warnings.append(f"{name}: left out, as not all were scored by the same metric ({metrics})")
        return None
    rows = [{key: row for row, key in enumerate(one.keys)} for one in every]
    _, keys = in_common([{0: own} for own in rows])
    most = max(map(len, rows))
    hint = f" ({_SAME_SPLIT})" if name == HELD_OUT else ""
    if not keys:
        warnings.append(
            f"{name}: left out, as it is of other data for some, and no {first.unit} are in all{hint}"
        )
        return None
    if len({one.digest for one in every}) > 1:
        warnings.append(
            f"{name}: not all were scored on the same data; the {len(keys):,} {first.unit} that all have (of "
            f"up to {most:,}) are compared, and what else was in the data may differ{hint}"
        )
    order = {id(one): [own[key] for key in keys] for one, own in zip(every, rows, strict=True)}
    places = order[id(first)]
    return AlignedTask(
        name=name,
        judged=first.judged,
        metric=first.metric,
        unit=first.unit,
        is_retention=is_retention,
        sampled=len(keys) if first.sampled is None else first.sampled,
        values=tuple(np.stack([one.values[order[id(one)]] for one in row]) for row in scores),
        targets=None if first.targets is None else first.targets[places],
        texts=[first.texts[place] for place in places] if first.texts else (),
        notes=[first.notes[place] for place in places] if first.notes else (),
        found=tuple(_found(row, order) for row in scores),
    )


def _found(row: Sequence[TaskScores], order: dict[int, list[int]]) -> Sequence[str | None] | None:
    """What a side took for the answers; several models differ in it."""
    (one, *others) = row
    if others or one.found is None:
        return None
    return [one.found[place] for place in order[id(one)]]
