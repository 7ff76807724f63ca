"""Further documents that may be negatives, from a table of texts or from other pairs."""

import os
from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int64

from gistembed.errors import UserError
from gistembed.pairs import Columns, Names, Pairs, open_table, read_pairs, resolve_columns
from gistembed.pairs.rows.cells import CellError, positive_passages
from gistembed.pairs.rows.columns import require_column
from gistembed.pairs.sources.table import Table
from gistembed.pairs.wording import listed
from gistembed.terms import Role

if TYPE_CHECKING:
    import datasets


def read_corpus(
    source: "str | os.PathLike[str] | datasets.Dataset | datasets.DatasetDict",
    pairs: Pairs,
    *,
    column: str | None = None,
) -> Pairs:
    """The documents of a corpus that some pairs don't have, over the same table of texts.

    They stand as positives beside one anchor of the pairs, whose vector is there anyway: so a guide is asked
    about each as a document, and about nothing else. What is known of the anchors stays with the pairs.

    Args:
        source: See `read_pairs`. A table with one column holds a text or a list of texts in each cell;
            otherwise it holds pairs, and their positives and negatives are the documents.
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
        return _as_pairs(table, column, pairs)
    try:
        resolve_columns(table.names, table.name)
    except UserError:
        raise UserError(
            f"{table.name}: no column is known as that of the texts. The columns are {listed(table.names)}; "
            f"say which with --corpus-column NAME."
        ) from None
    others = read_pairs(source, texts=pairs.texts)
    ids = np.concatenate([others.positives, others.negative_ids])
    places = np.concatenate([others.places, others.places[others.negative_rows()]])
    return _documents(table, others.columns, pairs, ids, places, others.rows_read, others.names)


def _as_pairs(table: Table, column: str, pairs: Pairs) -> Pairs:
    ids, places, rows_read = [], [], 0
    with closing(table.rows([column])) as rows:
        for place, (cell,) in rows:
            try:
                texts = [passage.text for passage in positive_passages(cell, column)]
            except CellError as problem:
                raise UserError(f"{table.place(place)}: {problem}") from None
            ids += [pairs.texts.add(text) for text in texts]
            places += [place] * len(texts)
            rows_read += 1
    if not rows_read:
        raise UserError(f"{table.name}: there are no rows.")
    columns = Columns(column, (column,), (), tuple(name for name in table.names if name != column))
    return _documents(table, columns, pairs, np.array(ids, np.int64), np.array(places, np.int64), rows_read)


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
