"""Further documents that may be negatives, from a table of texts or from other pairs."""

import os
from array import array
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int64

from gistembed.errors import UserError
from gistembed.guide.given.texts import ID_NAMES
from gistembed.pairs import (
    Columns,
    Names,
    Pairs,
    Passage,
    Relations,
    open_table,
    read_pairs,
    resolve_columns,
)
from gistembed.pairs.rows.cells import CellError, is_blank, name_of, positive_passages, untitled
from gistembed.pairs.rows.columns import plain_name, require_column
from gistembed.pairs.sources.table import Table
from gistembed.pairs.wording import listed, quoted
from gistembed.terms import Role

if TYPE_CHECKING:
    import datasets

_TITLE_NAMES = ["title"]


@dataclass(frozen=True)
class Corpus:
    """Further documents, and what is known of them.

    Attributes:
        documents: Those that the pairs don't have, over the same table of texts. They stand as positives
            beside one anchor of the pairs, whose vector is there anyway: so a guide is asked about each as a
            document, and about nothing else.
        known: Positives that the corpus itself gives to anchors; None where it isn't of pairs.
    """

    documents: Pairs
    known: Relations | None = None


def read_corpus(
    source: "str | os.PathLike[str] | datasets.Dataset | datasets.DatasetDict",
    pairs: Pairs,
    *,
    column: str | None = None,
) -> Corpus:
    """The documents of a corpus that some pairs don't have.

    A table with one column, or of which a column is named, holds a text or a list of texts in each cell. A
    title and an id that stand beside a text belong to it, as in a folder of BEIR; what the pairs have without
    its title is no new document. Any other table holds pairs, whose positives and negatives are documents.

    Args:
        source: See `read_pairs`.
        pairs: The pairs.
        column: The column of texts, where there are several.

    Raises:
        UserError: If the source can't be read, tells no documents, or a cell holds something else; the
            message names the place.
    """
    table = open_table(source)
    if column is not None:
        require_column(column, table.names, table.name)
    elif len(table.names) == 1:
        column = table.names[0]
    if column is not None:
        return Corpus(_of_texts(table, column, pairs))
    _require_pairs(table)
    others = read_pairs(source, texts=pairs.texts)
    ids = np.concatenate([others.positives, others.negative_ids])
    places = np.concatenate([others.places, others.places[others.negative_rows()]])
    documents = _documents(table, others.columns, pairs, ids, places, others.rows_read, others.names)
    return Corpus(documents, others.known_positives())


def _require_pairs(table: Table) -> None:
    """Refuse a table whose columns aren't those of pairs."""
    try:
        resolve_columns(table.names, table.name)
    except UserError:
        problem = (
            f"no column is known as that of the texts. The columns are {listed(table.names)}; say which with "
            "--corpus-column NAME."
        )
        if (grade := _grade(table)) is not None:
            problem = (
                f"column {quoted(grade)} suggests that not every row is a positive pair. Say which column "
                "holds the documents with --corpus-column NAME."
            )
        raise UserError(f"{table.name}: {problem}") from None


def _grade(table: Table) -> str | None:
    """The column that grades the pairs of a table; None if they aren't graded, or none are there."""
    try:
        return resolve_columns(table.names, table.name, graded=True).more["score"][0]
    except UserError:
        return None


def _of_texts(table: Table, column: str, pairs: Pairs) -> Pairs:
    """The documents of a table of texts that the pairs don't have."""
    id_column = _column_beside(table, column, ID_NAMES)
    title_column = _column_beside(table, column, _TITLE_NAMES)
    number = _numbering(pairs)
    ids, places, rows_read = array("q"), array("q"), 0
    named: dict[tuple[str, int], None] = {}
    wanted = [name for name in (column, id_column, title_column) if name is not None]
    with closing(table.rows(wanted)) as rows:
        for place, values in rows:
            cells = dict(zip(wanted, values, strict=True))
            try:
                passages = _passages(cells, column, id_column, title_column)
            except CellError as problem:
                raise UserError(f"{table.place(place)}: {problem}") from None
            rows_read += 1
            for passage in passages:
                text_id = number(passage)
                ids.append(text_id)
                places.append(place)
                if passage.id is not None:
                    named[passage.id, text_id] = None
    if not rows_read:
        raise UserError(f"{table.name}: there are no rows.")
    columns = Columns(column, (column,), (), tuple(name for name in table.names if name != column))
    names: dict[Role, Names] = {}
    if named:
        text_ids = np.array([text_id for _, text_id in named], np.int64)
        names["document"] = Names(tuple(name for name, _ in named), text_ids, table.name)
    return _documents(
        table, columns, pairs, np.array(ids, np.int64), np.array(places, np.int64), rows_read, names
    )


def _numbering(pairs: Pairs) -> Callable[[Passage], int]:
    """What numbers the documents of a corpus: one that the pairs have without its title is theirs."""
    texts = pairs.texts
    is_theirs = np.zeros(len(texts), bool)
    is_theirs[pairs.positives] = is_theirs[pairs.negative_ids] = True

    def number(passage: Passage) -> int:
        if passage.title is not None:
            bare = texts.number_of(untitled(passage))
            if 0 <= bare < len(is_theirs) and is_theirs[bare]:
                return bare
        return texts.add(passage.text)

    return number


def _column_beside(table: Table, column: str, known: Sequence[str]) -> str | None:
    """The one column of these names, besides that of the texts."""
    found = [name for name in table.names if name != column and plain_name(name) in known]
    return found[0] if len(found) == 1 else None


def _passages(
    cells: Mapping[str, object], column: str, id_column: str | None, title_column: str | None
) -> list[Passage]:
    """The documents of a row.

    Args:
        cells: The row's cells by column.
        column: The column of texts.
        id_column: The column of ids, if there is one.
        title_column: The column of titles, if there is one.

    Raises:
        CellError: If there is no text, or something else is in a cell.
    """
    text = cells[column]
    if isinstance(text, list | Mapping):
        # What stands beside several texts, or beside an object with its own, isn't that of one of them.
        return positive_passages(text, column)
    name, title = (
        None if other is None or is_blank(cells[other]) else name_of(cells[other], other)
        for other in (id_column, title_column)
    )
    return positive_passages({"docid": name, "title": title, "text": text}, column)


def _documents(
    table: Table,
    columns: Columns,
    pairs: Pairs,
    ids: Int64[np.ndarray, " texts"],
    places: Int64[np.ndarray, " texts"],
    rows_read: int,
    names: Mapping[Role, Names] | None = None,
) -> Pairs:
    distinct, first = np.unique(ids, return_index=True)
    new = ~np.isin(distinct, np.concatenate([pairs.positives, pairs.negative_ids]))
    return Pairs(
        texts=pairs.texts,
        source=table.name,
        columns=columns,
        anchors=np.full(int(new.sum()), pairs.anchors[0], np.int64),
        positives=distinct[new],
        negative_offsets=np.zeros(int(new.sum()) + 1, np.int64),
        negative_ids=np.empty(0, np.int64),
        places=places[first[new]],
        place_word=table.place_word,
        rows_read=rows_read,
        names=names or {},
    )
