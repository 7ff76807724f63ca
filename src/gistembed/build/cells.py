"""What keeps a value from being a text to train on, in words."""

from gistembed.pairs.cells import KINDS, surrogate_problem
from gistembed.pairs.table import Absent
from gistembed.pairs.wording import quoted


def text_problem(value: object) -> str | None:
    """What is wrong with a value that should be a text, in the middle of a line; None if nothing is.

    Args:
        value: The value.
    """
    if (problem := string_problem(value)) is not None:
        return problem
    assert isinstance(value, str)
    if not value:
        return "is empty"
    return "holds only white space" if value.isspace() else None


def string_problem(value: object) -> str | None:
    """What is wrong with a value that should be a string, which may be empty; None if nothing is.

    Args:
        value: The value.
    """
    if value is Absent.KEY:
        return "is missing"
    if value is None:
        return "is null"
    if not isinstance(value, str):
        return f"holds {KINDS.get(type(value), f'a {type(value).__name__}')} ({quoted(value)}), not text"
    if "\0" in value:
        return f"holds a NUL character at position {value.index(chr(0)) + 1}"
    broken = surrogate_problem(value)
    return broken.partition(".")[0] if broken is not None else None
