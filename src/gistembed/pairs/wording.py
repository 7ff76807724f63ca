"""How messages name places and quote what the user gave: always on one line, never at length."""

import reprlib
from collections.abc import Iterable, Mapping
from typing import Literal

from gistembed.errors import UserError

PlaceWord = Literal["line", "row"]

QUOTED_LENGTH = 60
LISTED_NAMES = 20


def one_line(text: str) -> str:
    """The text with line breaks and other unprintable characters escaped."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


def quoted(value: object) -> str:
    """The value as Python writes it, cut to a length that a message can bear."""
    if not isinstance(value, str):
        # reprlib stays short and shallow, whatever a list or an object holds.
        return _cut(one_line(reprlib.repr(value)))
    written = repr(value[:QUOTED_LENGTH])
    return _cut(written if len(value) <= QUOTED_LENGTH else written + "…")


def _cut(written: str) -> str:
    return written if len(written) <= QUOTED_LENGTH else written[: QUOTED_LENGTH - 1] + "…"


def listed(names: Iterable[str]) -> str:
    """Column names as a list in words."""
    every = [quoted(name) for name in names]
    more = len(every) - LISTED_NAMES
    return ", ".join(every[:LISTED_NAMES]) + (f" and {more} more" if more > 0 else "")


def counted(number: int, one: str, several: str | None = None) -> str:
    """So many of something: ``1 field``, ``2 fields``.

    Args:
        number: How many.
        one: The word for one of them.
        several: The word for none or several, where it isn't the first with an s: ``1 class``, ``2 classes``.
    """
    return f"{number:,} {one if number == 1 else several or f'{one}s'}"


def reasons(left_out: Mapping[str, int]) -> str:
    """What was left out and how much of each, in a form that fits any number: ``rows of weight 0 (1)``."""
    return ", ".join(f"{reason} ({count:,})" for reason, count in left_out.items())


def located(source: str, word: PlaceWord, number: int) -> str:
    """A place in a source, as a message begins: ``pairs.csv:118`` or ``pairs.parquet: row 118``."""
    return f"{source}:{number}" if word == "line" else f"{source}: row {number}"


def source_changed(source: str) -> UserError:
    """What is to be said when a second reading of a source doesn't give what the first gave."""
    return UserError(f"{source}: the source changed while it was read; run the command again")
