"""The one shape in which every source hands over its rows."""

from collections import Counter
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from enum import Enum

from gistembed.pairs.wording import PlaceWord, located


class Absent(Enum):
    """What stands for a value that a row doesn't have, in contrast to a null."""

    KEY = "key"


Rows = Generator[tuple[int, Sequence[object]], None, None]


@dataclass(frozen=True)
class Table:
    """A source that is open for reading, whatever its format.

    Attributes:
        name: The source, as messages name it.
        place_word: Whether its rows are found by line or by row number.
        names: Its columns.
        rows: Gives for each row its place (from 1) and its values in the columns asked for.
    """

    name: str
    place_word: PlaceWord
    names: tuple[str, ...]
    rows: Callable[[Sequence[str]], Rows]

    def place(self, number: int) -> str:
        """Where a row stands, as a message begins."""
        return located(self.name, self.place_word, number)


def first_repeated(names: Sequence[str]) -> str | None:
    """The first column name that stands more than once."""
    counts = Counter(names)
    return next((name for name in names if counts[name] > 1), None)
