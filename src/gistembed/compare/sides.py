"""What the user names, as sides of a comparison: a model each, or several that differ in their seed."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from glob import has_magic
from pathlib import Path

from gistembed.compare.read_runs import is_run, read_record, read_run, seed_of
from gistembed.compare.read_scores import identity_of, is_scored, read_scores, settings_of
from gistembed.compare.scores import ScoredModel
from gistembed.errors import UserError
from gistembed.evaluate.runs import ModelSettings
from gistembed.evaluate.runs.results import results_of
from gistembed.evaluate.runs.settings import ModelToScore
from gistembed.pairs.join import source_names

_SWEEP = "sweep.json"
_BEFORE_TRAINING = "#base"


@dataclass(frozen=True)
class Side:
    """What is compared as one.

    Attributes:
        name: What it is called.
        models: Its models, by seed; no two have the same one.
    """

    name: str
    models: tuple[ScoredModel, ...]

    @property
    def seeds(self) -> list[int]:
        """The seeds that are recorded."""
        return [model.seed for model in self.models if model.seed is not None]


def read_sides(given: Sequence[str], scores: Path | None) -> list[Side]:
    """Find what each name stands for, and read its scores.

    Args:
        given: What the user gave: ``PATH``, ``NAME=PATH``, ``NAME=PATH,PATH`` or with stars in it; a path may
            name one of the models of a run, ``RUN#base``. A sweep stands for all of its settings.
        scores: The output folder of `gistembed evaluate`, for models that were scored there; None if the
            runs' own scores are to be compared.

    Raises:
        UserError: If one is not there, is not scored, or there are fewer than two.
    """
    for number, one in enumerate(given):
        if one in given[:number]:
            raise UserError(f"compare {one}: given twice; give each once")
    named = [side for one in given for side in _named(one)]
    if len(named) < 2:
        raise UserError(
            "compare: give at least two; the model that a run began with is RUN#base: "
            "gistembed compare RUN#base RUN"
        )
    short = iter(source_names([side.given for side in named if not side.name]))
    names = [side.name or next(short) for side in named]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise UserError(f"compare: two are called {name}; write NAME=… before one of them")
    return [_side(name, side.places, scores) for name, side in zip(names, named, strict=True)]


@dataclass(frozen=True)
class _Named:
    """A side as the user names it: what it is called, if that is said, and its places."""

    given: str
    name: str
    places: Sequence[str]


def _named(given: str) -> Iterator[_Named]:
    """The sides that the user means by one argument."""
    if (Path(given) / _SWEEP).is_file():
        yield from _rows_of_sweep(Path(given))
        return
    if places := _matching(given):
        yield _Named(given, "", places)
        return
    name, equals, rest = given.partition("=")
    if not (name and equals and rest):
        yield _Named(given, "", [_there(given, given)])
        return
    # The cells of a sweep have commas in their names: first as one, then part by part.
    parts = (_matching(part) or [_there(part, given)] for part in rest.split(","))
    yield _Named(given, name, _matching(rest) or [place for places in parts for place in places])


def _matching(given: str) -> list[str]:
    """The places that a path or a pattern names; none if there are none."""
    path, hash_sign, model = given.partition("#")
    if not re.fullmatch(r"[\w-]*", model):
        return []
    path = str(Path(path).expanduser())
    if Path(path).exists():
        return [path + hash_sign + model]
    pattern = Path(path)
    try:
        found = sorted(Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor))))
    except ValueError:  # two stars within a name
        return []
    return [f"{place}{hash_sign}{model}" for place in found]


def _there(place: str, given: str) -> str:
    """A place that is not a path here: perhaps a model of the hub, but no pattern."""
    if has_magic(place):
        raise UserError(f"compare {given}: nothing is called {place}; name folders that are there")
    return place


def _rows_of_sweep(folder: Path) -> Iterator[_Named]:
    """The settings of a sweep that have finished cells, each with its seeds."""
    from pydantic import ValidationError

    from gistembed.search.words import settings_line
    from gistembed.sweep.record import SweepRecord

    try:
        sweep = SweepRecord.model_validate_json((folder / _SWEEP).read_bytes())
    except ValidationError as error:
        raise UserError(
            f"{folder}: its {_SWEEP} can't be read by this version; compare sweeps that it made"
        ) from error
    rows: dict[str, list[str]] = {}
    for cell in sweep.cells:
        if cell.status == "finished":
            rows.setdefault(settings_line(cell.settings), []).append(str(folder / "cells" / cell.name))
    for name, places in rows.items():
        yield _Named(str(folder), name, places)


def _side(name: str, places: Sequence[str], scores: Path | None) -> Side:
    models = [_read(place, scores) for place in places]
    if len(models) == 1:
        # Before training, no seed has done anything.
        alone = replace(models[0], seed=None) if places[0].endswith(_BEFORE_TRAINING) else models[0]
        return Side(name, (alone,))
    seen: dict[int, str] = {}
    for model in models:
        if model.seed is None:
            raise UserError(
                f"compare {name}=…: the seed of {model.place} is not recorded; several models on one side "
                "come from runs of `gistembed fit` that differ in their seed"
            )
        if model.seed in seen:
            raise UserError(
                f"compare {name}=…: {seen[model.seed]} and {model.place} both have the seed {model.seed}; "
                "leave one out"
            )
        seen[model.seed] = model.place
    return Side(name, tuple(models))


def _read(given: str, scores: Path | None) -> ScoredModel:
    """The scores of the model at a place."""
    path, _, model = given.partition("#")
    place = Path(path)
    if is_scored(place):
        return _results(given, place, None)
    if (place / _SWEEP).is_file():
        raise UserError(
            f"compare {given}: a sweep stands for all of its settings; without NAME=, or for one of them: "
            f"NAME='{place}/cells/SETTINGS,seed=*'"
        )
    if scores is not None:
        return _scored_model(place, path, model, given, scores)
    if is_run(place):
        return read_run(place, model or None)
    raise UserError(
        f"compare {given}: no run of `gistembed fit`; of a model, say with --scores where it was scored: "
        f"gistembed evaluate {given} --data PATH --out scores"
    )


def _scored_model(place: Path, path: str, model: str, given: str, scores: Path) -> ScoredModel:
    """The scores that `evaluate` gave a model, or the model of a run."""
    seed = None
    if is_run(place):
        run = read_record(place)
        about = run.trainings[-1].model
        seed = seed_of(run)
        path = (
            run.student.name if model == "base" else str(place / ("model" if model in ("", about) else model))
        )
    elif is_run(place.parent):
        seed = seed_of(read_record(place.parent))
    return _results(given, _place_of_results(path, given, scores), seed)


def _place_of_results(path: str, given: str, scores: Path) -> Path:
    """Where the results of a model are; those without settings of their own, where there are several."""
    if not (scores / "results").is_dir():
        raise UserError(f"--scores {scores}: holds no results of `gistembed evaluate`")
    found = ModelToScore.find(path, ModelSettings())
    of_model = results_of(scores, found)
    places = [
        one for one in sorted(of_model.glob("*")) if is_scored(one) and identity_of(one) == found.identity
    ]
    plain = [one for one in places if one.name == found.revision] or places
    if not plain:
        raise UserError(
            f"compare {given}: not scored in {scores}, or its files changed since; run: "
            f"gistembed evaluate {path} --data PATH --out {scores}"
        )
    if len(plain) > 1:
        raise UserError(
            f"compare {given}: scored in {scores} with several settings; name one of "
            f"{', '.join(map(str, plain))} in its place"
        )
    return plain[0]


def _results(given: str, place: Path, seed: int | None) -> ScoredModel:
    tasks, without = read_scores(place)
    left_out = [f"{task}: mteb keeps no scores of its items; left out" for task in without]
    return ScoredModel(given, seed, tasks, scored_with=settings_of(place), left_out=tuple(left_out))
