"""Reads a source as the task that it is."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from gistembed.errors import UserError
from gistembed.evaluate.tasks.detect import detect_kind
from gistembed.evaluate.tasks.kinds import KINDS, Kind
from gistembed.evaluate.tasks.read_labelled import holds_splits, read_classification, read_clustering
from gistembed.evaluate.tasks.read_pairs import read_bitext, read_graded_pairs
from gistembed.evaluate.tasks.read_retrieval import holds_retrieval, read_reranking, read_retrieval
from gistembed.evaluate.tasks.task import Task
from gistembed.pairs import open_table
from gistembed.pairs.join import source_names
from gistembed.pairs.wording import quoted

_READERS: Mapping[Kind, Callable[[str, str, str | None], Task]] = {
    "retrieval": read_retrieval,
    "reranking": read_reranking,
    "sts": read_graded_pairs("sts"),
    "pair-classification": read_graded_pairs("pair-classification"),
    "classification": read_classification,
    "clustering": read_clustering,
    "bitext": read_bitext,
}


def parse_source(given: str) -> tuple[str, Kind | None]:
    """Path and kind of what the user gave as ``PATH`` or ``PATH=KIND``; None where no kind is told.

    Args:
        given: What the user gave.

    Raises:
        UserError: If there is no such kind.
    """
    path, equals, kind = given.rpartition("=")
    if equals and kind in KINDS:
        return path, kind
    if equals and not Path(given).exists() and Path(path).exists():
        raise UserError(
            f"--data {given}: {quoted(kind)} is no kind of task; choose one of {', '.join(KINDS)}."
        )
    return given, None


def read_task(source: str, *, kind: Kind | None = None, name: str, columns: str | None = None) -> Task:
    """Read a file or a folder as a task.

    Args:
        source: Any file that `gistembed.pairs.read_pairs` reads; for retrieval also a folder of queries,
            corpus and judgements (BEIR) or one of its files of judgements; for classification also a folder
            with files ``train`` and ``test``.
        kind: The kind of task; found by the columns where they leave no doubt.
        name: What the source is called; the task is called so with its kind behind it.
        columns: Columns by role as ``--columns`` names them, if their names don't tell; only with a kind.

    Raises:
        UserError: If the kind is in doubt, or anything in the source isn't as it should be; the message names
            the place.
    """
    if kind is None:
        if columns is not None:
            raise UserError(
                f"--columns: the roles depend on the kind of task; say it with --data {source}=KIND."
            )
        kind = _detected(source)
    return _READERS[kind](source, f"{name}-{kind}", columns)


def task_names(sources: Sequence[str]) -> list[str]:
    """A short name for each source, no two of different sources alike.

    Args:
        sources: The sources, as the user named them.
    """
    distinct = list(dict.fromkeys(sources))
    # Of a file of judgements, the folder that it is of tells more than the folder that it is in.
    shown = [source.replace("/qrels/", "/") for source in distinct]
    names = dict(zip(distinct, source_names(shown), strict=True))
    return [names[source] for source in sources]


def _detected(source: str) -> Kind:
    if holds_retrieval(Path(source)):
        return "retrieval"
    if holds_splits(Path(source)):
        return "classification"
    table = open_table(source)
    return detect_kind(table.names, table.name)
