"""Pairs for tests: written in every format, or built without a file."""

import csv
import json
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from gistembed.pairs import Columns, Pairs, Texts

Data = dict[str, list[Any]]


def write_jsonl(path: Path, columns: Data) -> Path:
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def write_separated(path: Path, columns: Data) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def write_parquet(path: Path, columns: Data) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def write_saved(path: Path, columns: Data) -> Path:
    datasets.Dataset.from_dict(columns).save_to_disk(path)
    return path


WRITERS: dict[str, Callable[[Path, Data], Path]] = {
    "pairs.jsonl": write_jsonl,
    "pairs.ndjson": write_jsonl,
    "pairs.json": write_jsonl,
    "pairs.csv": write_separated,
    "pairs.tsv": write_separated,
    "pairs.parquet": write_parquet,
    "pairs": write_saved,
}

Row = tuple[str, str, list[str]]


def as_rows(pairs: Pairs) -> list[Row]:
    """The pairs as texts again."""
    return [
        (
            pairs.texts[pairs.anchors[row]],
            pairs.texts[pairs.positives[row]],
            [pairs.texts[text_id] for text_id in pairs.negatives(row)],
        )
        for row in range(len(pairs))
    ]


def pairs_of(rows: list[Row], texts: Texts | None = None) -> Pairs:
    """These rows as they are, duplicates and contradictions included."""
    texts = Texts() if texts is None else texts
    negatives = [[texts.add(text) for text in row[2]] for row in rows]
    return Pairs(
        texts=texts,
        source="test",
        columns=Columns("anchor", ("positive",), ("negative",), ()),
        anchors=np.array([texts.add(row[0]) for row in rows], np.int64),
        positives=np.array([texts.add(row[1]) for row in rows], np.int64),
        negative_offsets=np.cumsum([0, *map(len, negatives)], dtype=np.int64),
        negative_ids=np.array([*chain.from_iterable(negatives)], np.int64),
        places=np.arange(1, len(rows) + 1),
        place_word="line",
        rows_read=len(rows),
    )


def rows_of_texts(texts: int = 5, max_size: int = 8) -> st.SearchStrategy[list[Row]]:
    """Rows over few texts, so that many are shared."""
    text = st.integers(0, texts - 1).map(str)
    return st.lists(st.tuples(text, text, st.lists(text, max_size=3)), min_size=1, max_size=max_size)
