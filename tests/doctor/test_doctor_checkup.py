"""All checks together: over real rows, over rows with faults, and over pairs that were read already."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.doctor.doctor_samples import numbered, real_rows, summary, write
from tests.real_text import documentation_pairs

from gistembed.doctor import Diagnosis, TokenCounts, diagnose, examine, near, shape
from gistembed.doctor.numbered import Book, numbered_pairs
from gistembed.evaluate import retention_path
from gistembed.models import load_model
from gistembed.pairs import Texts, join_pairs, read_pairs


def test_real_rows_get_one_true_note(tmp_path):
    """Python's documentation says the same of several functions; nothing else is wrong with it."""
    rows = [(anchor, [positive], []) for anchor, positive in documentation_pairs()]
    diagnosis = diagnose(write(tmp_path / "pairs.jsonl", rows))
    assert diagnosis.advisable
    found = {one.code: one for one in diagnosis.findings}
    assert set(found) <= {"near-duplicate", "repeated-pair"}
    assert found["near-duplicate"].severity == "note"
    assert 0 < found["near-duplicate"].share < 0.05


def test_the_retention_pairs_have_nothing():
    diagnosis = diagnose(retention_path())
    assert (diagnosis.findings, diagnosis.looked_at, diagnosis.advisable) == ((), (), True)


def test_numbers_of_a_diagnosis(tmp_path):
    data = tmp_path / "pairs.csv"
    data.write_text(
        "query,positive,negative\nred,a rose,the sky\nblue,the sky,\n,nothing,\nred,blood,the sky\n"
    )
    diagnosis = diagnose(data)
    assert diagnosis.model_dump(exclude={"findings"}) == {
        "source": str(data),
        "advisable": False,
        "rows": 3,
        "unreadable_rows": 1,
        "pairs": 3,
        "negatives": 2,
        "distinct_texts": 5,
        "looked_at": (),
    }
    assert summary(diagnosis.findings) == [
        ("unreadable-row", "error", 1, 4),
        ("few-pairs", "warning", 3, 3),
    ]
    (example,) = diagnosis.findings[0].examples
    assert (example.place, example.text) == (
        f"{data}:4",
        "column 'query' is empty. Every row needs an anchor and a positive; drop or fill the row.",
    )
    assert Diagnosis.model_validate_json(diagnosis.model_dump_json()) == diagnosis


def test_no_row_at_all(tmp_path):
    data = tmp_path / "pairs.jsonl"
    data.write_text('{"anchor": "", "positive": "p"}\n')
    assert summary(diagnose(data).findings) == [
        ("unreadable-row", "error", 1, 1),
        ("few-pairs", "error", 0, 1),
    ]


def test_rows_of_a_dataset_have_numbers():
    import datasets

    data = datasets.Dataset.from_dict({"anchor": ["q", "q"], "positive": ["q", "p"]})
    (found,) = [one for one in diagnose(data).findings if one.code == "positive-is-anchor"]
    assert found.examples[0].place == "dataset: row 1"


def test_what_is_sampled_is_said(tmp_path, monkeypatch, bert_folder):
    from gistembed.doctor import limits

    monkeypatch.setattr(shape, "SAMPLED_ROWS", 100)
    monkeypatch.setattr(near, "LIMIT", 50_000)
    monkeypatch.setattr(limits, "COUNTED_TEXTS", 50)
    rows = real_rows(400)
    data = write(tmp_path / "pairs.jsonl", rows)
    student = load_model(bert_folder, option="--student")
    diagnosis = diagnose(data, models={"student": student})
    texts = {text for anchor, positives, negatives in rows for text in (anchor, *positives, *negatives)}
    drawn = 400 * 50_000 // sum(map(len, texts))
    assert 100 < drawn < 400
    assert diagnosis.looked_at == (
        f"near duplicates: among {drawn} of 400 rows, drawn at random; there are more among all",
        "tokens of the student: in 50 texts of each role at most, drawn at random",
        "reversed columns, languages, labels: in 100 of 400 rows, drawn at random",
    )
    assert [one.code for one in diagnosis.findings if one.code == "cut-by-student"]


def test_evaluation_data(tmp_path):
    rows = real_rows(300)
    data = write(tmp_path / "train.jsonl", rows[:250])
    evaluation = write(tmp_path / "eval.jsonl", rows[200:])
    found = {one.code: one for one in diagnose(data, evaluation=evaluation).findings}
    overlap = found["evaluation-anchor-in-training"]
    assert (overlap.severity, overlap.count, overlap.of) == ("error", 50, 100)
    assert overlap.examples[0].place == f"{evaluation}:1"


def test_evaluation_rows_that_cannot_be_read(tmp_path):
    rows = real_rows(150)
    data = write(tmp_path / "train.jsonl", rows[:120])
    evaluation = write(tmp_path / "eval.jsonl", [*rows[120:149], ("q", [" "], [])])
    (found,) = [one for one in diagnose(data, evaluation=evaluation).findings if one.severity == "error"]
    assert summary([found]) == [("evaluation-unreadable-row", "error", 1, 30)]
    assert found.advice == (
        "`gistembed fit` refuses the file at the first of them. Mend them in the original."
    )
    assert not found.fixable
    assert found.examples[0].place == f"{evaluation}:30"


def test_examine(tmp_path):
    texts = Texts()
    rows = real_rows(300)
    pairs = read_pairs(write(tmp_path / "train.jsonl", rows[:250]), texts=texts)
    evaluation = read_pairs(write(tmp_path / "eval.jsonl", rows[240:]), texts=texts)
    assert examine(pairs) == ()
    ids = pairs.text_ids()
    counts = TokenCounts("student", 8, ids, np.where(np.arange(len(ids)) < 5, 9, 8))
    known = {own for _, (own,), _ in rows[:250]}
    shared = sum(own in known for _, (own,), _ in rows[240:])
    assert summary(examine(pairs, evaluation=evaluation, counts=[counts])) == [
        ("evaluation-anchor-in-training", "error", 10, 60),
        ("evaluation-positive-in-training", "note", shared, 60),
        ("cut-by-student", "note", 5, len(ids)),
    ]
    with pytest.raises(ValueError, match="must be read into the texts of the training pairs"):
        examine(pairs, evaluation=read_pairs(tmp_path / "eval.jsonl"))


def test_examples_of_several_sources_name_their_own(tmp_path):
    """All sources at once, `a.jsonl + b.csv:1`, is a place that nobody finds."""
    texts = Texts()
    first = write(tmp_path / "a.jsonl", [("q", ["Q"], [])])
    second = tmp_path / "b.parquet"
    pq.write_table(pa.table({"anchor": ["p", "r"], "positive": ["t", "R"]}), second)
    pairs = join_pairs([read_pairs(source, texts=texts) for source in (first, second)])
    (found,) = [one for one in examine(pairs) if one.code == "positive-is-anchor"]
    assert [one.place for one in found.examples] == [f"{first}:1", f"{second}: row 2"]
    rows = numbered_pairs(pairs, Book(texts))
    places = [f"{first}:1", f"{second}: row 1", f"{second}: row 2"]
    drawn = rows.sample(2)
    known = dict(zip(rows.anchors.tolist(), places, strict=True))
    assert [drawn.place(row) for row in range(2)] == [known[anchor] for anchor in drawn.anchors.tolist()]
    assert {drawn.place(row) for row in range(2)} != set(places[:2])


def test_a_sample_is_of_whole_rows_and_always_the_same():
    rows = [
        (f"q{n}", [f"p{n}-{k}" for k in range(n % 3 + 1)], [f"n{n}-{k}" for k in range(n % 4)])
        for n in range(50)
    ]
    view = numbered(rows)
    drawn = view.sample(20)
    again = view.sample(20)
    assert drawn.anchors.tolist() == again.anchors.tolist()
    assert len(drawn) == 20
    for row in range(20):
        number = int(drawn.text(int(drawn.anchors[row]))[1:])
        own = [
            [drawn.text(int(i)) for i in ids[offsets[row] : offsets[row + 1]]]
            for ids, offsets in (
                (drawn.positives, drawn.positive_offsets),
                (drawn.negatives, drawn.negative_offsets),
            )
        ]
        assert (rows[number][1], rows[number][2]) == tuple(own)
        assert drawn.place(row) == f"pairs.csv:{number + 2}"
    assert view.sample(50) is view


def test_json_has_no_surprises(tmp_path):
    data = write(tmp_path / "pairs.jsonl", [("q", ["caf\ufffd"], []), ("r", ["s"], [])])
    found = json.loads(diagnose(data).model_dump_json())["findings"]
    assert {one["code"] for one in found} == {"few-pairs", "replacement-character"}
