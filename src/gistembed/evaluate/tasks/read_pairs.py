"""Reads pairs of texts that are graded (STS, pair classification), or translations of each other (bitext)."""

from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

import numpy as np
from jaxtyping import Float64, Int64

from gistembed.errors import UserError
from gistembed.evaluate.tasks.detect import language_columns
from gistembed.evaluate.tasks.kinds import Kind
from gistembed.evaluate.tasks.task import Bitext, GradedPairs, Task
from gistembed.pairs import Texts, open_table
from gistembed.pairs.rows.cells import CellError, is_blank, kind_of, number_of, text_problem, truth_of
from gistembed.pairs.rows.columns import ALIASES, GRADES, only_column, require_column, split_columns
from gistembed.pairs.sources.table import Table
from gistembed.pairs.wording import quoted

_TEXT_ROLES = {"text1": "anchor", "text2": "positive"}


def read_graded_pairs(kind: Kind) -> Callable[[str, str, str | None], Task]:
    """What reads pairs with scores, or with 0 and 1.

    Args:
        kind: ``sts`` or ``pair-classification``.
    """
    binary = kind == "pair-classification"

    def read(source: str, name: str, columns: str | None) -> Task:
        table = open_table(source)
        roles = _columns(table, columns, ("text1", "text2", "score"))
        grade_of = _label if binary else _score
        grades = array("d")

        def rest(cell: object) -> None:
            grades.append(grade_of(cell, roles[2]))

        texts, first, second = _read(table, roles, rest)
        task = GradedPairs(name, texts, first, second, np.array(grades), binary)
        _refuse_one_grade(task, table.name, roles[2])
        return task

    return read


def read_bitext(source: str, name: str, columns: str | None) -> Task:
    """Read sentences and their translations.

    Args:
        source: The source.
        name: What the task is called.
        columns: Columns by role, from the user.

    Raises:
        UserError: If it can't be read; the message names the place.
    """
    table = open_table(source)
    languages = language_columns(table.names) if columns is None else None
    texts, first, second = _read(table, languages or _columns(table, columns, ("text1", "text2")))
    return Bitext(name, texts, first, second)


def _read(
    table: Table, columns: Sequence[str], rest: Callable[[object], None] = lambda cell: None
) -> tuple[Texts, Int64[np.ndarray, " rows"], Int64[np.ndarray, " rows"]]:
    """The texts of the first two columns of each row; a third is handed on."""
    texts = Texts()
    ids = array("q"), array("q")
    for place, cells in _rows(table, columns):
        try:
            for column, cell, into in zip(columns, cells, ids, strict=False):
                into.append(texts.add(_text(cell, column)))
            if len(cells) > 2:
                rest(cells[2])
        except CellError as problem:
            raise UserError(f"{table.place(place)}: {problem}") from None
    if not ids[0]:
        raise UserError(f"{table.name}: there are no rows.")
    return texts, np.array(ids[0], np.int64), np.array(ids[1], np.int64)


def _rows(table: Table, columns: Sequence[str]) -> Iterator[tuple[int, Sequence[object]]]:
    with closing(table.rows(columns)) as rows:
        yield from rows


def _text(cell: object, column: str) -> str:
    if (problem := text_problem(cell)) is not None:
        raise CellError(
            f"column {quoted(column)} {problem}. Every row needs two texts; drop or fill the row."
        )
    assert isinstance(cell, str)
    return cell


def _score(cell: object, column: str) -> float:
    score = None if is_blank(cell) else number_of(cell, column)
    if score is None:
        raise CellError(f"column {quoted(column)} is empty. Every pair needs a score; drop or fill the row.")
    return score


def _label(cell: object, column: str) -> float:
    if is_blank(cell):
        raise CellError(f"column {quoted(column)} is empty. Every pair needs 0 or 1; drop or fill the row.")
    try:
        # A table in which a cell is empty has its labels as 1.0 and 0.0.
        return float(truth_of(str(cell).strip().removesuffix(".0"), column))
    except CellError:
        raise CellError(
            f"column {quoted(column)} holds {kind_of(cell)}, neither 0 nor 1. Mend or drop the row; if all "
            "rows hold such scores, the kind is sts."
        ) from None


def _columns(table: Table, given: str | None, roles: tuple[str, ...]) -> tuple[str, ...]:
    """The column of each role, named by the user or found by its name."""
    usage = "--columns " + ",".join(f"{role}=NAME" for role in roles)
    named: dict[str, str] = {}
    for role, column in split_columns(given, usage) if given is not None else ():
        if role not in roles:
            raise UserError(f"--columns: {quoted(role)} is not a role; write {usage}.")
        if role in named or column in named.values():
            raise UserError(f"--columns: {quoted(f'{role}={column}')} is given twice; write {usage}.")
        require_column(column, table.names, table.name)
        named[role] = column
    return tuple(
        named.get(role) or only_column(role, _known(role), _others(table.names, named), table.name, usage)
        for role in roles
    )


def _known(role: str) -> Sequence[str]:
    return GRADES if role == "score" else ALIASES[_TEXT_ROLES[role]]


def _others(names: Sequence[str], named: dict[str, str]) -> list[str]:
    return [name for name in names if name not in named.values()]


def _refuse_one_grade(task: GradedPairs, source: str, column: str) -> None:
    grades: Float64[np.ndarray, " pairs"] = task.grades
    if np.ptp(grades) == 0:
        what = "label" if task.binary else "score"
        raise UserError(
            f"{source}: every row has the same {what} ({grades[0]:g}) in column {quoted(column)}, which "
            "orders nothing. Give rows of which some differ."
        )
