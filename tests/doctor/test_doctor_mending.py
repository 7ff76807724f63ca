"""The mended copy: what leaves it, what is written down, and that nothing half-done stays behind."""

import json
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from tests.doctor.doctor_samples import colliding_rows, real_rows, write

from gistembed.doctor import diagnose, mend, mending
from gistembed.errors import UserError
from gistembed.files import whole_file
from gistembed.pairs import read_rows

FIXABLE = {
    "unreadable-row",
    "positive-is-anchor",
    "repeated-pair",
    "negative-is-anchor",
    "negative-is-positive",
    "conflicting-rows",
    "repeated-negative",
}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_every_fault_once(tmp_path):
    data = write(
        tmp_path / "pairs.jsonl",
        [
            ("q", ["Q ", "p"], ["n", "N", "q", "P"]),
            ("q", ["r"], ["p", "m"]),
            ("", ["p"], []),
            ("Q", ["R"], ["M"]),
            ("s", ["S"], ["n"]),
            ("t", ["u"], []),
        ],
    )
    out = tmp_path / "mended.jsonl"
    result = mend(data, out)
    assert lines(out) == [
        {"anchor": "q", "positive": "p", "negative": "n"},
        {"anchor": "q", "positive": "r", "negative": "m"},
        {"anchor": "t", "positive": "u", "negative": None},
    ]
    changes = [
        (one["place"].rpartition(":")[2], one["what"], one["role"], one["anchor"], one["before"])
        for one in lines(result.changes_path)
    ]
    assert changes == [
        ("1", "positive-is-anchor", "positive", "q", "Q "),
        ("1", "repeated-negative", "negative", "q", "N"),
        ("1", "negative-is-anchor", "negative", "q", "q"),
        ("1", "negative-is-positive", "negative", "q", "P"),
        ("2", "conflicting-rows", "negative", "q", "p"),
        ("3", "unreadable-row", "row", None, None),
        ("4", "repeated-pair", "positive", "Q", "R"),
        ("4", "no-positive-left", "row", "Q", None),
        ("5", "positive-is-anchor", "positive", "s", "S"),
        ("5", "no-positive-left", "row", "s", None),
    ]
    assert lines(result.changes_path)[5] == {
        "place": f"{data}:3",
        "what": "unreadable-row",
        "role": "row",
        "anchor": None,
        "before": None,
        "after": None,
        "why": "column 'anchor' is empty. Every row needs an anchor and a positive; drop or fill the row.",
    }
    assert (result.path, result.rows, result.rows_read) == (out, 3, 6)
    assert result.changes_path == tmp_path / "mended.jsonl.changes.jsonl"
    assert result.changes == {
        "positive-is-anchor": 2,
        "repeated-negative": 1,
        "negative-is-anchor": 1,
        "negative-is-positive": 1,
        "conflicting-rows": 1,
        "unreadable-row": 1,
        "repeated-pair": 1,
        "no-positive-left": 2,
    }


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=colliding_rows())
def test_the_copy_has_nothing_left_to_mend(tmp_path, rows):
    """Mending what is mended changes nothing, and the doctor agrees."""
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    for path in tmp_path.iterdir():
        path.unlink()
    try:
        mend(write(tmp_path / "pairs.jsonl", rows), first)
    except UserError as error:
        assert str(error) == f"--fix {first}: no row would be left; nothing was written"  # noqa: PT017
        assert names(tmp_path) == ["pairs.jsonl"]
        return
    result = mend(first, second)
    assert second.read_bytes() == first.read_bytes()
    assert result.changes == {}
    assert lines(result.changes_path) == []
    found = {one.code for one in diagnose(first, near_duplicates=False).findings}
    assert not found & FIXABLE


def test_what_is_called_fixable_is_what_is_mended(tmp_path):
    data = write(
        tmp_path / "pairs.jsonl",
        [
            ("q", ["Q ", "p"], ["n", "N", "q", "P"]),
            ("q", ["r"], ["p", "m"]),
            ("", ["p"], []),
            ("q", ["r"], ["P", "m"]),
        ],
    )
    found = diagnose(data).findings
    assert {one.code for one in found if one.fixable} == FIXABLE
    assert {one.code for one in found if not one.fixable} == {"few-pairs"}


def test_good_rows_stay_as_they_are(tmp_path):
    rows = real_rows(200)
    result = mend(write(tmp_path / "pairs.jsonl", rows), tmp_path / "out.jsonl")
    assert [
        (row.anchor.text, [one.text for one in row.positives], [one.text for one in row.negatives])
        for _, row in read_rows(tmp_path / "out.jsonl")
    ] == rows
    assert result.changes == {}


@pytest.mark.parametrize(
    ("name", "there", "message"),
    [
        (
            "out.txt",
            None,
            "--fix {out}: the ending '.txt' tells no format; choose one of .jsonl, .ndjson, .parquet, "
            ".arrow, .csv, .tsv",
        ),
        ("out.jsonl", "out.jsonl", "--fix {out}: is there already; choose another name, or remove it"),
        (
            "out.jsonl",
            "out.jsonl.changes.jsonl",
            "--fix {out}.changes.jsonl: is there already; choose another name, or remove it",
        ),
        ("new/out.jsonl", None, "--fix {out}: there is no folder {out.parent}; make it first"),
    ],
    ids=["ending", "copy", "changes", "folder"],
)
def test_places_that_are_refused(tmp_path, name, there, message):
    data = write(tmp_path / "pairs.jsonl", [("q", ["p"], [])])
    if there:
        (tmp_path / there).write_text("mine")
    before = names(tmp_path)
    with pytest.raises(UserError) as refused:
        mend(data, tmp_path / name)
    assert str(refused.value) == message.format(out=tmp_path / name)
    assert names(tmp_path) == before


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    data = write(tmp_path / "pairs.jsonl", [("q", ["p"], ["q"])])

    @contextmanager
    def full(path):
        with whole_file(path) as file:
            yield file
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(mending, "whole_file", full)
    with pytest.raises(OSError, match="No space"):
        mend(data, tmp_path / "out.jsonl")
    assert names(tmp_path) == ["pairs.jsonl"]


def test_a_file_that_comes_meanwhile_stays(tmp_path, monkeypatch):
    """It stands where the copy was to go, but isn't ours to remove."""
    data, out = write(tmp_path / "pairs.jsonl", [("q", ["p"], [])]), tmp_path / "out.jsonl"
    once = mending.read_numbered

    def read_then_come(*arguments):
        out.write_text("another's")
        return once(*arguments)

    monkeypatch.setattr(mending, "read_numbered", read_then_come)
    with pytest.raises(UserError) as refused:
        mend(data, out)
    assert str(refused.value) == f"{out}: is there already; choose another name, or remove it"
    assert names(tmp_path) == ["out.jsonl", "pairs.jsonl"]
    assert out.read_text() == "another's"


def test_a_source_that_changes_meanwhile(tmp_path, monkeypatch):
    data = write(tmp_path / "pairs.jsonl", [("q", ["p"], []), ("r", ["s"], [])])
    once = mending.read_numbered

    for changed in (
        [("q", ["p"], [])],
        [("q", ["p"], []), ("r", ["s", "t"], [])],
        [("x", ["p"], [])] * 3,
        [("q", ["p"], []), ("r", ["t"], [])],
    ):

        def read_then_change(*arguments, rows=changed):
            found = once(*arguments)
            write(data, rows)
            return found

        write(data, [("q", ["p"], []), ("r", ["s"], [])])
        monkeypatch.setattr(mending, "read_numbered", read_then_change)
        with pytest.raises(UserError) as refused:
            mend(data, tmp_path / "out.jsonl")
        assert str(refused.value) == f"{data}: the source changed while it was read; run the command again"
        assert names(tmp_path) == ["pairs.jsonl"]


def test_weights_and_trust_are_no_repeats(tmp_path):
    """The copy keeps what training keeps; a negative that a person trusts stays, not its double."""
    row = {
        "anchor": "q",
        "positive": "p",
        "negative": ["n", "N"],
        "negative_trusted": [False, True],
        "weight": 1.0,
    }
    data = tmp_path / "pairs.jsonl"
    data.write_text("".join(json.dumps(row | {"weight": weight}) + "\n" for weight in (1.0, 2.0, 1.0)))
    result = mend(data, tmp_path / "out.jsonl")
    assert [(one["negative"], one["negative_trusted"], one["weight"]) for one in lines(result.path)] == [
        ("N", True, 1.0),
        ("N", True, 2.0),
    ]
    assert result.changes == {"repeated-negative": 3, "repeated-pair": 1, "no-positive-left": 1}


def test_a_broken_first_row_condemns_no_others(tmp_path):
    """All rows of a file of MEDI were unreadable because the first one has no text."""
    texts = [["Do:", ""], ["Do:", "q"], ["Do:", "r"]]
    data = tmp_path / "pairs.jsonl"
    data.write_text(
        "".join(json.dumps({"query": text, "pos": ["A:", text[1] + "!"]}) + "\n" for text in texts)
    )
    result = mend(data, tmp_path / "out.jsonl")
    assert [(one["anchor"], one["positive"]) for one in lines(result.path)] == [("q", "q!"), ("r", "r!")]
    assert result.changes == {"unreadable-row": 1}
    (change, *_) = lines(result.changes_path)
    assert change["why"].startswith("column 'query', item 2 is empty.")
