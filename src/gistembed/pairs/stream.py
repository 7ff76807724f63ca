"""Rows of a source, block by block or one after another; memory doesn't grow with them."""

from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
from jaxtyping import Int64

from gistembed.errors import UserError
from gistembed.pairs.grades import GradedRows, Grades
from gistembed.pairs.opening import open_table
from gistembed.pairs.rows.cells import CellError
from gistembed.pairs.rows.columns import resolve_columns
from gistembed.pairs.rows.reader import RowReader, is_instructed
from gistembed.pairs.rows.row import Row
from gistembed.pairs.sources.table import Block, OnProblem, Problem, Table, pass_over

if TYPE_CHECKING:
    from gistembed.pairs.opening import Source


class ReadBlock(NamedTuple):
    """Some rows of a source, and how they are read.

    Attributes:
        reader: Reads a row from its cells.
        block: Their cells, by the reader's columns.
    """

    reader: RowReader
    block: Block

    def cells(self) -> Iterator[tuple[int, Sequence[object]]]:
        """Place and cells of each row."""
        return zip(self.block.places, zip(*self.block.cells, strict=True), strict=True)


def read_blocks(
    table: Table,
    columns: Mapping[str, Sequence[str]] | None = None,
    *,
    graded: bool = False,
    others: bool = False,
    on_problem: OnProblem | None = None,
) -> Generator[ReadBlock, None, None]:
    """The rows of a table as cells, block by block, each with what reads them.

    Args:
        table: The table.
        columns: Columns by role, if their names don't tell.
        graded: Whether a column tells how well a pair matches.
        others: Whether rows keep what stands in columns without a role.
        on_problem: See `OnProblem`; None ends at the first problem.

    Yields:
        Blocks with their readers.

    Raises:
        UserError: If the source can't be read or doesn't tell its roles.
    """
    reader: RowReader | None = None
    told = False

    def note(problem: Problem) -> None:
        nonlocal told
        assert on_problem is not None
        told = True
        on_problem(problem)

    def choose(names: tuple[str, ...]) -> tuple[str, ...]:
        nonlocal reader
        instructed = reader is not None and reader.instructed
        roles = resolve_columns(names, table.name, columns, graded=graded)
        reader = RowReader(roles, instructed=instructed, others=others)
        return reader.wanted

    decided = are_rows = False
    for block in table.read(choose, None if on_problem is None else note):
        assert reader is not None, "a table asks for its columns before it gives rows"
        are_rows |= bool(block.places)
        if not decided and (instructed := is_instructed(block.cells[0])) is not None:
            reader.instructed, decided = instructed, True
        yield ReadBlock(reader, block)
    if not are_rows and not told:
        # A table without rows may never have asked for its columns; they are checked all the same.
        if table.known_names is not None:
            choose(table.known_names)
        raise UserError(f"{table.name}: there are no rows.")


def rows_of(
    table: Table, blocks: Iterator[ReadBlock], on_problem: OnProblem | None
) -> Iterator[tuple[int, Row]]:
    """Place and row, one after another.

    Args:
        table: The table that the blocks are of.
        blocks: What `read_blocks` gives.
        on_problem: See `OnProblem`; None ends at the first problem.

    Yields:
        Place and row.

    Raises:
        UserError: If a row can't be read and nobody is told of it.
    """
    for read in blocks:
        for place, cells in read.cells():
            try:
                row = read.reader.row(cells)
            except CellError as problem:
                pass_over(table.name, table.place_word, Problem(place, str(problem)), on_problem)
                continue
            yield place, row


def read_rows(
    source: "Source",
    *,
    columns: Mapping[str, Sequence[str]] | None = None,
    grades: Grades | None = None,
    on_problem: OnProblem | None = None,
    left_out: Counter[str] | None = None,
) -> Iterator[tuple[int, Row]]:
    """The rows of a source in their order, each with its line or row (from 1).

    Args:
        source: See `read_pairs`.
        columns: Columns by role, if their names don't tell.
        grades: Which rows of pairs with scores or labels are positives; None where all are. With them, all
            rows are held in memory, and each that is given has the negatives of its anchor from other rows.
        on_problem: Called for each row that can't be read, which is then passed over; None ends at the first.
        left_out: Counts what grades leave out, by reason in words, before the first row is given.

    Yields:
        Place and row.

    Raises:
        UserError: If the source can't be read, or a row can't and nobody is told of it.
    """
    table = open_table(source)
    graded = grades is not None
    with closing(read_blocks(table, columns, graded=graded, others=True, on_problem=on_problem)) as blocks:
        rows = rows_of(table, blocks, on_problem)
        if grades is None:
            yield from rows
            return
        sorted_rows = GradedRows(grades, left_out)
        high, low = sorted_rows.split(rows)
        sorted_rows.require_positive(table.name)
        yield from sorted_rows.joined(high, low)


class PlainTexts(NamedTuple):
    """All texts of a block in which nothing stands beside them.

    Attributes:
        texts: Row after row: the anchor, the positives, the negatives.
        positives: How many positives each row has.
        negatives: How many negatives each row has.
    """

    texts: list[str]
    positives: Int64[np.ndarray, " rows"]
    negatives: Int64[np.ndarray, " rows"]


def plain_texts(read: ReadBlock) -> PlainTexts | None:
    """The texts of a block if every cell is one usable text or a list of such.

    The common case, decided over whole columns; None says that each row has to be read by itself.
    """
    if not read.reader.texts_only:
        return None
    anchors, *others = read.block.cells
    columns: list[Iterable[Iterable[object]]] = [zip(anchors, strict=True)]
    counts = []
    for cells in others:
        kinds = set(map(type, cells))
        if kinds == {str}:
            columns.append(zip(cells, strict=True))
            counts.append(np.ones(len(cells), np.int64))
        elif kinds == {list}:
            columns.append(cast(Sequence[list[object]], cells))
            counts.append(np.fromiter(map(len, cast(Sequence[list[object]], cells)), np.int64, len(cells)))
        else:
            return None
    texts = list(chain.from_iterable(chain.from_iterable(zip(*columns, strict=True))))
    of_positives = len(read.reader.columns.positive)
    positives = sum(counts[:of_positives], np.zeros(len(anchors), np.int64))
    negatives = sum(counts[of_positives:], np.zeros(len(anchors), np.int64))
    if any((own == 0).any() for own in counts[:of_positives]) or not _are_usable(texts):
        return None
    return PlainTexts(cast(list[str], texts), positives, negatives)


def _are_usable(texts: list[Any]) -> bool:
    """Whether `gistembed.pairs.rows.cells.text_problem` finds nothing in any of these."""
    if set(map(type, texts)) != {str} or not all(texts) or any(map(str.isspace, texts)):
        return False
    joined = "".join(texts)
    return "\0" not in joined and _is_unicode(joined)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
