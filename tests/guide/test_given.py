"""Vectors that the user already has: joined by exact text, from every kind of file, and refused in words."""

import json
import unicodedata
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file
from tests.pairs.pairs_samples import pairs_of

from gistembed.errors import UserError
from gistembed.guide.given import files as given_files
from gistembed.guide.given import texts as given_texts
from gistembed.guide.given.join import given_identity, given_vectors
from gistembed.pairs import Texts, read_pairs

TEXTS = ["red", "two\nlines", "café", "cafe\u0301", "Café", "日本語 🔥", "unused"]
ROWS = [(TEXTS[0], TEXTS[1], [TEXTS[2]]), (TEXTS[2], TEXTS[3], []), (TEXTS[4], TEXTS[5], [TEXTS[3]])]
MATRIX = np.arange(1, 22, dtype=np.float64).reshape(7, 3)
KINDS = ["v.parquet", "v.npy", "v.safetensors"]
ARROW = {"float16": pa.float16(), "float32": pa.float32(), "float64": pa.float64()}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Messages name files as the user gave them."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def pairs():
    """Pairs over a table that holds a text of other pairs too: ``elsewhere``."""
    texts = Texts()
    texts.add("elsewhere")
    return pairs_of(ROWS, texts)


def write_parquet(path, columns):
    pq.write_table(pa.table(columns), path)
    return path


def lists(matrix, kind=None):
    """A column of lists; Arrow can't make half floats of Python's."""
    matrix = np.asarray(matrix)
    flat = pa.array(matrix.ravel(), ARROW[matrix.dtype.name])
    if kind == "fixed":
        return pa.FixedSizeListArray.from_arrays(flat, matrix.shape[1])
    ends = np.arange(len(matrix) + 1) * matrix.shape[1]
    if kind == "large":
        return pa.LargeListArray.from_arrays(pa.array(ends, pa.int64()), flat)
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), flat)


def write_texts(name, texts=TEXTS):
    if name.endswith(".jsonl"):
        write_lines(name, [{"text": text} for text in texts])
    else:
        Path(name).write_text(json.dumps(texts, ensure_ascii=False), encoding="utf-8")


def write_lines(name, objects):
    Path(name).write_text("".join(json.dumps(item) + "\n" for item in objects))


def write(name, matrix=MATRIX, texts=TEXTS):
    """A file of vectors of any kind, with its texts."""
    matrix = np.asarray(matrix)
    if name.endswith(".parquet"):
        return write_parquet(name, {"text": pa.array(texts, pa.string()), "vector": lists(matrix)})
    if name.endswith(".npy"):
        np.save(name, matrix)
    else:
        save_file({"x": np.ascontiguousarray(matrix)}, name)
    write_texts("v.texts.jsonl", texts)
    return name


def refusal(*arguments, **columns):
    with pytest.raises(UserError) as caught:
        given_vectors(*arguments, **columns)
    return str(caught.value)


def look_up(vectors, pairs, role, *texts):
    ids = {pairs.texts[text_id]: text_id for text_id in range(len(pairs.texts))}
    return vectors.of(np.array([ids[text] for text in texts]), role)


def check(vectors, pairs, dtype=np.float32, matrix=MATRIX):
    assert vectors.source.dtype == np.dtype(dtype)
    for role, numbers in {"anchor": [0, 2, 4], "document": [1, 2, 3, 5]}.items():
        found = look_up(vectors, pairs, role, *(TEXTS[number] for number in numbers))
        np.testing.assert_array_equal(found, np.asarray(matrix)[numbers])
    assert (vectors.rows["anchor"] >= 0).sum() == 3
    assert (vectors.rows["document"] >= 0).sum() == 4
    assert (vectors.rows["anchor"] >= -1).all()
    with pytest.raises(KeyError, match="text 0 has no guide vector as anchor"):
        look_up(vectors, pairs, "anchor", "elsewhere")


@pytest.mark.parametrize(
    ("dtype", "kept"), [("float16", "float16"), ("float32", "float32"), ("float64", "float32")]
)
@pytest.mark.parametrize("name", KINDS)
def test_every_kind_and_dtype(pairs, name, dtype, kept):
    check(given_vectors(write(name, MATRIX.astype(dtype)), pairs), pairs, kept)


@pytest.mark.parametrize("dtype", ARROW)
@pytest.mark.parametrize("kind", ["fixed", "large"])
def test_every_kind_of_list(pairs, kind, dtype):
    write_parquet("v.parquet", {"text": TEXTS, "vector": lists(MATRIX.astype(dtype), kind)})
    check(given_vectors("v.parquet", pairs), pairs, "float16" if dtype == "float16" else "float32")


@pytest.mark.parametrize("kind", [None, "fixed"])
def test_blocks_and_row_groups_are_put_together(pairs, kind, monkeypatch):
    monkeypatch.setattr(given_files, "_BLOCK_BYTES", 48)
    monkeypatch.setattr(given_texts, "_TEXTS_AT_ONCE", 2)
    table = pa.table({"text": TEXTS, "vector": lists(MATRIX, kind)})
    pq.write_table(table, "v.parquet", row_group_size=3)
    check(given_vectors("v.parquet", pairs), pairs)
    check(given_vectors(write("v.npy"), pairs), pairs)


def test_only_the_vectors_that_are_needed_are_copied(pairs):
    for name in ("v.parquet", "v.npy", "v.safetensors"):
        assert given_vectors(write(name), pairs).source.shape == (6, 3)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("name", ["v.npy", "v.safetensors"])
def test_a_file_is_mapped_where_it_can_be_used_as_it_is(pairs, name, dtype):
    source = given_vectors(write(name, MATRIX.astype(dtype)), pairs).source
    assert isinstance(source, np.memmap)
    assert source.filename.name == name
    assert source.shape == (7, 3)
    with pytest.raises(ValueError, match="read-only"):
        source[0] = 0


@pytest.mark.parametrize(
    "matrix", [MATRIX.astype(">f4"), np.asfortranarray(MATRIX.astype("f4")), MATRIX.astype(">f2")]
)
def test_other_layouts_are_copied(pairs, matrix):
    np.save("v.npy", matrix)
    write_texts("v.texts.json")
    vectors = given_vectors("v.npy", pairs)
    check(vectors, pairs, matrix.dtype.newbyteorder("="))
    assert not isinstance(vectors.source, np.memmap)


def test_vectors_are_not_normalised_and_copies_are_given(pairs):
    vectors = given_vectors(write("v.npy", MATRIX.astype("f4")), pairs)
    found = look_up(vectors, pairs, "anchor", "red")
    assert found.tolist() == [[1, 2, 3]]
    found[:] = 0
    assert look_up(vectors, pairs, "anchor", "red").tolist() == [[1, 2, 3]]


def test_texts_as_one_list(pairs):
    np.save("v.npy", MATRIX)
    write_texts("v.texts.json")
    check(given_vectors("v.npy", pairs), pairs)


@pytest.mark.parametrize("text_name", ["text", "Sentences", "document", "QUERY", "doc"])
@pytest.mark.parametrize("vector_name", ["vector", "Embedding", "embeddings"])
def test_columns_are_found_by_name(pairs, text_name, vector_name):
    write_parquet("v.parquet", {"id": TEXTS[::-1], vector_name: lists(MATRIX), text_name: TEXTS})
    check(given_vectors("v.parquet", pairs), pairs)


def test_columns_as_the_user_names_them(pairs):
    columns = {"text": TEXTS[::-1], "body": TEXTS, "vector": lists(MATRIX + 1), "e5": lists(MATRIX)}
    write_parquet("v.parquet", columns)
    check(given_vectors("v.parquet", pairs, text_column="body", vector_column="e5"), pairs)
    save_file({"a": MATRIX + 1, "b": MATRIX}, "v.safetensors")
    write_lines("v.texts.jsonl", [{"text": "x", "body": text} for text in TEXTS])
    check(given_vectors("v.safetensors", pairs, text_column="body", vector_column="b"), pairs)


def test_a_dictionary_of_texts(pairs):
    column = pa.array(TEXTS).dictionary_encode()
    write_parquet("v.parquet", {"text": column, "vector": lists(MATRIX)})
    check(given_vectors("v.parquet", pairs), pairs)


def test_the_tensor_is_found_by_name(pairs):
    save_file({"scale": np.ones(3), "embeddings": MATRIX}, "v.safetensors")
    write_texts("v.texts.json")
    check(given_vectors("v.safetensors", pairs), pairs)


def test_tensors_may_start_anywhere(pairs):
    """A tensor of an odd number of bytes before it: its numbers are not aligned in memory."""
    header = {
        "odd": {"dtype": "U8", "shape": [3], "data_offsets": [0, 3]},
        "vectors": {"dtype": "F32", "shape": [7, 3], "data_offsets": [3, 87]},
    }
    head = json.dumps(header).encode()
    content = len(head).to_bytes(8, "little") + head + b"odd" + MATRIX.astype("<f4").tobytes()
    Path("v.safetensors").write_bytes(content)
    write_texts("v.texts.json")
    check(given_vectors("v.safetensors", pairs), pairs)


ROLES = ["anchor", "anchor", "anchor", "document", "document", "document", "document", "document"]
BY_ROLE = [TEXTS[0], TEXTS[2], TEXTS[4], TEXTS[1], TEXTS[2], TEXTS[3], TEXTS[5], TEXTS[0]]


@pytest.mark.parametrize("order", [range(8), [7, 3, 0, 5, 2, 6, 1, 4]])
@pytest.mark.parametrize("name", ["role", "Kind"])
def test_a_vector_for_each_role(pairs, order, name, monkeypatch):
    """``café`` is an anchor and a document, and has two vectors; ``red`` as a document is not needed."""
    monkeypatch.setattr(given_texts, "_TEXTS_AT_ONCE", 3)
    matrix = np.arange(1, 25, dtype=np.float32).reshape(8, 3)
    columns = {
        "text": [BY_ROLE[row] for row in order],
        name: [ROLES[row] for row in order],
        "vector": lists(matrix[list(order)]),
    }
    write_parquet("v.parquet", columns)
    vectors = given_vectors("v.parquet", pairs, role_column=None if name == "role" else name)
    anchors = look_up(vectors, pairs, "anchor", TEXTS[0], TEXTS[2], TEXTS[4])
    documents = look_up(vectors, pairs, "document", TEXTS[1], TEXTS[2], TEXTS[3], TEXTS[5])
    np.testing.assert_array_equal(anchors, matrix[:3])
    np.testing.assert_array_equal(documents, matrix[3:7])
    assert len(vectors.source) == 7


def test_roles_beside_an_array(pairs):
    np.save("v.npy", np.arange(1, 25, dtype=np.float32).reshape(8, 3))
    rows = zip(BY_ROLE, ROLES, strict=True)
    write_lines("v.texts.jsonl", [{"text": text, "role": role} for text, role in rows])
    vectors = given_vectors("v.npy", pairs)
    assert look_up(vectors, pairs, "anchor", TEXTS[2]).tolist() == [[4, 5, 6]]
    assert look_up(vectors, pairs, "document", TEXTS[2]).tolist() == [[13, 14, 15]]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.data())
def test_look_up_is_a_join_by_text(data):
    """Equal rows may repeat; whatever is not in the file is missing."""
    some_text = st.one_of(
        st.sampled_from(["a", "A", "a ", "á", "a\u0301", ""]),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=3),
    )
    known = data.draw(st.dictionaries(some_text, st.integers(1, 9), min_size=1, max_size=8))
    extra = data.draw(st.lists(st.sampled_from(sorted(known)), max_size=4))
    texts = data.draw(st.permutations([*known, *extra]))
    name = data.draw(st.sampled_from(KINDS))
    dtype = data.draw(st.sampled_from(["f2", "f4", "f8"]))
    write(name, np.array([[known[text], -0.5] for text in texts], dtype), texts)
    asked = st.sampled_from([*sorted(known)] * 9 + ["not there"])
    rows = data.draw(st.lists(st.tuples(asked, asked, st.lists(asked, max_size=2)), min_size=1, max_size=4))
    pairs = pairs_of(rows)
    absent = {text for row in rows for text in (*row[:2], *row[2]) if text not in known}
    if absent:
        first = 1 + min(number for number, row in enumerate(rows) if absent & {*row[:2], *row[2]})
        assert refusal(name, pairs).startswith(f"test:{first}: {name} has no vector for the text 'not there'")
        return
    vectors = given_vectors(name, pairs)
    for row in rows:
        for role, own in {"anchor": [row[0]], "document": [row[1], *row[2]]}.items():
            expected = [[known[text], -0.5] for text in own]
            np.testing.assert_array_equal(look_up(vectors, pairs, role, *own), expected)


def test_forms_of_a_text_are_not_each_other():
    form = unicodedata.normalize("NFD", "é")
    write("v.parquet", [[1.0, 0.0]], [form])
    assert refusal("v.parquet", pairs_of([(form, "é", [])])) == (
        "test:1: v.parquet has no vector for the text 'é'; 1 of 2 distinct texts have none. "
        "Add their vectors; texts are compared character by character."
    )


def test_the_first_of_the_missing_is_named(pairs):
    write("v.npy", MATRIX[[0, 1, 2, 6]], [TEXTS[number] for number in (0, 1, 2, 6)])
    assert refusal("v.npy", pairs) == (
        f"test:2: v.npy has no vector for the text {TEXTS[3]!r}; 3 of 6 distinct texts have none. "
        "Add their vectors; texts are compared character by character."
    )
    assert refusal("v.npy", pairs.take(np.array([2, 1]))) == (
        "test:3: v.npy has no vector for the text 'Café'; 3 of 4 distinct texts have none. "
        "Add their vectors; texts are compared character by character."
    )


def test_a_missing_negative_is_found_and_a_long_text_cut():
    write("v.npy", np.ones((2, 2)), ["a", "b"])
    assert refusal("v.npy", pairs_of([("a", "b", []), ("a", "b", ["x" * 500])])) == (
        f"test:2: v.npy has no vector for the text '{'x' * 58}…; 1 of 3 distinct texts have none. "
        "Add their vectors; texts are compared character by character."
    )


def test_the_place_is_that_of_the_source():
    write_parquet("pairs.parquet", {"query": ["a", "b"], "answer": ["c", "d"]})
    write("v.npy", np.ones((3, 2)), ["a", "b", "c"])
    assert refusal("v.npy", read_pairs("pairs.parquet")) == (
        "pairs.parquet: row 2: v.npy has no vector for the text 'd'; 1 of 4 distinct texts have none. "
        "Add their vectors; texts are compared character by character."
    )


@pytest.mark.parametrize(
    ("role", "article", "place"), [("anchor", "an anchor", "test:2"), ("document", "a document", "test:1")]
)
def test_a_text_that_lacks_one_role(pairs, role, article, place):
    keep = [row for row in range(7) if (BY_ROLE[row], ROLES[row]) != (TEXTS[2], role)]
    columns = {"text": [BY_ROLE[row] for row in keep], "role": [ROLES[row] for row in keep]}
    write_parquet("v.parquet", columns | {"vector": lists(np.ones((6, 2)))})
    assert refusal("v.parquet", pairs) == (
        f"{place}: v.parquet has no vector for the text 'café' as {article}; "
        "1 of 7 texts in their roles have none. "
        "Add their vectors; texts are compared character by character."
    )


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_a_text_twice(name, dtype):
    pairs = pairs_of([("a", "b", [])])
    matrix = np.array([[1, 0], [2, 3], [1, -0.0], [5, 6], [1, 0]], dtype)
    vectors = given_vectors(write(name, matrix, ["a", "b", "a", "c", "a"]), pairs)
    assert look_up(vectors, pairs, "anchor", "a").tolist() == [[1, 0]]
    matrix[4, 1] = 1
    advice = "A text has one vector: keep one, or tell them apart by a column 'role'."
    assert refusal(write(name, matrix, ["a", "b", "a", "c", "a"]), pairs) == (
        f"{name}: rows 1 and 5 hold different vectors for the same text. {advice}"
    )
    assert refusal(write(name, matrix, ["c", "b", "a", "c", "a"]), pairs) == (
        f"{name}: rows 1 and 4 hold different vectors for the same text. {advice}"
    )


def test_a_text_twice_in_a_role():
    columns = {"text": ["a", "a", "a", "b"], "role": ["anchor", "document", "anchor", "document"]}
    write_parquet("v.parquet", columns | {"vector": lists(np.arange(8.0).reshape(4, 2))})
    assert refusal("v.parquet", pairs_of([("a", "b", [])])) == (
        "v.parquet: rows 1 and 3 hold different vectors for the same text and role. "
        "A text has one vector: keep one."
    )


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    ("dtype", "values", "problem"),
    [
        ("f2", [0, 0, 0], "is zero"),
        ("f4", [0, -0.0, 0], "is zero"),
        ("f2", [1, np.nan, 0], "is not finite as float16"),
        ("f4", [np.inf, 1, 0], "is not finite as float32"),
        ("f8", [1e300, 1, 0], "is not finite as float32"),
        ("f8", [1e-300, 0, 0], "is zero"),
        ("f4", [1e30, 1, 0], "is too long or too short to be normalised in float32"),
        ("f4", [1e-30, 0, 0], "is too long or too short to be normalised in float32"),
    ],
)
def test_a_vector_without_direction(pairs, name, dtype, values, problem):
    matrix = MATRIX.astype(dtype)
    matrix[3] = values
    assert refusal(write(name, matrix), pairs) == (
        f"{name}: row 4: the vector of the text {TEXTS[3]!r} {problem}. "
        "Mend it, or drop the pairs that hold the text."
    )
    matrix[[3, 6]] = matrix[[2, 3]]
    check(given_vectors(write(name, matrix), pairs), pairs, "f2" if dtype == "f2" else "f4", matrix)


def test_rows_that_are_not_needed_do_not_shift_the_place():
    """Rows 1 and 2 are read to be compared with each other, and nothing else."""
    write("v.npy", [[1.0, 0.0], [1.0, 0.0], [2.0, 0.0], [0.0, 0.0]], ["x", "x", "a", "b"])
    assert refusal("v.npy", pairs_of([("a", "b", [])])) == (
        "v.npy: row 4: the vector of the text 'b' is zero. Mend it, or drop the pairs that hold the text."
    )


@pytest.mark.parametrize("function", [lambda path, _: given_identity(path), given_vectors])
def test_no_such_file(pairs, tmp_path, function):
    (tmp_path / "folder.npy").mkdir()
    (tmp_path / "v.csv").touch()
    for name, message in {
        "no.npy": "no.npy: there is no such file.",
        "folder.npy": "folder.npy: this is a folder. Give a .parquet, .npy or .safetensors file.",
        "v.csv": "v.csv: the ending '.csv' is not one of a file of vectors. "
        "Give a .parquet, .npy or .safetensors file.",
    }.items():
        with pytest.raises(UserError) as caught:
            function(name, pairs)
        assert str(caught.value) == message


def test_the_ending_may_be_upper_case(pairs, tmp_path):
    write("v.npy")
    (tmp_path / "v.npy").rename("v.NPY")
    check(given_vectors("v.NPY", pairs), pairs)


@pytest.mark.parametrize("name", ["v.npy", "v.safetensors"])
def test_texts_that_are_not_beside(pairs, tmp_path, name):
    write(name)
    write_texts("v.texts.json")
    message = f"{name}: its texts are there twice, in v.texts.jsonl and v.texts.json. Remove one."
    assert refusal(name, pairs) == message
    (tmp_path / "v.texts.json").unlink()
    (tmp_path / "v.texts.jsonl").unlink()
    message = (
        f"{name}: its texts are not beside it. Write them in the order of the vectors: "
        'v.texts.jsonl with a {"text": …} on each line, or v.texts.json with one list.'
    )
    assert refusal(name, pairs) == message
    with pytest.raises(UserError) as caught:
        given_identity(name)
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ["v.texts.json", "v.texts.jsonl"])
def test_other_numbers_of_vectors_and_texts(pairs, name):
    np.save("v.npy", MATRIX)
    write_texts(name, TEXTS[1:])
    assert refusal("v.npy", pairs) == (
        f"v.npy: there are 7 vectors, but 6 texts in {name}. "
        "Write one text for each vector, in the same order."
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b'["a", "b"',
            "v.texts.json:1: not valid JSON at column 10 (Expecting ',' delimiter). Write it anew.",
        ),
        (b'["a",\n\xff]', "v.texts.json: byte 7 is not valid UTF-8. Save the file as UTF-8."),
        (b'{"text": []}', "v.texts.json: the file holds an object, not a list. Write one list of texts."),
        (b'"a"', "v.texts.json: the file holds text, not a list. Write one list of texts."),
        (b"null", "v.texts.json: the file holds null, not a list. Write one list of texts."),
        (b"[" * 100_000, "v.texts.json: the JSON is not readable. Write one list of texts."),
        (
            b'["a", null]',
            "v.texts.json: row 2: column 'text' is null. Every vector needs its text; fill it in.",
        ),
        (
            b'["a", 5]',
            "v.texts.json: row 2: column 'text' holds a number (5), not text. "
            "Write it as text or drop the row.",
        ),
        (
            b'["a", "b\\ud800"]',
            "v.texts.json: row 2: column 'text' holds half a surrogate pair ('\\ud800') at position 2. "
            "Mend or drop the row.",
        ),
    ],
)
def test_a_list_of_texts_that_is_none(pairs, tmp_path, content, message):
    np.save("v.npy", MATRIX)
    (tmp_path / "v.texts.json").write_bytes(content)
    assert refusal("v.npy", pairs) == message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b'{"text": "a"}\n{"id": 1}\n',
            "v.texts.jsonl:2: column 'text' is missing. Every vector needs its text; fill it in.",
        ),
        (
            b'{"text": "a"}\nb\n',
            "v.texts.jsonl:2: the line is not valid JSON at column 1 (Expecting value). "
            "Each line must be one whole JSON object.",
        ),
        (
            b'{"t": "a"}\n',
            "v.texts.jsonl: no column is known as the text. The columns are 't'; name one 'text', "
            "or say which to use with text_column.",
        ),
        (
            b'{"text": "a", "role": "user"}\n',
            "v.texts.jsonl:1: column 'role' is 'user'. Write 'anchor' or 'document', "
            "or rename the column if it isn't the role of a text.",
        ),
        (
            b'{"text": "a", "role": null}\n',
            "v.texts.jsonl:1: column 'role' holds no text. Write 'anchor' or 'document', "
            "or rename the column if it isn't the role of a text.",
        ),
        (b"", "v.texts.jsonl: there are no rows."),
    ],
)
def test_lines_of_texts_that_are_none(pairs, tmp_path, content, message):
    np.save("v.npy", MATRIX)
    (tmp_path / "v.texts.jsonl").write_bytes(content)
    assert refusal("v.npy", pairs) == message


@pytest.mark.parametrize(
    ("array", "problem"),
    [
        (np.array([["a"]]), "the array is of <U1. Save it as float16, float32 or float64."),
        (np.ones((2, 2), np.int8), "the array is of int8. Save it as float16, float32 or float64."),
        (np.ones((2, 2), "c8"), "the array is of complex64. Save it as float16, float32 or float64."),
        (np.ones(2), "the array has the shape (2,). Save one row of numbers for each text."),
        (np.ones((2, 0)), "the array has the shape (2, 0). Save one row of numbers for each text."),
        (np.ones((0, 2)), "the array has the shape (0, 2). Save one row of numbers for each text."),
    ],
)
def test_arrays_that_hold_no_vectors(pairs, array, problem):
    np.save("v.npy", array)
    write_texts("v.texts.json", ["a", "b"])
    assert refusal("v.npy", pairs) == f"v.npy: {problem}"


def test_a_damaged_header_of_an_array(pairs):
    """Numpy reads it as Python: a wrong byte makes of it what only Python's parser has words for."""
    np.save("v.npy", np.ones((2, 2), np.float32))
    write_texts("v.texts.json", ["a", "b"])
    content = Path("v.npy").read_bytes()
    for place in range(10, content.index(b"}") + 1):
        for byte in b"('\x00\xff\n0":
            Path("v.npy").write_bytes(content[:place] + bytes([byte]) + content[place + 1 :])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                line = refusal("v.npy", pairs)
            assert line.startswith("v.npy") or "v.npy has no vector" in line
    Path("v.npy").write_bytes(content.replace(b"{'descr'", b"{('descr"))
    assert refusal("v.npy", pairs).startswith("v.npy: the file is not a readable numpy array (")
    assert refusal("v.npy", pairs).endswith("). Write it anew with numpy.save.")


def test_pickles_are_never_read(pairs):
    np.save("v.npy", np.array([[print]], object), allow_pickle=True)
    assert refusal("v.npy", pairs) == (
        "v.npy: the file is not a readable numpy array "
        '("Array can\'t be memory-mapped: Python objects in dtype."). Write it anew with numpy.save.'
    )


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("size", [0, 3, 100, -1])
def test_a_file_that_is_cut_off(pairs, tmp_path, name, size):
    write(name)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[:size])
    kind = {
        "v.parquet": "readable Parquet",
        "v.npy": "a readable numpy array",
        "v.safetensors": "readable safetensors",
    }[name]
    assert refusal(name, pairs).startswith(f"{name}: the file is not {kind} (")


def test_a_parquet_file_that_is_damaged_inside(pairs, tmp_path):
    write("v.parquet", np.random.default_rng(0).standard_normal((7, 500)))
    content = bytearray((tmp_path / "v.parquet").read_bytes())
    with pq.ParquetFile("v.parquet") as file:
        column = file.metadata.row_group(0).column(1)
        start = column.dictionary_page_offset or column.data_page_offset
    content[start : start + 40] = b"\xff" * 40
    (tmp_path / "v.parquet").write_bytes(content)
    assert refusal("v.parquet", pairs).startswith("v.parquet: the rows after row 0 are not readable (")


@pytest.mark.parametrize(
    ("tensors", "columns", "problem"),
    [
        (
            {"a": np.ones((2, 2)), "b": np.ones((2, 2))},
            {},
            "no tensor is known as the vectors. The tensors are 'a', 'b'; name one 'vectors', "
            "or say which to use with vector_column.",
        ),
        (
            {"vectors": np.ones((2, 2)), "embeddings": np.ones((2, 2)), "c": np.ones(2)},
            {},
            "tensors 'embeddings', 'vectors' could each be the vectors. The tensors are "
            "'c', 'embeddings', 'vectors'; name one 'vectors', or say which to use with vector_column.",
        ),
        ({"a": np.ones((2, 2))}, {"vector_column": "b"}, "there is no tensor 'b'. The tensors are 'a'."),
        (
            {"a": np.ones((2, 2), np.int8)},
            {},
            "tensor 'a' is of I8. Save it as float16, float32 or float64.",
        ),
        (
            {"a": np.ones((2, 1, 2))},
            {},
            "the tensor 'a' has the shape (2, 1, 2). Save one row of numbers for each text.",
        ),
        (
            {},
            {},
            "no tensor is known as the vectors. There are no tensors; name one 'vectors', "
            "or say which to use with vector_column.",
        ),
    ],
)
def test_tensors_that_hold_no_vectors(pairs, tensors, columns, problem):
    save_file(tensors, "v.safetensors")
    write_texts("v.texts.json", ["a", "b"])
    assert refusal("v.safetensors", pairs, **columns) == f"v.safetensors: {problem}"


VECTOR = [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize(
    ("columns", "options", "problem"),
    [
        (
            {"a": ["a", "b"], "vector": VECTOR},
            {},
            "no column is known as the text. The columns are 'a', 'vector'; name one 'text', "
            "or say which to use with text_column.",
        ),
        (
            {"text": ["a", "b"], "emb": VECTOR},
            {},
            "no column is known as the vector. The columns are 'text', 'emb'; name one 'vector', "
            "or say which to use with vector_column.",
        ),
        (
            {"query": ["a", "b"], "document": ["c", "d"], "vector": VECTOR},
            {},
            "columns 'query', 'document' could each be the text. The columns are "
            "'query', 'document', 'vector'; rename all but one, or say which to use with text_column.",
        ),
        (
            {"text": ["a", "b"], "embedding": VECTOR, "vectors": VECTOR},
            {},
            "columns 'embedding', 'vectors' could each be the vector. The columns are "
            "'text', 'embedding', 'vectors'; rename all but one, or say which to use with vector_column.",
        ),
        (
            {"text": ["a", "b"], "vector": VECTOR},
            {"text_column": "body"},
            "there is no column 'body'. The columns are 'text', 'vector'.",
        ),
        (
            {"text": ["a", "b"], "vector": VECTOR},
            {"vector_column": "e"},
            "there is no column 'e'. The columns are 'text', 'vector'.",
        ),
        (
            {"text": ["a", "b"], "vector": VECTOR},
            {"role_column": "e"},
            "there is no column 'e'. The columns are 'text', 'vector'.",
        ),
        (
            {"text": ["a", "b"], "vector": ["1 2", "3 4"]},
            {},
            "column 'vector' is of string. Write lists of float16, float32 or float64.",
        ),
        (
            {"text": ["a", "b"], "vector": [["1"], ["2"]]},
            {},
            "column 'vector' is of list<element: string>. Write lists of float16, float32 or float64.",
        ),
        (
            {"text": ["a", "b"], "vector": [[1], [2]]},
            {},
            "column 'vector' is of list<element: int64>. Write lists of float16, float32 or float64.",
        ),
        (
            {"text": ["a", "b"], "vector": [1.0, 2.0]},
            {},
            "column 'vector' is of double. Write lists of float16, float32 or float64.",
        ),
        (
            {"text": ["a", "b"], "vector": [[1.0, 2.0], [3.0]]},
            {},
            "row 2: column 'vector' holds 1 numbers, but row 1 holds 2. All vectors must have one length.",
        ),
        (
            {"text": ["a", "b"], "vector": [[], [3.0]]},
            {},
            "row 1: column 'vector' is an empty list. Every row needs a vector; fill or drop the row.",
        ),
        (
            {"text": ["a", "b"], "vector": [[1.0], None]},
            {},
            "row 2: column 'vector' is null. Every row needs a vector; fill or drop the row.",
        ),
        (
            {"text": ["a", "b"], "vector": pa.array([None, [1.0]], pa.list_(pa.float32(), 1))},
            {},
            "row 1: column 'vector' is null. Every row needs a vector; fill or drop the row.",
        ),
        (
            {"text": ["a", "b"], "vector": [[1.0, 2.0], [3.0, None]]},
            {},
            "row 2: column 'vector' holds a null. Mend or drop the row.",
        ),
        (
            {"text": ["a", None], "vector": VECTOR},
            {},
            "row 2: column 'text' is null. Every vector needs its text; fill it in.",
        ),
        (
            {"text": ["a", "b"], "role": ["anchor", "query"], "vector": VECTOR},
            {},
            "row 2: column 'role' is 'query'. Write 'anchor' or 'document', "
            "or rename the column if it isn't the role of a text.",
        ),
        (
            {"text": [1, 2], "vector": VECTOR},
            {},
            "row 1: column 'text' holds a number (1), not text. Write it as text or drop the row.",
        ),
        (
            {"text": pa.array([], pa.string()), "vector": pa.array([], pa.list_(pa.float32()))},
            {},
            "there are no vectors.",
        ),
    ],
)
def test_tables_that_hold_no_vectors(columns, options, problem):
    write_parquet("v.parquet", columns)
    assert refusal("v.parquet", pairs_of([("a", "b", [])]), **options) == f"v.parquet: {problem}"


def test_a_row_is_named_by_its_number_in_the_file(monkeypatch):
    """In the third block of the second row group."""
    monkeypatch.setattr(given_files, "_BLOCK_BYTES", 16)
    column = pa.array([[1.0]] * 9 + [[1.0, 2.0]] + [[1.0]], pa.list_(pa.float32()))
    table = pa.table({"text": list("abcdefghijk"), "vector": column})
    pq.write_table(table, "v.parquet", row_group_size=5)
    assert refusal("v.parquet", pairs_of([("a", "b", [])])) == (
        "v.parquet: row 10: column 'vector' holds 2 numbers, but row 1 holds 1. "
        "All vectors must have one length."
    )


def test_an_array_has_no_columns(pairs):
    assert refusal(write("v.npy"), pairs, vector_column="e5") == (
        "v.npy: a .npy file has no names. Leave vector_column out."
    )


def test_the_identity_is_of_the_bytes(tmp_path):
    write("v.parquet")
    content = (tmp_path / "v.parquet").read_bytes()
    assert given_identity("v.parquet") == xxhash.xxh3_128_hexdigest(content)
    write("v.npy")
    digests = [
        xxhash.xxh3_128_hexdigest((tmp_path / name).read_bytes()) for name in ("v.npy", "v.texts.jsonl")
    ]
    whole = given_identity(tmp_path / "v.npy")
    assert whole == xxhash.xxh3_128_hexdigest("".join(digests).encode())
    assert len(whole) == 32
    write_texts("v.texts.jsonl", [*TEXTS[:-1], "another"])
    assert given_identity("v.npy") != whole
    write("v.npy", MATRIX + 1)
    assert given_identity("v.npy") != whole
    write("v.npy")
    assert given_identity("v.npy") == whole
