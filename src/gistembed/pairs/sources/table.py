"""The one shape in which every source hands over its rows: blocks of cells, column by column."""

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import NamedTuple

from gistembed.errors import UserError
from gistembed.pairs.wording import PlaceWord, located

BLOCK_ROWS = 10_000
# Rows that are read at once hold about so much text at most, however little their file takes.
BLOCK_BYTES = 16 * 2**20


class Absent(Enum):
    """What stands for a value that a row doesn't have, in contrast to a null."""

    KEY = "key"


class Problem(NamedTuple):
    """A row that can't be read.

    Attributes:
        place: Its line or row in the source, from 1.
        text: What is wrong and what to do.
    """

    place: int
    text: str


OnProblem = Callable[[Problem], None]
"""Called for each row that can't be read, which is then passed over."""

READABLE = (
    "a .jsonl, .ndjson, .json, .csv or .tsv file (also .gz or .zst), a .parquet, .arrow or .feather file, "
    "or a folder of BEIR, Tevatron, MS MARCO or `datasets`"
)
"""All that can be read, as messages advise it."""

Choose = Callable[[tuple[str, ...]], Sequence[str]]
"""Given the columns of a source as far as they are known, says which are wanted."""


class Block(NamedTuple):
    """Some rows that stand one after another.

    Attributes:
        places: Line or row of each, from 1.
        chosen: The columns that were chosen.
        cells: The values of each of these columns.
    """

    places: Sequence[int]
    chosen: Sequence[str]
    cells: Sequence[Sequence[object]]


Rows = Generator[tuple[int, Sequence[object]], None, None]


@dataclass(frozen=True)
class Table:
    """A source that is open for reading, whatever its format.

    Attributes:
        name: The source, as messages name it.
        place_word: Whether its rows are found by line or by row number.
        read: Gives the rows in blocks, with the columns that are chosen. A source that learns its columns on
            the way asks anew whenever there are more.
        known_names: Its columns, if they are known before the rows are read.
    """

    name: str
    place_word: PlaceWord
    read: Callable[[Choose, OnProblem | None], Iterator[Block]]
    known_names: tuple[str, ...] | None = None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All columns; where they aren't known before the rows are read, all rows are read for them."""
        if self.known_names is not None:
            return self.known_names
        names: tuple[str, ...] = ()

        def note(known: tuple[str, ...]) -> tuple[()]:
            nonlocal names
            names = known
            return ()

        for _ in self.read(note, None):
            pass
        if not names:
            raise UserError(f"{self.name}: there are no rows.")
        return names

    def rows(self, columns: Sequence[str], on_problem: OnProblem | None = None) -> Rows:
        """Each row's place and its values in these columns.

        Args:
            columns: The columns.
            on_problem: See `OnProblem`; None ends at the first.
        """
        for block in self.read(lambda names: columns, on_problem):
            yield from zip(block.places, zip(*block.cells, strict=True), strict=True)

    def place(self, number: int) -> str:
        """Where a row stands, as a message begins."""
        return located(self.name, self.place_word, number)


def pass_over(source: str, word: PlaceWord, problem: Problem, on_problem: OnProblem | None) -> None:
    """Tell of a row that can't be read, or end with it if nobody listens.

    Args:
        source: The source, as messages name it.
        word: Whether its rows are found by line or by row number.
        problem: The row, and what is wrong.
        on_problem: See `OnProblem`; None ends here.

    Raises:
        UserError: If nobody listens.
    """
    if on_problem is None:
        raise UserError(f"{located(source, word, problem.place)}: {problem.text}") from None
    on_problem(problem)


def first_repeated(names: Sequence[str]) -> str | None:
    """The first column name that stands more than once."""
    counts = Counter(names)
    return next((name for name in names if counts[name] > 1), None)
