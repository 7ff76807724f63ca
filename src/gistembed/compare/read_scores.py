"""Reads what `gistembed evaluate` left behind of one model: ``results/MODEL/REVISION``."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float64

from gistembed.compare.scores import TaskScores, keys_of
from gistembed.errors import UserError
from gistembed.evaluate.runs.results import main_score_of
from gistembed.evaluate.tasks.kinds import MAIN_METRICS, Kind
from gistembed.pairs.wording import quoted

_META = "model_meta.json"
_USUAL = "ndcg_at_10"
# The means of an item's scores are those of the result to this.
_ROUNDED = 1e-4

_Columns = Mapping[str, list[Any]]


def is_scored(place: Path) -> bool:
    """Whether a folder holds the results of one model.

    Args:
        place: The folder.
    """
    return (place / _META).is_file()


def identity_of(place: Path) -> str:
    """The identity of the model that results are of; empty where it isn't told.

    Args:
        place: The folder of its results.

    Raises:
        UserError: If what it says of the model can't be read.
    """
    return str(_about(place)[1].get("identity", ""))


def settings_of(place: Path) -> dict[str, str]:
    """How a model was set in place of its own settings, by name.

    Args:
        place: The folder of its results.

    Raises:
        UserError: If what it says of the model can't be read.
    """
    meta, ours = _about(place)
    settings = ours.get("settings")
    if isinstance(settings, dict):
        return {name: quoted(value) for name, value in settings.items() if value}
    # Earlier versions kept how many dimensions, and in the revision that there are settings.
    if "identity" not in ours or meta.get("revision") in (None, ours["identity"]):
        return {}
    if (dimensions := ours.get("dimensions")) is not None:
        return {"dimensions": quoted(dimensions)}
    return {"prompts or max_length": "not recorded"}


def _about(place: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is kept of a model: in mteb's form, and what is ours of it."""
    try:
        meta = json.loads((place / _META).read_bytes())
        return meta, dict(meta.get("gistembed", {}))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{place / _META}: can't be read; score the model again") from error


def read_scores(place: Path) -> tuple[dict[str, TaskScores], list[str]]:
    """All that a model was scored on, and the names of those tasks of which no items are kept.

    Args:
        place: The folder of its results.

    Raises:
        UserError: If a result can't be read.
    """
    tasks: dict[str, TaskScores] = {}
    without = []
    for path in sorted(place.glob("*.json")):
        if path.name == _META:
            continue
        items = path.with_suffix(".items.parquet")
        try:
            content = json.loads(path.read_bytes())
            name = str(content["task_name"])
            if not items.is_file():
                without.append(name)
                continue
            tasks |= _read(name, content, pq.read_table(items).to_pydict())
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
            raise UserError(
                f"{path}: this result can't be read; remove it and score the model again with "
                "`gistembed evaluate`"
            ) from error
    return tasks, without


def _read(name: str, content: Mapping[str, Any], columns: _Columns) -> dict[str, TaskScores]:
    """The scores of a task; one of mteb's gives one for each of its parts."""
    if (ours := content.get("gistembed")) is not None:
        kind = cast(Kind, ours["kind"])
        return {name: _READERS[kind](content, columns, MAIN_METRICS[kind])}
    metric = _main_metric(content, columns)
    parts = list(zip(columns["split"], columns["subset"], strict=True))
    distinct = list(dict.fromkeys(parts))
    found = {}
    for part in distinct:
        rows = [row for row, own in enumerate(parts) if own == part]
        own = {column: [values[row] for row in rows] for column, values in columns.items()}
        label = name if len(distinct) == 1 else f"{name} ({', '.join(part)})"
        found[label] = _searched(content, own, metric)
    return found


def _main_metric(content: Mapping[str, Any], columns: _Columns) -> str:
    """The score that mteb judges a search by, which it doesn't name: the one that has its value."""
    subsets = [subset for every in content["scores"].values() for subset in every]
    main = main_score_of(content)
    same = [
        name
        for name in columns
        if all(name in subset for subset in subsets)
        and abs(sum(subset[name] for subset in subsets) / len(subsets) - main) < _ROUNDED
    ]
    return _USUAL if _USUAL in same or not same else same[0]


def _searched(content: Mapping[str, Any], columns: _Columns, metric: str) -> TaskScores:
    """Queries, each with its own score. Of mteb's tasks only their ids are kept.

    A query is told by its text: ids of pairs are but numbers of rows, which another row in front changes. Ids
    tell queries apart that have one text.
    """
    names = columns.get("query", columns.get("query_id", []))
    times = Counter(names)
    ids = [
        number if times[name] > 1 else ""
        for name, number in zip(names, columns.get("query_id", names), strict=True)
    ]
    return _means(content, columns, metric, "queries", [names, ids], [names])


def _translated(content: Mapping[str, Any], columns: _Columns, metric: str) -> TaskScores:
    pairs = [columns["text1"], columns["text2"]]
    return _means(content, columns, metric, "pairs", pairs, pairs)


def _classified(content: Mapping[str, Any], columns: _Columns, metric: str) -> TaskScores:
    known = [columns["text"], columns["label"]]
    notes = [f"class {label}" for label in columns["label"]]
    return _means(content, columns, metric, "texts", known, [columns["text"]], notes)


def _means(
    content: Mapping[str, Any],
    columns: _Columns,
    metric: str,
    unit: str,
    known: Sequence[list[Any]],
    texts: Sequence[list[Any]],
    notes: Sequence[str] | None = None,
) -> TaskScores:
    """A task whose score is the mean of those of its items."""
    found = columns.get("found_first", columns.get("found"))
    return TaskScores(
        judged="mean",
        metric=metric,
        unit=unit,
        digest=str(content["dataset_revision"]),
        keys=keys_of(zip(*known, strict=True)),
        values=_numbers(columns[metric]),
        texts=list(zip(*texts, strict=True)),
        notes=notes or [""] * len(columns[metric]),
        found=found,
    )


def _graded(content: Mapping[str, Any], columns: _Columns, metric: str) -> TaskScores:
    """Pairs, of which the order by cosine is judged."""
    binary = "label" in columns
    grades = columns["label" if binary else "score"]
    pairs = [columns["text1"], columns["text2"]]
    return TaskScores(
        judged="average precision" if binary else "spearman",
        metric=metric,
        unit="pairs",
        digest=str(content["dataset_revision"]),
        # A pair with another grade is another item.
        keys=keys_of(zip(*pairs, grades, strict=True)),
        values=_numbers(columns["cosine"]),
        texts=list(zip(*pairs, strict=True)),
        notes=[f"{'label' if binary else 'score'} {grade:g}" for grade in grades],
        targets=_numbers(grades),
    )


def _clustered(content: Mapping[str, Any], columns: _Columns, metric: str) -> TaskScores:
    """Samples of the texts, each with a score of its own."""
    digest = str(content["dataset_revision"])
    return TaskScores(
        judged="repetitions",
        metric=metric,
        unit="samples",
        digest=digest,
        # Samples of other texts are other samples.
        keys=[f"{digest}\0{number}" for number in columns["sample"]],
        values=_numbers(columns[metric]),
        sampled=int(content["gistembed"]["size"].split()[0].replace(",", "")),
    )


def _numbers(values: list[Any]) -> Float64[np.ndarray, " items"]:
    return np.array(values, np.float64)


_READERS: dict[Kind, Callable[[Mapping[str, Any], _Columns, str], TaskScores]] = {
    "retrieval": _searched,
    "reranking": _searched,
    "sts": _graded,
    "pair-classification": _graded,
    "classification": _classified,
    "clustering": _clustered,
    "bitext": _translated,
}
