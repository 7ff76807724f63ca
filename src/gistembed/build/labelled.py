"""Reads labelled texts: tables with a text and the name or number of its class in each row."""

import os
from array import array
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int64

from gistembed.errors import UserError
from gistembed.pairs import Problem, Texts, open_table
from gistembed.pairs.rows.cells import text_problem
from gistembed.pairs.rows.columns import only_column, plain_name, require_column, split_columns
from gistembed.pairs.sources.table import Absent, Table
from gistembed.pairs.wording import PlaceWord, located, quoted

if TYPE_CHECKING:
    import datasets

TEXT_NAMES = [
    *["text", "texts", "sentence", "sentences", "content", "utterance", "review", "comment", "tweet"],
    *["query", "question", "document", "passage", "body", "message"],
]
"""Names of columns of texts, as `plain_name` writes them."""

LABEL_NAMES = [
    *["label", "labels", "class", "classes", "category", "intent", "topic", "target", "emotion", "sentiment"],
]
"""Names of columns of classes, as `plain_name` writes them."""

# Beside the numbers of classes, their names often have a column of their own.
_LABEL_TEXT_NAMES = ["labeltext", "labelname", "classname", "categoryname"]

USAGE = "--columns text=NAME,label=NAME"

_ADVICE = "Every row needs a text and its class; drop or fill the row."


@dataclass(frozen=True, eq=False)
class LabelledTexts:
    """Texts of a classification task, row by row.

    Attributes:
        source: Where they came from, as messages name it.
        task: What the task is called.
        texts: The table that the ids point into; it may hold texts of other tasks too.
        ids: Text id of each row.
        labels: Class of each row, numbered from 0 in the order in which classes were first seen.
        classes: The classes by their number, as the source writes them.
        places: Line or row of the source, from 1.
        place_word: Whether places are lines or rows.
        malformed: What is wrong with the rows that were passed over.
    """

    source: str
    task: str
    texts: Texts
    ids: Int64[np.ndarray, " rows"]
    labels: Int64[np.ndarray, " rows"]
    classes: tuple[str, ...]
    places: Int64[np.ndarray, " rows"]
    place_word: PlaceWord
    malformed: tuple[Problem, ...] = ()

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.ids)

    def place(self, row: int) -> str:
        """Where a row came from: ``banking.csv:118`` or ``banking.parquet: row 118``."""
        return located(self.source, self.place_word, int(self.places[row]))

    def problems(self) -> list[str]:
        """What is wrong with the rows that were passed over, each with its place."""
        return [f"{located(self.source, self.place_word, one.place)}: {one.text}" for one in self.malformed]


def read_labelled(
    source: "str | os.PathLike[str] | datasets.Dataset | datasets.DatasetDict",
    *,
    task: str,
    columns: Mapping[str, str] | None = None,
    texts: Texts | None = None,
    skip_malformed: bool = False,
) -> LabelledTexts:
    """Read the labelled texts of a file, a folder or a data set; texts stay as they are.

    Args:
        source: See `gistembed.pairs.read_pairs`.
        task: What the task is called.
        columns: The columns ``text`` and ``label``, if their names don't tell.
        texts: The table to number the texts in; None makes a new one.
        skip_malformed: Whether to pass over rows without a usable text or class; otherwise the first of them
            ends the reading.

    Raises:
        UserError: If anything in the source isn't as it should be, or no triplet could be drawn from it; the
            message names the place.
    """
    return labelled_of(open_table(source), task, columns, Texts() if texts is None else texts, skip_malformed)


def labelled_of(
    table: Table,
    task: str,
    columns: Mapping[str, str] | None,
    texts: Texts,
    skip_malformed: bool,
) -> LabelledTexts:
    """The labelled texts of a table; see `read_labelled`.

    Args:
        table: The table.
        task: What the task is called.
        columns: The columns ``text`` and ``label``, if their names don't tell.
        texts: The table to number the texts in.
        skip_malformed: Whether to pass over rows without a usable text or class.

    Raises:
        UserError: As for `read_labelled`.
    """
    read, label_column = labelled_rows(table, task, columns, texts, skip_malformed)
    _refuse_hopeless(read, label_column)
    return read


def labelled_rows(
    table: Table,
    task: str,
    columns: Mapping[str, str] | None,
    texts: Texts,
    skip_malformed: bool = False,
) -> tuple[LabelledTexts, str]:
    """The same, whatever the classes, and the column that holds them.

    Args:
        table: The table.
        task: What the task is called.
        columns: The columns ``text`` and ``label``, if their names don't tell.
        texts: The table to number the texts in.
        skip_malformed: Whether to pass over rows without a usable text or class.

    Raises:
        UserError: If the table can't be read, or has no rows.
    """
    text_column, label_column = _columns(table, columns)
    classes: dict[str, int] = {}
    ids, labels, places = array("q"), array("q"), array("q")
    malformed: list[Problem] = []
    with closing(table.rows([text_column, label_column])) as rows:
        for place, (text, label) in rows:
            name = _class_name(label)
            if (fault := text_problem(text)) is not None:
                problem = f"column {quoted(text_column)} {fault}. {_ADVICE}"
            elif name is None:
                problem = f"column {quoted(label_column)} {_label_problem(label)}"
            else:
                assert isinstance(text, str)
                ids.append(texts.add(text))
                labels.append(classes.setdefault(name, len(classes)))
                places.append(place)
                continue
            if not skip_malformed:
                raise UserError(f"{table.place(place)}: {problem}")
            malformed.append(Problem(place, problem))
    read = LabelledTexts(
        source=table.name,
        task=task,
        texts=texts,
        ids=np.array(ids, np.int64),
        labels=np.array(labels, np.int64),
        classes=tuple(classes),
        places=np.array(places, np.int64),
        place_word=table.place_word,
        malformed=tuple(malformed),
    )
    if not len(read):
        raise UserError(f"{read.source}: there are no rows.")
    return read, label_column


def parse_label_columns(text: str) -> dict[str, str]:
    """The columns of texts and of classes, from the command line: ``text=NAME,label=NAME``.

    Args:
        text: What the user wrote.

    Raises:
        UserError: If it isn't of that form.
    """
    columns: dict[str, str] = {}
    for role, name in split_columns(text, USAGE):
        if role not in ("text", "label"):
            raise UserError(f"--columns: {quoted(role)} is not a role; write {USAGE}.")
        if role in columns:
            raise UserError(f"--columns: {role} is given twice; write {USAGE}.")
        columns[role] = name
    return columns


def _columns(table: Table, given: Mapping[str, str] | None) -> tuple[str, str]:
    """The column of texts and that of classes; one that the user didn't name is found by its name."""
    given = given or {}
    for name in given.values():
        require_column(name, table.names, table.name)
    text = given.get("text") or only_column("text", TEXT_NAMES, table.names, table.name, USAGE)
    if "label" in given:
        label = given["label"]
    else:
        known = {plain_name(name) for name in table.names}
        names = LABEL_NAMES if known.intersection(LABEL_NAMES) else _LABEL_TEXT_NAMES
        label = only_column("label", names, table.names, table.name, USAGE)
    if text == label:
        raise UserError(f"--columns: column {quoted(text)} can't be both text and label.")
    return text, label


def _class_name(label: object) -> str | None:
    """A class as it is told apart from others: 1, 1.0 and "1" are one; None for what is no class."""
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    if isinstance(label, bool | int):
        return str(int(label))
    return label if isinstance(label, str) and text_problem(label) is None else None


def _label_problem(label: object) -> str:
    if isinstance(label, float):
        return f"holds {label!r}. Classes have names or whole numbers; name another column with {USAGE}."
    if isinstance(label, list):
        return "holds a list. A text has one class here; write a row for each, or drop the row."
    problem = text_problem(label)
    if label is None or label is Absent.KEY or isinstance(label, str):
        return f"{problem}. {_ADVICE}"
    return f"{problem}. Classes have names or whole numbers; name another column with {USAGE}."


def _refuse_hopeless(read: LabelledTexts, label_column: str) -> None:
    if len(read.classes) == 1:
        raise UserError(
            f"{read.source}: every row is of the class {quoted(read.classes[0])}. A negative is of another "
            f"class; give the rows of all classes in one source."
        )
    if len(read.classes) == len(read):
        raise UserError(
            f"{read.source}: no two rows share a class in column {quoted(label_column)}. A positive is of "
            f"the same class; say which column holds the classes with {USAGE}."
        )
