"""Turns the cells of a row into the row, by the roles of its columns."""

from collections.abc import Iterable, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

from gistembed.pairs.rows.cells import (
    CellError,
    anchor_passage,
    beside,
    instructed_passage,
    is_blank,
    name_of,
    negative_passages,
    number_of,
    positive_passages,
    text_problem,
    titled,
    truth_of,
    with_title,
)
from gistembed.pairs.rows.columns import Columns
from gistembed.pairs.rows.row import Passage, Row
from gistembed.pairs.sources.table import Absent
from gistembed.pairs.wording import quoted

# Weights are kept in 32 bits, where what is much larger would be infinite.
_LARGEST_WEIGHT = 1e30

_OF_TEXTS = {
    "id": name_of,
    "title": name_of,
    "instruction": name_of,
    "score": number_of,
    "trusted": truth_of,
}
"""How what stands beside a text is read, by the field of `Passage` that it becomes."""


class RowReader:
    """Reads rows of one source.

    Attributes:
        columns: Which columns play which role.
        instructed: Whether texts are written as ``[instruction, text]``.
        others: Whether rows keep what stands in columns without a role.
    """

    def __init__(self, columns: Columns, *, instructed: bool = False, others: bool = False) -> None:
        """Look up where each role's cells stand.

        Args:
            columns: See `RowReader`.
            instructed: See `RowReader`.
            others: See `RowReader`.
        """
        self.columns = columns
        self.instructed = instructed
        self.others = others
        self._position = {name: position for position, name in enumerate(self.wanted)}

    @property
    def wanted(self) -> tuple[str, ...]:
        """The columns whose cells a row is read from, in the order in which `row` takes them."""
        return (*self.columns.used, *(self.columns.ignored if self.others else ()))

    @property
    def texts_only(self) -> bool:
        """Whether nothing stands beside the texts."""
        return not self.columns.more and not self.instructed

    def row(self, cells: Sequence[object]) -> Row:
        """The row of these cells.

        Args:
            cells: The cells of the columns `wanted`, in that order.

        Raises:
            CellError: If a cell holds what it may not.
        """
        columns = self.columns
        if self.instructed:
            read_one: Any = instructed_passage
            read_several: Any = partial(_one, instructed_passage)
            read_negatives: Any = partial(_one_or_none, instructed_passage)
        else:
            read_one, read_several, read_negatives = anchor_passage, positive_passages, negative_passages
        anchor = read_one(cells[0], columns.anchor)
        if not columns.more and not self.others:
            negatives = columns.negatives
            first = 1 + len(columns.positive)
            return Row(
                anchor,
                tuple(
                    passage
                    for column, cell in zip(columns.positive, cells[1:first], strict=True)
                    for passage in read_several(cell, column)
                ),
                tuple(
                    passage
                    for column, cell in zip(negatives, cells[first:], strict=True)
                    for passage in read_negatives(cell, column)
                    if passage is not None
                ),
            )
        positives = self._passages("positive", columns.positive, cells, read_several)
        negatives_read = self._passages("negative", columns.negatives, cells, read_negatives)
        anchor = self._with_more("anchor", 0, [anchor], cells)[0] or anchor
        grade = self._one_value("score", cells, number_of)
        if grade is not None:
            positives = [passage and passage._replace(score=grade) for passage in positives]
        return Row(
            anchor,
            tuple(passage for passage in positives if passage is not None),
            tuple(passage for passage in negatives_read if passage is not None),
            task=self._one_value("task", cells, name_of),
            weight=self._one_value("weight", cells, _weight),
            extra=self._extra(cells),
            grade=grade,
        )

    def _passages(
        self,
        role: str,
        names: tuple[str, ...],
        cells: Sequence[object],
        read: Any,  # noqa: ANN401 — one of the functions of `cells`
    ) -> list[Passage | None]:
        passages: list[Passage | None] = []
        for number, name in enumerate(names):
            texts = read(self._titled(role, number, cells[self._position[name]], cells), name)
            passages += self._with_more(role, number, texts, cells)
        return passages

    def _titled(self, role: str, number: int, cell: object, cells: Sequence[object]) -> object:
        """The cell with the titles that stand in another column, so that a title may be all of a text."""
        name = self._column_of(role, "title", number)
        if not name or self.instructed or cell == []:
            return cell
        items = cell if isinstance(cell, list) else [cell]
        titles = beside(cells[self._position[name]], name, len(items))
        whole = [
            item if title is None else with_title(item, str(name_of(title, name)))
            for item, title in zip(items, titles, strict=True)
        ]
        return whole if isinstance(cell, list) else whole[0]

    def _column_of(self, role: str, field: str, number: int) -> str:
        """The column of what stands beside the texts of another one; empty if there is none."""
        names = self.columns.more.get(f"{role}_{field}", ())
        return names[number] if names else ""

    def _with_more(
        self, role: str, number: int, passages: Sequence[Passage | None], cells: Sequence[object]
    ) -> list[Passage | None]:
        """The texts of one cell, with what stands beside them in other columns."""
        result = list(passages)
        for field, read in _OF_TEXTS.items():
            name = self._column_of(role, field, number)
            if not name or (field == "title" and not self.instructed):
                continue
            values = beside(cells[self._position[name]], name, len(result))
            for place, (passage, value) in enumerate(zip(result, values, strict=True)):
                if passage is None or value is None:
                    continue
                more: Any = read(value, name)
                if field == "title":
                    passage = passage._replace(text=titled(passage.text, str(more)))
                result[place] = passage._replace(**{field: more})
        return result

    def _one_value(self, role: str, cells: Sequence[object], read: Any) -> Any:  # noqa: ANN401
        (name,) = self.columns.more.get(role, ("",))
        if not name:
            return None
        cell = cells[self._position[name]]
        return None if is_blank(cell) else read(cell, name)

    def _extra(self, cells: Sequence[object]) -> Any:  # noqa: ANN401 — see `Row.extra`
        if not self.others:
            return MappingProxyType({})
        held = {name: cells[self._position[name]] for name in self.columns.ignored}
        return {name: cell for name, cell in held.items() if cell is not Absent.KEY}


def is_instructed(anchors: Iterable[object]) -> bool | None:
    """Whether texts are written as MEDI writes them, ``[instruction, text]``; None if no anchor tells.

    The first anchor that could be read in one of the two ways decides; those that are broken don't.

    Args:
        anchors: Cells of anchors.
    """
    for anchor in anchors:
        if isinstance(anchor, list):
            if len(anchor) == 2 and isinstance(anchor[0], str) and text_problem(anchor[1]) is None:
                return True
        elif text_problem(anchor) is None:
            return False
    return None


def _one(read: Any, cell: object, column: str) -> list[Passage]:  # noqa: ANN401
    return [read(cell, column)]


def _one_or_none(read: Any, cell: object, column: str) -> list[Passage | None]:  # noqa: ANN401
    return [None if is_blank(cell) else read(cell, column)]


def _weight(value: object, column: str) -> float | None:
    weight = number_of(value, column)
    if weight is not None and weight < 0:
        raise CellError(f"column {quoted(column)} holds a weight below 0 ({weight:g}). Mend or drop the row.")
    if weight is not None and weight > _LARGEST_WEIGHT:
        raise CellError(
            f"column {quoted(column)} holds a weight above {_LARGEST_WEIGHT:g} ({weight:g}). "
            "Mend or drop the row."
        )
    return weight
