"""What a cell may hold: texts as they are, and what stands beside them; the rest is refused in words."""

import math
from collections.abc import Mapping, Sequence
from typing import TypeGuard

from gistembed.pairs.rows.row import Passage
from gistembed.pairs.sources.table import Absent
from gistembed.pairs.wording import counted, quoted

NEEDED = "Every row needs an anchor and a positive; drop or fill the row."

KINDS = {
    bool: "a boolean",
    int: "a number",
    float: "a number",
    dict: "an object",
    list: "a list",
    bytes: "bytes",
}

_ID_KEYS = ("docid", "id", "_id", "doc_id")
_OTHER_KEYS = ("text", "title", "score")


class CellError(Exception):
    """What is wrong with a cell and what to do; the reader adds the place."""


def anchor_passage(cell: object, column: str) -> Passage:
    """The one text of an anchor's cell.

    Raises:
        CellError: If it isn't one text.
    """
    if isinstance(cell, list):
        raise CellError(f"column {quoted(column)} holds a list. An anchor is one text; write a row for each.")
    return Passage(_text(cell, column))


def positive_passages(cell: object, column: str) -> list[Passage]:
    """The texts of a positive's cell, which is a text, an object with a text, or a list of these.

    Raises:
        CellError: If there is none, or if something else is in it.
    """
    if not isinstance(cell, list):
        return [_passage(cell, column)]
    if not cell:
        raise CellError(f"column {quoted(column)} is an empty list. {NEEDED}")
    return [_passage(item, column, number) for number, item in enumerate(cell, 1)]


def negative_passages(cell: object, column: str) -> list[Passage | None]:
    """The texts of a negative's cell, which is like a positive's, or empty; None for each blank item.

    Raises:
        CellError: If something else is in it.
    """
    if not isinstance(cell, list):
        return [None if is_blank(cell) else _passage(cell, column)]
    return [None if is_blank(item) else _passage(item, column, number) for number, item in enumerate(cell, 1)]


def instructed_passage(cell: object, column: str) -> Passage:
    """The text of a cell as MEDI writes it: ``[instruction, text]``.

    Raises:
        CellError: If it isn't of that form.
    """
    if not (isinstance(cell, list) and len(cell) == 2 and isinstance(cell[0], str)):
        problem = "is missing" if cell is Absent.KEY else f"holds {quoted(cell)}"
        raise CellError(
            f"column {quoted(column)} {problem}, but the rows before hold [instruction, text]. "
            f"Write it so too, or drop the row."
        )
    return Passage(_text(cell[1], column, 2), instruction=name_of(cell[0], column) or None)


def document_passage(cells: Sequence[object], columns: tuple[str, str, str | None]) -> Passage:
    """A document or query of a corpus.

    Args:
        cells: Its id, text and title.
        columns: The columns of these; without one of titles, the title's cell is not looked at.

    Raises:
        CellError: If the id or the text is missing, or something else is in a cell.
    """
    name = None if is_blank(cells[0]) else name_of(cells[0], columns[0])
    if name is None:
        raise CellError(
            f"column {quoted(columns[0])} is empty or missing. Every text of a corpus needs an id."
        )
    title = None if columns[2] is None or is_blank(cells[2]) else name_of(cells[2], columns[2])
    # A text may be empty where its title says it all.
    if is_blank(cells[1]):
        if not title:
            problem = f"column {quoted(columns[1])} {text_problem(cells[1])}"
            raise CellError(f"{problem}. Every document and query needs a text.")
        return Passage(title, id=name, title=title)
    return Passage(titled(_text(cells[1], columns[1]), title), id=name, title=title)


def beside(cell: object, column: str, texts: int) -> list[object]:
    """What stands beside each text of a cell: a list of as many, or one value; None where nothing does.

    Raises:
        CellError: If the list is longer or shorter.
    """
    if not isinstance(cell, list):
        value = None if is_blank(cell) else cell
        if value is not None and texts > 1 and not isinstance(value, str):
            raise CellError(
                f"column {quoted(column)} holds one value ({quoted(cell)}) for {texts} texts. "
                f"Write a list of as many."
            )
        return [value] * texts
    if len(cell) != texts:
        raise CellError(
            f"column {quoted(column)} holds {counted(len(cell), 'value')} for {counted(texts, 'text')}. "
            "Write one for each."
        )
    return [None if is_blank(item) else item for item in cell]


def name_of(value: object, column: str) -> str | None:
    """An id, a title, an instruction or a task: a text or a whole number, as a text.

    Raises:
        CellError: If it is something else.
    """
    if value is None:
        return None
    if isinstance(value, str):
        if (broken := string_problem(value)) is not None:
            raise CellError(f"column {quoted(column)} {broken}. Mend or drop the row.")
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise CellError(f"column {quoted(column)} holds {kind_of(value)}, not a name. Write it as text.")


def number_of(value: object, column: str) -> float | None:
    """A score, a weight or a grade; text that is a number counts as one.

    Raises:
        CellError: If it isn't a finite number.
    """
    if value is None:
        return None
    try:
        number = float(value) if isinstance(value, int | float | str) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise CellError(
            f"column {quoted(column)} holds {kind_of(value)}, not a finite number. Mend or drop the row."
        )
    return number


def truth_of(value: object, column: str) -> bool:
    """Whether something is so: true or false, 1 or 0, also as text.

    Raises:
        CellError: If it is neither.
    """
    if value is None:
        return False
    match str(value).strip().lower():
        case "true" | "1" | "yes":
            return True
        case "false" | "0" | "no":
            return False
    raise CellError(
        f"column {quoted(column)} holds {kind_of(value)}, neither true nor false. Mend or drop the row."
    )


def is_blank(cell: object) -> bool:
    """Whether a cell holds nothing."""
    return cell is None or cell is Absent.KEY or (isinstance(cell, str) and (not cell or cell.isspace()))


def surrogate_problem(text: str) -> str | None:
    """What is wrong and what to do if a text can't be written as UTF-8, in the middle of a line.

    Args:
        text: The text.
    """
    if text.isascii():
        return None
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half, position = text[error.start], error.start + 1
        return f"holds half a surrogate pair ({half!r}) at position {position}. Mend or drop the row"
    return None


def titled(text: str, title: str | None) -> str:
    """A text with its title before it, as models read it."""
    return f"{title} {text}" if title else text


def untitled(passage: Passage) -> str:
    """The text without its title; empty where the title is all of it."""
    return passage.text[len(passage.title) + 1 :] if passage.title else passage.text


def with_title(cell: object, title: str) -> object:
    """A text or an object with a text, as an object with this title.

    Args:
        cell: The text or the object; what is neither is refused when it is read.
        title: The title; it takes the place of the object's own.
    """
    return {**cell, "title": title} if _is_object(cell) else {"text": cell, "title": title}


def _passage(cell: object, column: str, item: int | None = None) -> Passage:
    if not _is_object(cell):
        return Passage(_text(cell, column, item))
    written = cell.get("title")
    title = None if is_blank(written) else name_of(written, column)
    id_key = next((key for key in _ID_KEYS if cell.get(key) is not None), None)
    score = cell.get("score")
    # A text may be empty where its title says it all.
    text = title if title and is_blank(cell["text"]) else titled(_text(cell["text"], column, item), title)
    return Passage(
        text,
        id=None if id_key is None else name_of(cell[id_key], column),
        title=title,
        score=None if is_blank(score) else number_of(score, column),
        extra=_further(cell, id_key),
    )


def _is_object(cell: object) -> TypeGuard[Mapping[str, object]]:
    return isinstance(cell, Mapping) and "text" in cell


def _further(cell: Mapping[str, object], id_key: str | None) -> dict[str, object] | None:
    """What stands in an object under keys that aren't read; a null is nothing."""
    read = (*_OTHER_KEYS, id_key)
    return {key: value for key, value in cell.items() if key not in read and value is not None} or None


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
        return f"holds {kind_of(value)}, not text"
    if "\0" in value:
        return f"holds a NUL character at position {value.index(chr(0)) + 1}"
    broken = surrogate_problem(value)
    return None if broken is None else broken.partition(".")[0]


def kind_of(value: object) -> str:
    """What a value is, in words, and how it begins.

    Args:
        value: The value.
    """
    return (
        f"{KINDS.get(type(value), f'a {type(value).__name__}')} ({quoted(value)})"
        if not isinstance(value, str)
        else quoted(value)
    )


def _text(cell: object, column: str, item: int | None = None) -> str:
    if (problem := text_problem(cell)) is None:
        assert isinstance(cell, str)
        return cell
    if is_blank(cell):
        advice = NEEDED
    else:
        advice = "Mend or drop the row." if isinstance(cell, str) else "Write it as text or drop the row."
    where = f"column {quoted(column)}" + ("" if item is None else f", item {item}")
    raise CellError(f"{where} {problem}. {advice}")
