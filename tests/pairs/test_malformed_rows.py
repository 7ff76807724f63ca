"""Rows that no format can hold, and rows of folders that are passed over; grades keep nothing of a source."""

# ruff: noqa: E501  (each case is one line: what is written and the whole message)

import json
from datetime import date
from pathlib import Path

import pytest

from gistembed.errors import UserError
from gistembed.pairs import Grades, Passage, Row, read_pairs, read_rows, write_rows

DOCUMENTS = '{"docid":"d1","text":"x"}\n{"docid":"d2","text":"y"}\n'
BY_IDS = '{"query":"q","positive_document_ids":["d1"],"negative_document_ids":["d2"]}'
COLLECTION = {"collection.tsv": "1\tx\n2\ty\n", "queries.train.tsv": "7\task\n"}


def nested(depth):
    cell = []
    for _ in range(depth):
        cell = [cell]
    return cell


def write_folder(files):
    Path("f").mkdir()
    for name, content in files.items():
        Path("f", name).write_text(content)


@pytest.mark.parametrize(
    ("cell", "problem"),
    [
        ("\ud800", "half a surrogate pair"),
        (nested(100_000), "lists or objects that are nested too deeply"),
        (b"\n", "bytes (b'\\n'), which can't be converted"),
        ({"when": date(2026, 1, 2)}, "an object ({'when': datetime.date(2026, 1, 2)}), which can't be converted"),
    ],
    ids=["surrogate", "nested", "bytes", "date"],
)  # fmt: skip
@pytest.mark.parametrize("kind", [iter, list])
@pytest.mark.parametrize("out", ["out.jsonl", "out.csv", "out.parquet"])
def test_further_column_that_no_format_holds(out, kind, cell, problem):
    """Without the check, Arrow ends the process on the lists, and the others are tracebacks."""
    with pytest.raises(UserError) as error:
        write_rows(kind([Row(Passage("a"), (Passage("b"),), extra={"url": cell})]), Path(out))
    assert str(error.value) == (
        f"{out}: row 1 of those to write: column 'url' holds {problem}. Write it as text, or take the column out."
    )
    assert not list(Path().iterdir())


@pytest.mark.parametrize("kind", [iter, list])
def test_a_column_that_is_left_out_may_hold_anything(kind):
    rows = [Row(Passage("a"), (Passage("b"),), extra={"url": b"x"})]
    with pytest.raises(UserError) as error:
        write_rows(kind(rows), Path("out.jsonl"), format="sentence-transformers")
    assert str(error.value) == (
        "out.jsonl: sentence-transformers has no place for column url (1 row); choose another format, or leave "
        "it out with --lossy"
    )
    assert write_rows(kind(rows), Path("out.jsonl"), format="sentence-transformers", lossy=True) == 1
    assert Path("out.jsonl").read_text() == '{"anchor": "a", "positive": "b"}\n'


def test_grades_forget_what_they_read_before():
    """The negatives of one source would become those of the next."""
    grades = Grades(0.5, 0.2)
    good, bad = ({"q": "a", "pos": text, "score": score} for text, score in (("b", 1), ("c", 0)))
    Path("both.jsonl").write_text(f"{json.dumps(good)}\n{json.dumps(bad)}\n")
    Path("good.jsonl").write_text(json.dumps(good))
    assert len(read_pairs("both.jsonl", grades=grades).negative_ids) == 1
    assert len(read_pairs("both.jsonl", grades=grades).negative_ids) == 1
    assert len(read_pairs("good.jsonl", grades=grades).negative_ids) == 0
    assert [row.negatives for _, row in read_rows("good.jsonl", grades=grades)] == [()]


def test_one_id_is_a_list_of_one():
    """As a text, the id itself would be learned as the answer."""
    write_folder({"corpus.jsonl": DOCUMENTS, "train.jsonl": '{"query":"q","positive_document_ids":"d2"}'})
    ((_, row),) = read_rows("f")
    assert [passage.text for passage in row.positives] == ["y"]


@pytest.mark.parametrize(
    ("files", "name", "lines"),
    [
        (
            {"corpus.jsonl": DOCUMENTS},
            "train.jsonl",
            [BY_IDS, BY_IDS.replace("d1", "d9"), BY_IDS, "{", "{}"],
        ),
        (
            COLLECTION,
            "qidpidtriples.train.tsv",
            ["7\t1\t2", "8\t1\t2", "7\t2\t1", "7\t1", "7\t9\t1"],
        ),
    ],
)
def test_rows_about_documents_that_are_not_there_are_passed_over(files, name, lines):
    write_folder(files | {name: "\n".join(lines)})
    problems = []
    assert [place for place, _ in read_rows("f", on_problem=problems.append)] == [1, 3]
    assert sorted(problem.place for problem in problems) == [2, 4, 5]
