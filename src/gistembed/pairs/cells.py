"""What a cell may hold: text as it is, or a list of texts; everything else is refused in words."""

from gistembed.pairs.table import Absent
from gistembed.pairs.wording import quoted

NEEDED = "Every row needs an anchor and a positive; drop or fill the row."

KINDS = {
    bool: "a boolean",
    int: "a number",
    float: "a number",
    dict: "an object",
    list: "a list",
    bytes: "bytes",
}


class CellError(Exception):
    """What is wrong with a cell and what to do; the reader adds the place."""


def anchor_text(cell: object, column: str) -> str:
    """The one text of an anchor's cell.

    Raises:
        CellError: If it isn't one text.
    """
    if isinstance(cell, list):
        raise CellError(f"column {quoted(column)} holds a list. An anchor is one text; write a row for each.")
    return _text(cell, column)


def positive_texts(cell: object, column: str) -> list[str]:
    """The texts of a positive's cell, which is a text or a list of texts.

    Raises:
        CellError: If there is none, or if something else is in it.
    """
    if not isinstance(cell, list):
        return [_text(cell, column)]
    if not cell:
        raise CellError(f"column {quoted(column)} is an empty list. {NEEDED}")
    return [_text(item, column, number) for number, item in enumerate(cell, 1)]


def negative_texts(cell: object, column: str) -> list[str]:
    """The texts of a negative's cell, which is a text, a list of texts, or nothing.

    Raises:
        CellError: If something else is in it.
    """
    if not isinstance(cell, list):
        return [] if _is_blank(cell) else [_text(cell, column)]
    return [_text(item, column, number) for number, item in enumerate(cell, 1) if not _is_blank(item)]


def surrogate_problem(text: str) -> str | None:
    """What is wrong and what to do if a text can't be written as UTF-8, in the middle of a line.

    Args:
        text: The text.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half, position = text[error.start], error.start + 1
        return f"holds half a surrogate pair ({half!r}) at position {position}. Mend or drop the row"
    return None


def _is_blank(cell: object) -> bool:
    return cell is None or cell is Absent.KEY or (isinstance(cell, str) and (not cell or cell.isspace()))


def _text(cell: object, column: str, item: int | None = None) -> str:
    if cell is Absent.KEY:
        problem = f"is missing. {NEEDED}"
    elif cell is None:
        problem = f"is null. {NEEDED}"
    elif not isinstance(cell, str):
        kind = KINDS.get(type(cell), f"a {type(cell).__name__}")
        problem = f"holds {kind} ({quoted(cell)}), not text. Write it as text or drop the row."
    elif not cell:
        problem = f"is empty. {NEEDED}"
    elif cell.isspace():
        problem = f"holds only white space. {NEEDED}"
    elif "\0" in cell:
        problem = f"holds a NUL character at position {cell.index(chr(0)) + 1}. Mend or drop the row."
    elif (broken := surrogate_problem(cell)) is not None:
        problem = f"{broken}."
    else:
        return cell
    where = f"column {quoted(column)}" + ("" if item is None else f", item {item}")
    raise CellError(f"{where} {problem}")
