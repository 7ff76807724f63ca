"""Vectors that stand in the pairs themselves, in columns beside the texts, as a guide."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import xxhash
from jaxtyping import Float32, Int64

from gistembed.errors import UserError
from gistembed.guide.encoding.vectors import GuideVectors, text_ids_by_role
from gistembed.guide.given.join import refuse_missing
from gistembed.pairs import Columns, Pairs, parse_columns
from gistembed.pairs.opening import open_table
from gistembed.pairs.read import Instructions, numbered_text
from gistembed.pairs.rows.cells import KINDS, CellError, is_blank
from gistembed.pairs.rows.columns import require_column
from gistembed.pairs.rows.reader import RowReader
from gistembed.pairs.wording import quoted
from gistembed.terms import Role

if TYPE_CHECKING:
    import datasets

PREFIX = "columns:"
USAGE = f"--guide {PREFIX}anchor=NAME,positive=NAME[,negative=NAME]"


def is_columns(name: str) -> bool:
    """Whether a guide's name says in which columns of the pairs its vectors stand.

    Args:
        name: The name.
    """
    return name.startswith(PREFIX)


def column_vectors(
    source: "str | os.PathLike[str] | datasets.Dataset | datasets.DatasetDict",
    name: str,
    pairs: Pairs,
    *,
    instructions: Instructions = "ignore",
) -> GuideVectors:
    """The guide vectors of all texts of some pairs, from columns of the source that they were read from.

    For each column of texts there is one of vectors: a cell with a text has a list of numbers beside it, and
    a cell with a list of texts a list of such lists. A text has one vector for each role.

    Args:
        source: What the pairs were read from.
        name: ``columns:anchor=NAME,positive=NAME[,negative=NAME]``, as often a role as it has columns.
        pairs: The pairs whose texts need a vector.
        instructions: How the pairs were read; see `gistembed.pairs.read_pairs`.

    Raises:
        UserError: If there are no such columns, or a vector is missing, unusable, or not the one that the
            text has elsewhere; the message names the place.
    """
    by_role = parse_columns(name.removeprefix(PREFIX), usage=USAGE)
    table = open_table(source)
    columns = _vector_columns(pairs.columns, by_role)
    for column in columns:
        require_column(column, table.names, table.name)
    gathered = _Gathered(pairs, columns, instructions)
    wanted = gathered.reader.wanted
    with closing(table.rows([*wanted, *columns])) as rows:
        for place, cells in rows:
            try:
                gathered.add(cells[: len(wanted)], cells[len(wanted) :])
            except CellError as problem:
                raise UserError(f"{table.place(place)}: {problem}") from None
    refuse_missing(pairs, gathered.rows, name, by_role=True)
    return GuideVectors(np.stack(gathered.found), gathered.rows)


def column_identity(vectors: GuideVectors) -> str:
    """A digest of the vectors.

    Args:
        vectors: What `column_vectors` gave.
    """
    every = vectors.source[np.arange(max(int(own.max()) for own in vectors.rows.values()) + 1)]
    return xxhash.xxh3_128_hexdigest(np.ascontiguousarray(every).data)


def _vector_columns(columns: Columns, by_role: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The columns of vectors, in the order of those of texts: the anchor's, then all others."""
    own = {"anchor": (columns.anchor,), "positive": columns.positive, "negative": columns.negatives}
    for role, texts in own.items():
        if len(given := by_role.get(role, ())) != len(texts):
            raise UserError(
                f"--guide {PREFIX}: {len(given)} columns hold vectors of a {role}, but {len(texts)} hold "
                f"{role}s; write {USAGE}."
            )
    return tuple(name for role in own for name in by_role.get(role, ()))


class _Gathered:
    """The vectors of the texts that pairs need, row by row of their source.

    Attributes:
        reader: Reads the texts of a row as they were read for the pairs.
        found: The vectors.
        rows: Place in ``found`` of each text's vector, by role; -1 where it is missing, -2 where none is
            needed.
    """

    def __init__(self, pairs: Pairs, columns: Sequence[str], instructions: Instructions) -> None:
        self.reader = RowReader(pairs.columns)
        self.found: list[Float32[np.ndarray, " dim"]] = []
        self.rows: dict[Role, Int64[np.ndarray, " texts"]] = {}
        for role, ids in text_ids_by_role(pairs).items():
            self.rows[role] = np.full(len(pairs.texts), -2)
            self.rows[role][ids] = -1
        self._texts, self._columns, self._instructions = pairs.texts, columns, instructions

    def add(self, cells: Sequence[object], vectors: Sequence[object]) -> None:
        """Note the vectors of a row.

        Args:
            cells: The cells that the reader wants.
            vectors: The cells of the columns of vectors.

        Raises:
            CellError: If a cell holds what it may not.
        """
        # Pairs could be read from these rows: an anchor that is a list is an instruction and a text.
        self.reader.instructed = isinstance(cells[0], list)
        row = self.reader.row(cells)
        passages = (row.anchor, *row.positives, *row.negatives)
        beside = list(self._beside(cells, vectors))
        if len(beside) > len(passages):
            beside = [one for one in beside if not is_blank(one[0])]
        if len(beside) != len(passages):
            raise CellError(
                "of its blank negatives, some are only a title and some are nothing. Drop the latter, with "
                "their vectors."
            )
        for number, (passage, (_, vector, column)) in enumerate(zip(passages, beside, strict=True)):
            role: Role = "document" if number else "anchor"
            text_id = self._texts.number_of(numbered_text(passage, self._instructions))
            # A text of a row that is neither a positive nor a negative is none of the pairs'.
            if text_id >= 0 and self.rows[role][text_id] >= -1:
                _keep(self.found, self.rows[role], text_id, vector, column)

    def _beside(
        self, cells: Sequence[object], vectors: Sequence[object]
    ) -> Iterator[tuple[object, object, str]]:
        """Each text of a row as it stands there, with its vector and the column of that."""
        for text, vector, text_column, column in zip(
            cells, vectors, self.reader.columns.texts, self._columns, strict=False
        ):
            if self.reader.instructed or not isinstance(text, list):
                yield text, vector, column
            elif isinstance(vector, list) and len(vector) == len(text):
                yield from zip(text, vector, [column] * len(text), strict=True)
            else:
                raise CellError(
                    f"column {quoted(column)} doesn't hold as many vectors as column {quoted(text_column)} "
                    f"holds texts, {len(text)}. Write a list of lists of numbers."
                )


def _keep(
    found: list[Float32[np.ndarray, " dim"]],
    rows: Int64[np.ndarray, " texts"],
    text_id: int,
    cell: object,
    column: str,
) -> None:
    vector = _vector(cell, column)
    if found and len(vector) != len(found[0]):
        raise CellError(
            f"column {quoted(column)} holds a vector of {len(vector)} numbers where others have "
            f"{len(found[0])}. All vectors must have one length."
        )
    if rows[text_id] < 0:
        rows[text_id] = len(found)
        found.append(vector)
    elif not np.array_equal(found[rows[text_id]], vector):
        raise CellError(
            f"column {quoted(column)} holds another vector than an earlier row for the same text. A text has "
            "one vector in a role; keep one."
        )


def _vector(cell: object, column: str) -> Float32[np.ndarray, " dim"]:
    where = f"column {quoted(column)}"
    if not isinstance(cell, Sequence) or isinstance(cell, str | bytes):
        kind = "nothing" if cell is None else KINDS.get(type(cell), "text")
        raise CellError(f"{where} holds {kind}, not a vector. Write a list of numbers.")
    try:
        with np.errstate(over="ignore"):
            vector = np.asarray(cell, dtype=np.float64).astype(np.float32)
            usable = vector.ndim == 1 and 0 < float(vector @ vector) < np.inf
    except (ValueError, TypeError):
        raise CellError(
            f"{where} holds a list of something else than numbers. Mend or drop the row."
        ) from None
    if not usable:
        raise CellError(f"{where} holds a vector that is zero or not finite. Mend or drop the row.")
    return vector
