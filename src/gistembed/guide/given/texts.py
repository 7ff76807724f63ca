"""The texts of a file of vectors: in which column of it or of a file beside it, and the key of each row."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np

from gistembed.errors import UserError
from gistembed.guide.store.keys import Keys
from gistembed.models import ROLES
from gistembed.pairs import Pairs
from gistembed.pairs.rows.cells import KINDS, surrogate_problem
from gistembed.pairs.rows.columns import only_column, plain_name, require_column
from gistembed.pairs.sources.table import Absent, Block, Choose, Table
from gistembed.pairs.sources.text_files import open_jsonl
from gistembed.pairs.wording import located, one_line, quoted
from gistembed.terms import Role

TEXT_NAMES = [
    *["text", "texts", "sentence", "sentences", "query", "queries", "question", "questions"],
    *["passage", "passages", "document", "documents", "doc", "docs", "content", "anchor", "positive"],
]
"""Names of columns of texts, as `plain_name` writes them."""

ID_NAMES = ["id", "ids", "textid", "docid", "documentid", "passageid", "queryid"]
"""Names of columns of ids, as `plain_name` writes them; `plain_name` takes the dash from ``_id``."""

ROLE_NAMES = ["role"]

_SUFFIXES = (".texts.jsonl", ".texts.json", ".ids.jsonl", ".ids.json")
# A text that no pair has: its vector is passed over.
_NOBODYS = "\0"
_TEXTS_AT_ONCE = 10_000


def texts_path(path: Path, name: str) -> Path:
    """The file of texts beside a file that has none itself.

    Raises:
        UserError: If there is none, or more than one.
    """
    paths = [path.with_suffix(suffix) for suffix in _SUFFIXES]
    found = [path for path in paths if path.exists()]
    names = [one_line(path.name) for path in paths]
    if not found:
        raise UserError(
            f"{name}: its texts are not beside it. Write them in the order of the vectors: "
            f'{names[0]} with a {{"text": …}} on each line, or {names[1]} with one list.'
        )
    if len(found) > 1:
        twice = " and ".join(one_line(path.name) for path in found)
        raise UserError(f"{name}: its texts are there twice, in {twice}. Remove one.")
    return found[0]


def open_texts(path: Path) -> Table:
    """A file of texts as a table, one row for each text.

    Raises:
        UserError: If it isn't readable.
    """
    name = one_line(os.fspath(path))
    return _open_list(path, name) if path.suffix == ".json" else open_jsonl(path, name)


def find_column(table: Table, what: str, known: Sequence[str], given: str | None) -> str:
    """The one column that the user named, or whose name is known.

    Args:
        table: The table that has it.
        what: What stands in it; ``{what}_column`` is the option that names it.
        known: Known names, as `plain_name` writes them.
        given: The name from the user.

    Raises:
        UserError: If there is no such column, or more than one.
    """
    if given is None:
        return only_column(what, known, table.names, table.name, f"{what}_column")
    require_column(given, table.names, table.name)
    return given


def name_column(table: Table, text_column: str | None) -> tuple[str, bool]:
    """The column that says whose vector a row has, and whether it does so by ids instead of texts.

    Args:
        table: The table that has it.
        text_column: The column of texts, if its name doesn't tell.

    Raises:
        UserError: If there is no such column, or more than one.
    """
    plain = [plain_name(name) for name in table.names]
    has_texts = text_column is not None or any(name in TEXT_NAMES for name in plain)
    if not has_texts and any(name in ID_NAMES for name in plain):
        return find_column(table, "id", ID_NAMES, None), True
    return find_column(table, "text", TEXT_NAMES, text_column), False


def read_keys(
    table: Table, text_column: str | None, role_column: str | None, pairs: Pairs
) -> tuple[Keys, bool]:
    """The key of each row, and whether roles are told apart.

    Args:
        table: The table of texts.
        text_column: The column of texts, if its name doesn't tell.
        role_column: The column of roles, if its name doesn't tell.
        pairs: The pairs whose texts are looked for; they know what texts their ids are of.

    Raises:
        UserError: If a column is not found, a text, id or role is none, or an id names several texts.
    """
    name, by_id = name_column(table, text_column)
    columns = [name]
    if by_id and not pairs.names:
        raise UserError(
            f"{table.name}: the vectors have ids, but the pairs of {pairs.source} have none. "
            "Name their columns with --columns …,anchor_id=NAME,positive_id=NAME, or give the texts."
        )
    if role_column is not None or any(plain_name(name) in ROLE_NAMES for name in table.names):
        columns.append(find_column(table, "role", ROLE_NAMES, role_column))
    by_role = len(columns) > 1
    parts = [_keys([], None)]
    with closing(table.rows(columns)) as rows:
        while chunk := list(islice(rows, _TEXTS_AT_ONCE)):
            roles = [_role(cells[1], table, place, columns[1]) for place, cells in chunk] if by_role else None
            texts = [_text(cells[0], table, place, columns[0]) for place, cells in chunk]
            if by_id:
                owners: list[Role | None] = [None] * len(texts) if roles is None else [*roles]
                texts = [
                    _text_of_id(name, role, pairs, table.place(place))
                    for name, role, (place, _) in zip(texts, owners, chunk, strict=True)
                ]
            parts.append(_keys(texts, roles))
    return Keys.joined(parts), by_role


def _open_list(path: Path, name: str) -> Table:
    """A JSON file with one list, as a table with one column."""
    try:
        texts = json.loads(path.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UserError(
            f"{name}: byte {error.start + 1} is not valid UTF-8. Save the file as UTF-8."
        ) from None
    except json.JSONDecodeError as error:
        problem = f"not valid JSON at column {error.colno} ({error.msg})"
        raise UserError(f"{located(name, 'line', error.lineno)}: {problem}. Write it anew.") from None
    except (RecursionError, ValueError):
        raise UserError(f"{name}: the JSON is not readable. Write one list of texts.") from None
    if not isinstance(texts, list):
        kind = KINDS.get(type(texts), "text" if isinstance(texts, str) else "null")
        raise UserError(f"{name}: the file holds {kind}, not a list. Write one list of texts.")

    column = "id" if path.name.endswith(".ids.json") else "text"

    def blocks(choose: Choose, _: object) -> Iterator[Block]:
        yield Block(range(1, len(texts) + 1), choose((column,)), [texts])

    return Table(name, "row", blocks, (column,))


def _text_of_id(name: str, role: Role | None, pairs: Pairs, place: str) -> str:
    """The text that an id names in the pairs, or one that no pair has."""
    found = {
        text_id
        for own, names in pairs.names.items()
        if role in (None, own) and (text_id := names.by_id.get(name)) is not None
    }
    if len(found) > 1:
        raise UserError(
            f"{place}: id {quoted(name)} names both an anchor and another text. Add a column 'role'."
        )
    return pairs.texts[found.pop()] if found else _NOBODYS


def _text(cell: object, table: Table, place: int, column: str) -> str:
    if isinstance(cell, str):
        problem = surrogate_problem(cell)
        if problem is None:
            return cell
    elif cell is None or cell is Absent.KEY:
        problem = f"is {'null' if cell is None else 'missing'}. Every vector needs its text; fill it in"
    else:
        kind = KINDS.get(type(cell), f"a {type(cell).__name__}")
        problem = f"holds {kind} ({quoted(cell)}), not text. Write it as text or drop the row"
    raise UserError(f"{table.place(place)}: column {quoted(column)} {problem}.")


def _role(cell: object, table: Table, place: int, column: str) -> Role:
    for role in ROLES:
        if cell == role:
            return role
    problem = f"is {quoted(cell)}" if isinstance(cell, str) else "holds no text"
    raise UserError(
        f"{table.place(place)}: column {quoted(column)} {problem}. Write 'anchor' or 'document', "
        f"or rename the column if it isn't the role of a text."
    )


def _keys(texts: Sequence[str], roles: Sequence[Role] | None) -> Keys:
    """Keys of texts; with roles, a text has another key in each."""
    if roles is None:
        return Keys.of(texts, prompt="")
    places = {role: [place for place, other in enumerate(roles) if other == role] for role in ROLES}
    parts = [Keys.of((texts[place] for place in own), prompt="", task=role) for role, own in places.items()]
    return Keys.joined(parts).at(np.argsort(np.concatenate([np.array(own, int) for own in places.values()])))
