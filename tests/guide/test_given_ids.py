"""Given vectors that are joined by the ids that the pairs have for their texts."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gistembed.errors import UserError
from gistembed.guide import given_vectors
from gistembed.pairs import Passage, Row, read_pairs, write_rows

PLACE = "vectors.parquet"


@pytest.fixture
def pairs(tmp_path, monkeypatch):
    """Two rows, in which "1" is a query and a document too."""
    monkeypatch.chdir(tmp_path)
    rows = [
        Row(Passage("q one", id="1"), (Passage("p one", id="d1"),), (Passage("n", id="d3"),)),
        Row(Passage("q two", id="2"), (Passage("p two", id="1"),)),
    ]
    write_rows(rows, Path("pairs.jsonl"))
    return read_pairs("pairs.jsonl")


def write(ids, roles=None):
    columns = {"id": ids, "vector": [[float(number), 1.0] for number in range(len(ids))]}
    pq.write_table(pa.table(columns | ({} if roles is None else {"role": roles})), PLACE)
    return PLACE


ROLES = ["document", "anchor", "document", "document", "anchor", "document"]
IDS = ["d1", "1", "1", "d3", "2", "nobody"]


def check(vectors, pairs):
    assert vectors.of(pairs.anchors, "anchor")[:, 0].tolist() == [1, 4]
    assert vectors.of(pairs.positives, "document")[:, 0].tolist() == [0, 2]
    assert vectors.of(pairs.negative_ids, "document")[:, 0].tolist() == [3]


def test_ids_of_either_role(pairs):
    check(given_vectors(write(IDS, ROLES), pairs), pairs)


@pytest.mark.parametrize("ending", [".ids.jsonl", ".texts.jsonl"])
def test_ids_beside_a_matrix(pairs, ending):
    np.save("v.npy", np.array([[number, 1] for number in range(6)], np.float32))
    lines = [json.dumps({"id": name, "role": role}) for name, role in zip(IDS, ROLES, strict=True)]
    Path(f"v{ending}").write_text("\n".join(lines), "utf-8")
    check(given_vectors("v.npy", pairs), pairs)


def test_a_list_of_ids(pairs):
    np.save("v.npy", np.array([[number, 1] for number in range(3)], np.float32))
    Path("v.ids.json").write_text('["d1", "2", "d3"]', "utf-8")
    with pytest.raises(UserError, match=r"v\.npy has no vector for the text 'q one'; 2 of 5 distinct texts"):
        given_vectors("v.npy", pairs)


def test_an_id_that_names_texts_of_both_roles(pairs):
    message = "vectors.parquet: row 2: id '1' names both an anchor and another text. Add a column 'role'."
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        given_vectors(write(IDS), pairs)


def test_an_id_that_names_two_texts(pairs):
    rows = [Row(Passage("q"), (Passage("a", id="x"), Passage("b", id="x")))]
    write_rows(rows, Path("twice.jsonl"))
    with pytest.raises(
        UserError, match=r"^twice\.jsonl: id 'x' names two different texts; give each its own id$"
    ):
        given_vectors(write(["x"]), read_pairs("twice.jsonl"))


def test_pairs_without_ids(pairs):
    write_rows([Row(Passage("q"), (Passage("a"),))], Path("bare.jsonl"))
    message = (
        "vectors.parquet: the vectors have ids, but the pairs of bare.jsonl have none. "
        "Name their columns with --columns …,anchor_id=NAME,positive_id=NAME, or give the texts."
    )
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        given_vectors(write(["x"]), read_pairs("bare.jsonl"))
