"""The training texts of a classification task of MTEB, by the task's name."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from gistembed.build.labelled import LabelledTexts, labelled_of
from gistembed.errors import UserError
from gistembed.pairs import Texts
from gistembed.pairs.sources.arrow_tables import open_dataset
from gistembed.pairs.wording import listed, one_line, quoted

PREFIX = "mteb:"

_LANGUAGE = "eng"
# Where several subsets are English, this is the plain one.
_ENGLISH = "en"
_SPLIT = "train"


def is_mteb(source: str) -> bool:
    """Whether a source is a task of MTEB: ``mteb:Banking77Classification``.

    Args:
        source: The source.
    """
    return source.startswith(PREFIX)


def read_mteb(
    source: str,
    *,
    task: str | None = None,
    texts: Texts | None = None,
    skip_malformed: bool = False,
) -> LabelledTexts:
    """Load the English training texts of a task, at the revision that the task names.

    Args:
        source: ``mteb:`` and the task's name.
        task: What to call it; its name in MTEB by default.
        texts: The table to number the texts in; None makes a new one.
        skip_malformed: See `read_labelled`.

    Raises:
        UserError: If mteb isn't installed, or there is no such task, or its data can't be had or isn't text.
    """
    found = _task(source)
    # Loading is a download, through whatever a task does of its own: it can fail in any way.
    try:
        found.load_data()
    except Exception as error:
        raise UserError(f"{source}: its data can't be had: {_first_line(error)}") from error
    split = getattr(found, "train_split", _SPLIT)
    data = found.dataset if split in found.dataset else found.dataset[_subset(found, source)]
    if split not in data:
        raise UserError(f"{source}: the task has no split {quoted(split)}; its splits are {listed(data)}.")
    columns = {
        "text": getattr(found, "input_column_name", "text"),
        "label": getattr(found, "label_column_name", "label"),
    }
    return labelled_of(
        open_dataset(data[split], one_line(source)),
        found.metadata.name if task is None else task,
        columns,
        Texts() if texts is None else texts,
        skip_malformed,
    )


def _task(source: str) -> Any:  # noqa: ANN401 — a class of mteb's, which need not be installed
    try:
        mteb: Any = import_module("mteb")
    except ImportError as error:
        raise UserError(
            f"{source}: tasks of MTEB need the package mteb; run `pip install 'gistembed[mteb]'`"
        ) from error
    # An unknown name is a KeyError, a task without English a ValueError; both say so themselves.
    try:
        task = mteb.get_task(source.removeprefix(PREFIX), languages=[_LANGUAGE])
    except (KeyError, ValueError) as error:
        raise UserError(f"{source}: no English task of MTEB: {_first_line(error)}") from error
    kind, modalities = task.metadata.type, list(task.metadata.modalities)
    if kind != "Classification" or modalities != ["text"]:
        raise UserError(f"{source}: is {kind} of {' and '.join(modalities)}; give a classification of texts")
    return task


def _subset(task: Any, source: str) -> str:  # noqa: ANN401
    """The English one of a task's subsets."""
    names: Mapping[str, object] = task.dataset
    english: list[str] = [name for name in task.hf_subsets if name in names]
    if _ENGLISH in english:
        return _ENGLISH
    if len(english) != 1:
        raise UserError(
            f"{source}: none of its subsets is the English one: {listed(english or names)}. "
            "Save the subset to a file and give that."
        )
    return english[0]


def _first_line(error: Exception) -> str:
    # A KeyError's own text is quoted once more by Python.
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    lines = text.strip().splitlines()
    return one_line(lines[0]) if lines else type(error).__name__
