"""Reads pairs: every cell checked, every distinct text numbered."""

import os
from array import array
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np

from gistembed.errors import UserError
from gistembed.pairs.cells import CellError, anchor_text, negative_texts, positive_texts
from gistembed.pairs.clean import clean
from gistembed.pairs.columns import Columns, resolve_columns
from gistembed.pairs.pairs import Pairs, offsets_of
from gistembed.pairs.sources import open_table
from gistembed.pairs.table import Table
from gistembed.pairs.texts import Texts

if TYPE_CHECKING:
    import datasets


def read_pairs(
    source: "str | os.PathLike[str] | datasets.Dataset | datasets.DatasetDict",
    *,
    columns: Mapping[str, Sequence[str]] | None = None,
    texts: Texts | None = None,
) -> Pairs:
    """Read the pairs of a file, a folder or a data set; texts stay as they are, character by character.

    A row gives one pair for each of its positives, and each pair has all negatives of the row. Left out and
    counted: pairs whose positive is their anchor, pairs that repeat an earlier one, and negatives that are
    known to belong to their anchor.

    Args:
        source: A .jsonl, .ndjson, .csv, .tsv or .parquet file, a folder that `save_to_disk` of `datasets`
            wrote, or a data set in memory. Of several splits, ``train`` is read.
        columns: Columns by role, if their names don't tell.
        texts: The table to number the texts in, to share it with other pairs; None makes a new one.

    Raises:
        UserError: If anything in the source isn't as it should be; the message names the place.
    """
    table = open_table(source)
    roles = resolve_columns(table.names, table.name, columns)
    pairs = _read_rows(table, roles, Texts() if texts is None else texts)
    if not pairs.rows_read:
        raise UserError(f"{pairs.source}: there are no rows.")
    cleaned = clean(pairs)
    if not len(cleaned):
        reasons = ", ".join(f"{count} {reason}" for reason, count in cleaned.dropped.items())
        raise UserError(f"{pairs.source}: no pairs are left; left out were {reasons}.")
    return cleaned


def _read_rows(table: Table, columns: Columns, texts: Texts) -> Pairs:
    anchors, positives, negative_ids, counts, places = (array("q") for _ in range(5))
    rows_read = 0
    first_negative = 1 + len(columns.positive)
    with closing(table.rows(columns.used)) as rows:
        for place, cells in rows:
            rows_read += 1
            try:
                anchor = texts.add(anchor_text(cells[0], columns.anchor))
                own_positives = [
                    texts.add(text)
                    for column, cell in zip(columns.positive, cells[1:first_negative], strict=True)
                    for text in positive_texts(cell, column)
                ]
                own_negatives = [
                    texts.add(text)
                    for column, cell in zip(columns.negatives, cells[first_negative:], strict=True)
                    for text in negative_texts(cell, column)
                ]
            except CellError as problem:
                raise UserError(f"{table.place(place)}: {problem}") from None
            for positive in own_positives:
                anchors.append(anchor)
                positives.append(positive)
                negative_ids.extend(own_negatives)
                counts.append(len(own_negatives))
                places.append(place)
    return Pairs(
        texts=texts,
        source=table.name,
        columns=columns,
        anchors=np.array(anchors, np.int64),
        positives=np.array(positives, np.int64),
        negative_offsets=offsets_of(np.array(counts, np.int64)),
        negative_ids=np.array(negative_ids, np.int64),
        places=np.array(places, np.int64),
        place_word=table.place_word,
        rows_read=rows_read,
    )
