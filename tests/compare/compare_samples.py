"""Folders as `fit` and `evaluate` leave them, written by hand: scores of any number of queries in no time."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tests.report.example import minimal_record

from gistembed.compare.scores import ScoredModel, TaskScores
from gistembed.compare.sides import Side
from gistembed.evaluate import METRICS
from gistembed.folder import write_record
from gistembed.record import TrainingRecord


def queries(count, prefix="query"):
    return [f"{prefix} {number:03d}" for number in range(count)]


def write_run(folder, scores, *, seed=1, digest="a", status="finished", prefix="query", **config):
    """A run whose scores are given by data set and model, for the queries in their order."""
    training = TrainingRecord(
        model="guided",
        loss="guided",
        steps=1,
        batch_size=2,
        negatives_per_row=1,
        seconds=1,
        pairs_per_second=1,
        history=[],
    )
    record = minimal_record(
        status=status,
        config={"seed": seed, **config},
        inputs={"evaluation pairs": digest, "retention pairs": "r"},
        trainings=[training],
    )
    write_record(folder / "run.json", record)
    tables = [
        pa.table(
            {
                "data": [data] * len(values),
                "model": [model] * len(values),
                "query": queries(len(values), prefix),
                **{metric: np.array(values, np.float64) for metric in METRICS},
            }
        )
        for (data, model), values in scores.items()
    ]
    pq.write_table(pa.concat_tables(tables), folder / "scores.parquet")
    return folder


def simple_run(folder, values, **more):
    """A run with held-out scores before and after; before it is 0.5 everywhere."""
    base = [0.5] * len(values)
    return write_run(folder, {("held-out", "base"): base, ("held-out", "guided"): values}, **more)


def write_scores(
    folder, task, columns, *, kind="retrieval", digest="a", size=None, identity="i", revision="i", **settings
):
    """A result of `evaluate` of own data; what is set of the model goes into what is kept of it."""
    folder.mkdir(parents=True, exist_ok=True)
    meta = {"revision": revision, "gistembed": {"identity": identity, **settings}}
    (folder / "model_meta.json").write_text(json.dumps(meta))
    content = {
        "dataset_revision": digest,
        "task_name": task,
        "scores": {"test": [{"main_score": 0.5}]},
        "gistembed": {"kind": kind, "size": size or "1 thing"},
    }
    (folder / f"{task}.json").write_text(json.dumps(content))
    pq.write_table(pa.table(columns), folder / f"{task}.items.parquet")
    return folder


def task_of(values, *, metric="m", digest="d", keys=None, **more):
    """Items with these values."""
    keys = keys or queries(len(values))
    texts = [(key,) for key in keys]
    values = np.array(values, np.float64)
    return TaskScores(
        **({"judged": "mean", "unit": "queries", "texts": texts, "notes": [""] * len(keys)} | more),
        metric=metric,
        digest=digest,
        keys=keys,
        values=values,
    )


def side_of(name, tasks, seeds=(None,)):
    """A side with a model for each seed; each task has a list of values for each."""
    models = [
        ScoredModel(f"{name}-{seed}", seed, {task: values[row] for task, values in tasks.items()})
        for row, seed in enumerate(seeds)
    ]
    return Side(name, tuple(models))
