"""Vectors in columns of the pairs themselves: found by text and role, refused where they are not usable."""

import json

import numpy as np
import pytest
from datasets import Dataset

from gistembed import UserError, fit
from gistembed.guide import column_identity, column_vectors
from gistembed.pairs import Grades, read_pairs

NAME = "columns:anchor=av,positive=pv"
ROWS = [
    {"query": "a", "av": [1, 0], "pos": "b", "pv": [0.5, 0.5]},
    {"query": "b", "av": [0, 2], "pos": "c", "pv": [-1, 1]},
    {"query": "a", "av": [1, 0], "pos": "c", "pv": [-1, 1]},
]


def vectors_of(rows, name=NAME):
    data = Dataset.from_list(rows) if isinstance(rows, list) else rows
    pairs = read_pairs(data)
    return pairs, column_vectors(data, name, pairs)


def test_vectors_by_text_and_role():
    """Text b is an anchor and a positive, with a vector for each."""
    pairs, vectors = vectors_of(ROWS)
    a, b, c = (pairs.texts.id_of(text) for text in "abc")
    np.testing.assert_array_equal(vectors.of(np.array([a, b]), "anchor"), [[1, 0], [0, 2]])
    np.testing.assert_array_equal(vectors.of(np.array([b, c]), "document"), [[0.5, 0.5], [-1, 1]])
    with pytest.raises(KeyError):
        vectors.of(np.array([c]), "anchor")


def test_lists_of_texts_have_lists_of_vectors(tmp_path):
    path = tmp_path / "pairs.jsonl"
    rows = [
        {"query": "a", "av": [1, 0], "pos": ["b", "c"], "pv": [[1, 1], [1, 2]], "neg": ["d"], "nv": [[3, 4]]},
        {"query": "e", "av": [2, 0], "pos": "b", "pv": [1, 1], "neg": None, "nv": None},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    pairs, vectors = vectors_of(path, f"{NAME},negative=nv")
    ids = np.array([pairs.texts.id_of(text) for text in "bcd"])
    np.testing.assert_array_equal(vectors.of(ids, "document"), [[1, 1], [1, 2], [3, 4]])


def by_text(pairs, vectors, role):
    """The vector of each text that has one in a role."""
    ids = np.flatnonzero(vectors.rows[role] >= 0)
    return {pairs.texts[one]: vectors.of(np.array([one]), role)[0].tolist() for one in ids.tolist()}


def test_titles_belong_to_the_texts():
    """The text that models read is title and text: looked up by the cell alone, it had no vector."""
    rows = [{"query": "a", "av": [1, 0], "pos": "b", "pv": [0.5, 0.5], "positive_title": "B"}]
    pairs, vectors = vectors_of(rows)
    assert by_text(pairs, vectors, "document") == {"B b": [0.5, 0.5]}


@pytest.mark.parametrize(
    "rows",
    [
        [{"query": ["Ask:", "a"], "av": [1, 0], "pos": ["Say:", "b"], "pv": [0, 1]}],
        [
            {"query": "a", "av": [1, 0], "pos": "b", "pv": [0, 1]}
            | {"prompt": "Ask:", "pos_instruction": "Say:"}
        ],
    ],
    ids=["in the cell", "beside it"],
)
def test_instructions_before_the_texts(tmp_path, rows):
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    pairs = read_pairs(path, instructions="prefix")
    vectors = column_vectors(path, NAME, pairs, instructions="prefix")
    assert by_text(pairs, vectors, "anchor") == {"Ask: a": [1, 0]}
    assert by_text(pairs, vectors, "document") == {"Say: b": [0, 1]}
    pairs = read_pairs(path)
    assert by_text(pairs, column_vectors(path, NAME, pairs), "document") == {"b": [0, 1]}
    with pytest.raises(UserError) as caught:
        column_vectors(path, NAME, pairs, instructions="prefix")
    assert str(caught.value) == (
        f"{path}:1: {NAME} has no vector for the text 'a' as an anchor; 2 of 2 texts in their roles have "
        "none. Add their vectors; texts are compared character by character."
    )


def test_a_negative_that_is_blank_has_no_vector(tmp_path):
    path = tmp_path / "pairs.jsonl"
    row = {
        "query": "a",
        "av": [1, 0],
        "pos": "b",
        "pv": [0, 1],
        "neg": ["c", "", "d"],
        "nv": [[1, 1], None, [2, 1]],
    }
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    pairs, vectors = vectors_of(path, f"{NAME},negative=nv")
    assert by_text(pairs, vectors, "document") == {"b": [0, 1], "c": [1, 1], "d": [2, 1]}


@pytest.mark.parametrize("blank", [None, ""], ids=["null", "empty"])
def test_a_negative_that_is_only_a_title_has_a_vector(tmp_path, blank):
    path = tmp_path / "pairs.jsonl"
    row = ROWS[0] | {"neg": ["c", blank], "nv": [[1, 1], [2, 1]], "neg_title": ["C", "D"]}
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    pairs, vectors = vectors_of(path, f"{NAME},negative=nv")
    assert by_text(pairs, vectors, "document") == {"b": [0.5, 0.5], "C c": [1, 1], "D": [2, 1]}
    row |= {"neg": ["c", blank, blank], "nv": [[1, 1], [2, 1], None], "neg_title": ["C", "D", None]}
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    with pytest.raises(UserError) as caught:
        vectors_of(path, f"{NAME},negative=nv")
    assert str(caught.value) == (
        f"{path}:1: of its blank negatives, some are only a title and some are nothing. "
        "Drop the latter, with their vectors."
    )


def test_rows_of_the_middle_need_no_usable_vector():
    """Their texts are none of the pairs'."""
    rows = [ROWS[0] | {"score": 5}, ROWS[1] | {"score": 3, "av": None}]
    data = Dataset.from_list(rows)
    grades = Grades(4.0, 1.0)
    pairs = read_pairs(data, grades=grades)
    assert by_text(pairs, column_vectors(data, NAME, pairs), "document") == {"b": [0.5, 0.5]}


def test_a_text_that_the_source_no_longer_has(tmp_path):
    """The claim that its texts all have vectors was never checked: a KeyError told of it, much later."""
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    pairs = read_pairs(path)
    path.write_text(json.dumps(ROWS[0]) + "\n", encoding="utf-8")
    with pytest.raises(UserError) as caught:
        column_vectors(path, NAME, pairs)
    assert str(caught.value) == (
        f"{path}:2: {NAME} has no vector for the text 'b' as an anchor; 2 of 4 texts in their roles have "
        "none. Add their vectors; texts are compared character by character."
    )


def test_the_identity_is_that_of_the_numbers():
    _, vectors = vectors_of(ROWS)
    _, again = vectors_of(ROWS)
    _, other = vectors_of([*ROWS[:1], ROWS[1] | {"av": [0, 3]}, *ROWS[2:]])
    assert column_identity(vectors) == column_identity(again) != column_identity(other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"av": [0, 0]}, "column 'av' holds a vector that is zero or not finite. Mend or drop the row."),
        ({"av": [1e39, 0]}, "column 'av' holds a vector that is zero or not finite. Mend or drop the row."),
        ({"av": [1, 2, 3]}, "column 'av' holds a vector of 3 numbers where others have 2."),
        ({"av": "text"}, "column 'av' holds text, not a vector. Write a list of numbers."),
        ({"av": None}, "column 'av' holds nothing, not a vector. Write a list of numbers."),
        ({"av": 3.5}, "column 'av' holds a number, not a vector. Write a list of numbers."),
        ({"av": ["x", 1]}, "column 'av' holds a list of something else than numbers. Mend or drop the row."),
        ({"query": "a", "av": [1, 0.5]}, "column 'av' holds another vector than an earlier row for the same"),
        (
            {"pos": ["c", "d"], "pv": [[1, 2]]},
            "column 'pv' doesn't hold as many vectors as column 'pos' holds texts, 2.",
        ),
    ],
    ids=["zero", "too large", "length", "text", "null", "number", "no numbers", "unequal", "too few"],
)
def test_refusals_name_the_place(tmp_path, change, message):
    path = tmp_path / "pairs.jsonl"
    rows = [ROWS[0], ROWS[1] | change]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        vectors_of(path)
    assert str(caught.value).startswith(f"{path}:2: {message}")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "columns:anchor=av",
            "--guide: no column is named as the positive; write --guide columns:anchor=NAME",
        ),
        ("columns:av", "--guide: 'av' is not of the form ROLE=NAME; write --guide columns:anchor=NAME"),
        ("columns:anchor=av,positive=no", "dataset: there is no column 'no'. The columns are 'query', 'av',"),
        (
            f"{NAME},negative=nv",
            "--guide columns:: 1 columns hold vectors of a negative, but 0 hold negatives;",
        ),
    ],
    ids=["role missing", "form", "no such column", "too many"],
)
def test_names_that_do_not_fit(name, message):
    with pytest.raises(UserError) as caught:
        vectors_of(ROWS, name)
    assert str(caught.value).startswith(message)


def test_a_run(tmp_path, static_folder):
    """Columns in the place of a guide, end to end."""
    rng = np.random.default_rng(0)
    rows = [
        {
            "query": f"q{i} word{i}",
            "av": rng.normal(size=4).tolist(),
            "pos": f"p{i} word{i}",
            "pv": rng.normal(size=4).tolist(),
        }
        for i in range(30)
    ]
    settings = {"batch_size": 9, "steps": 2, "quiet": True, "guide_price": 1.0}
    result = fit(Dataset.from_list(rows), str(static_folder), NAME, out=tmp_path / "out", **settings)
    (guide,) = result.record.guides
    assert (guide.model.name, guide.model.kind, guide.model.dimensions) == (NAME, "given vectors", 4)
    assert sum(result.record.audit.mask_rate.values()) > 0
    assert "guide_price is ignored, because the guide is columns of vectors" in result.record.warnings
