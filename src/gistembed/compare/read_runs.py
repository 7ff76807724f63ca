"""Reads the scores that a run of `fit` left behind."""

from pathlib import Path
from typing import Literal

import pyarrow as pa
from pydantic import ValidationError

from gistembed.compare.scores import ScoredModel, TaskScores
from gistembed.errors import UserError
from gistembed.evaluate import METRICS, read_query_scores
from gistembed.record import RunRecord
from gistembed.terms import DataSet

_RECORD, _SCORES = "run.json", "scores.parquet"
# Dev scores chose the model: they are no evidence.
_DIGESTS: dict[DataSet, Literal["evaluation pairs", "retention pairs"]] = {
    "held-out": "evaluation pairs",
    "retention": "retention pairs",
}
HELD_OUT: DataSet = "held-out"
RETENTION: DataSet = "retention"


def is_run(place: Path) -> bool:
    """Whether a folder is that of a run of `fit`.

    Args:
        place: The folder.
    """
    return (place / _RECORD).is_file()


def read_record(place: Path) -> RunRecord:
    """The record of a finished run.

    Args:
        place: Its folder.

    Raises:
        UserError: If it can't be read, or the run is not finished.
    """
    try:
        run = RunRecord.model_validate_json((place / _RECORD).read_bytes())
    except (ValidationError, OSError) as error:
        raise UserError(
            f"{place}: its {_RECORD} can't be read by this version; compare runs that it made"
        ) from error
    if run.status != "finished":
        raise UserError(f"{place}: this run is {run.status}, not finished; finish it with --resume first")
    return run


def read_run(place: Path, model: str | None) -> ScoredModel:
    """The scores of one of the models of a run.

    Args:
        place: Its folder.
        model: ``base``, ``unguided`` or ``guided``; None for the one that the run is about.

    Raises:
        UserError: If the run is not finished, or has no scores of that model.
    """
    run = read_record(place)
    try:
        scores = read_query_scores(place / _SCORES)
    except (OSError, KeyError, pa.ArrowException) as error:
        raise UserError(
            f"{place}: its {_SCORES} can't be read; runs of this version leave one, so train it again"
        ) from error
    models = list(dict.fromkeys(name for _, name in scores))
    name = model or run.trainings[-1].model
    if name not in models:
        raise UserError(f"{place}#{name}: this run has no such model; choose one of {', '.join(models)}")
    tasks = {}
    for data, digest in _DIGESTS.items():
        if (found := scores.get((data, name))) is not None:
            tasks[str(data)] = TaskScores(
                judged="mean",
                metric=METRICS[0],
                unit="queries",
                digest=run.inputs[digest],
                keys=found.queries,
                values=found.by_metric[METRICS[0]],
                texts=[(query,) for query in found.queries],
                notes=[""] * len(found.queries),
            )
    if not tasks:
        raise UserError(
            f"{place}: has dev scores only, which chose the model and are no evidence; "
            "compare runs that were scored on held-out pairs"
        )
    shown = f"{place}#{model}" if model else str(place)
    return ScoredModel(shown, seed_of(run), tasks, run.config)


def seed_of(run: RunRecord) -> int:
    """The seed that a run was told.

    Args:
        run: Its record.
    """
    return int(run.config["seed"])
