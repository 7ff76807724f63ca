"""Rows one after another, for whoever doesn't need their texts numbered; memory doesn't grow with them."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from gistembed.errors import UserError
from gistembed.pairs.cells import CellError, anchor_text, negative_texts, positive_texts
from gistembed.pairs.columns import resolve_columns
from gistembed.pairs.rows import Passage, Row
from gistembed.pairs.sources import open_table

if TYPE_CHECKING:
    import datasets


class Problem(NamedTuple):
    """A row that can't be read.

    Attributes:
        place: Its line or row in the source, from 1.
        text: What is wrong and what to do.
    """

    place: int
    text: str


def read_rows(
    source: "str | os.PathLike[str] | datasets.Dataset | datasets.DatasetDict",
    *,
    columns: Mapping[str, Sequence[str]] | None = None,
    on_problem: Callable[[Problem], None] | None = None,
) -> Iterator[tuple[int, Row]]:
    """The rows of a source in their order, each with its line or row (from 1).

    Args:
        source: See `read_pairs`.
        columns: Columns by role, if their names don't tell.
        on_problem: Called for each row that can't be read, which is then passed over; None ends at the first.

    Yields:
        Place and row.

    Raises:
        UserError: If the source can't be read, or a row can't and nobody is told of it.
    """
    table = open_table(source)
    roles = resolve_columns(table.names, table.name, columns)
    first_negative = 1 + len(roles.positive)
    with closing(table.rows(roles.used)) as rows:
        for place, cells in rows:
            try:
                anchor = Passage(anchor_text(cells[0], roles.anchor))
                positives = [
                    Passage(text)
                    for column, cell in zip(roles.positive, cells[1:first_negative], strict=True)
                    for text in positive_texts(cell, column)
                ]
                negatives = [
                    Passage(text)
                    for column, cell in zip(roles.negatives, cells[first_negative:], strict=True)
                    for text in negative_texts(cell, column)
                ]
            except CellError as problem:
                if on_problem is None:
                    raise UserError(f"{table.place(place)}: {problem}") from None
                on_problem(Problem(place, str(problem)))
                continue
            yield place, Row(anchor, tuple(positives), tuple(negatives))
