"""Vectors that stand in the pairs themselves, in columns beside the texts, as a guide."""

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import xxhash
from jaxtyping import Float32, Int64

from gistembed.errors import UserError
from gistembed.guide.vectors import GuideVectors, text_ids_by_role
from gistembed.pairs import Columns, Pairs, parse_columns
from gistembed.pairs.opening import open_table
from gistembed.pairs.rows.cells import KINDS, negative_passages
from gistembed.pairs.rows.columns import require_column
from gistembed.pairs.wording import quoted
from gistembed.terms import Role

if TYPE_CHECKING:
    import datasets

PREFIX = "columns:"
USAGE = f"--guide {PREFIX}anchor=NAME,positive=NAME[,negative=NAME]"


class _VectorError(Exception):
    """What is wrong with a cell and what to do; the reader adds the place."""


def is_columns(name: str) -> bool:
    """Whether a guide's name says in which columns of the pairs its vectors stand.

    Args:
        name: The name.
    """
    return name.startswith(PREFIX)


def column_vectors(
    source: "str | os.PathLike[str] | datasets.Dataset | datasets.DatasetDict", name: str, pairs: Pairs
) -> GuideVectors:
    """The guide vectors of all texts of some pairs, from columns of the source that they were read from.

    For each column of texts there is one of vectors: a cell with a text has a list of numbers beside it, and
    a cell with a list of texts a list of such lists. A text has one vector for each role.

    Args:
        source: What the pairs were read from.
        name: ``columns:anchor=NAME,positive=NAME[,negative=NAME]``, as often a role as it has columns.
        pairs: The pairs whose texts need a vector.

    Raises:
        UserError: If there are no such columns, or a vector is missing, unusable, or not the one that the
            text has elsewhere; the message names the place.
    """
    by_role = parse_columns(name.removeprefix(PREFIX), usage=USAGE)
    table = open_table(source)
    texts, vectors = _couples(pairs.columns, by_role)
    for column in vectors:
        require_column(column, table.names, table.name)
    wanted = {role: set(ids.tolist()) for role, ids in text_ids_by_role(pairs).items()}
    rows: dict[Role, Int64[np.ndarray, " texts"]] = {
        role: np.full(len(pairs.texts), -1, dtype=np.int64) for role in wanted
    }
    found: list[Float32[np.ndarray, " dim"]] = []
    with closing(table.rows([*texts, *vectors])) as every:
        for place, cells in every:
            for number, (text_cell, cell) in enumerate(
                zip(cells[: len(texts)], cells[len(texts) :], strict=True)
            ):
                role: Role = "document" if number else "anchor"
                try:
                    for text, vector in _parts(text_cell, cell, texts[number], vectors[number]):
                        # A text of a row that is neither a positive nor a negative is none of the pairs'.
                        text_id = int(pairs.texts.numbers_of([text])[0])
                        if text_id in wanted[role]:
                            _keep(found, rows[role], text_id, vector, vectors[number])
                except _VectorError as problem:
                    raise UserError(f"{table.place(place)}: {problem}") from None
    return GuideVectors(np.stack(found), rows)


def column_identity(vectors: GuideVectors) -> str:
    """A digest of the vectors.

    Args:
        vectors: What `column_vectors` gave.
    """
    every = vectors.source[np.arange(max(int(own.max()) for own in vectors.rows.values()) + 1)]
    return xxhash.xxh3_128_hexdigest(np.ascontiguousarray(every).data)


def _couples(
    columns: Columns, by_role: dict[str, tuple[str, ...]]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Columns of texts, and of their vectors in the same order: the anchor's, then all others."""
    own = {"anchor": (columns.anchor,), "positive": columns.positive, "negative": columns.negatives}
    for role, texts in own.items():
        if len(given := by_role.get(role, ())) != len(texts):
            raise UserError(
                f"--guide {PREFIX}: {len(given)} columns hold vectors of a {role}, but {len(texts)} hold "
                f"{role}s; write {USAGE}."
            )
    return columns.texts, tuple(name for role in own for name in by_role.get(role, ()))


def _parts(text_cell: object, cell: object, column: str, vector_column: str) -> Iterator[tuple[str, object]]:
    """The texts of a cell, and what stands beside each of them."""
    if not isinstance(text_cell, list):
        for passage in negative_passages(text_cell, column):
            if passage is not None:
                yield passage.text, cell
        return
    if not isinstance(cell, list) or len(cell) != len(text_cell):
        raise _VectorError(
            f"column {quoted(vector_column)} doesn't hold as many vectors as column {quoted(column)} holds "
            f"texts, {len(text_cell)}. Write a list of lists of numbers."
        )
    for text, vector in zip(text_cell, cell, strict=True):
        for passage in negative_passages(text, column):
            if passage is not None:
                yield passage.text, vector


def _keep(
    found: list[Float32[np.ndarray, " dim"]],
    rows: Int64[np.ndarray, " texts"],
    text_id: int,
    cell: object,
    column: str,
) -> None:
    vector = _vector(cell, column)
    if found and len(vector) != len(found[0]):
        raise _VectorError(
            f"column {quoted(column)} holds a vector of {len(vector)} numbers where others have "
            f"{len(found[0])}. All vectors must have one length."
        )
    if rows[text_id] < 0:
        rows[text_id] = len(found)
        found.append(vector)
    elif not np.array_equal(found[rows[text_id]], vector):
        raise _VectorError(
            f"column {quoted(column)} holds another vector than an earlier row for the same text. A text has "
            "one vector in a role; keep one."
        )


def _vector(cell: object, column: str) -> Float32[np.ndarray, " dim"]:
    where = f"column {quoted(column)}"
    if not isinstance(cell, Sequence) or isinstance(cell, str | bytes):
        kind = "nothing" if cell is None else KINDS.get(type(cell), "text")
        raise _VectorError(f"{where} holds {kind}, not a vector. Write a list of numbers.")
    try:
        with np.errstate(over="ignore"):
            vector = np.asarray(cell, dtype=np.float64).astype(np.float32)
            usable = vector.ndim == 1 and 0 < float(vector @ vector) < np.inf
    except (ValueError, TypeError):
        raise _VectorError(
            f"{where} holds a list of something else than numbers. Mend or drop the row."
        ) from None
    if not usable:
        raise _VectorError(f"{where} holds a vector that is zero or not finite. Mend or drop the row.")
    return vector
