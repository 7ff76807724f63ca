"""What commands say of one row, one text or one change: no "1 rows"."""

import json

import pytest

from gistembed.pairs.wording import counted

ROW = {"query": "red", "positive": "a rose"}


@pytest.fixture
def one_row(tmp_path):
    path = tmp_path / "one.jsonl"
    path.write_text(json.dumps(ROW) + "\n")
    return path


@pytest.fixture
def guided(static_folder, tmp_path):
    return "--guide", static_folder, "--store", tmp_path / "store"


def test_counted():
    assert [counted(number, "row") for number in (0, 1, 2, 1000)] == [
        "0 rows",
        "1 row",
        "2 rows",
        "1,000 rows",
    ]
    assert [counted(number, "class", "classes") for number in (0, 1, 2)] == [
        "0 classes",
        "1 class",
        "2 classes",
    ]


def test_doctor(run, one_row, tmp_path):
    one_row.write_text(json.dumps(ROW | {"negative": "red"}) + "\n")
    code, out, err = run("data", "doctor", one_row, "--no-near", "--fix", tmp_path / "fixed.jsonl")
    assert code == 1
    assert "1 row, 1 pair, 1 negative, 2 distinct texts" in err
    fixed = f"{tmp_path / 'fixed.jsonl'}: 1 of 1 row, 1 change, listed in "
    assert out.splitlines()[1].startswith(fixed)


def test_mine(run, one_row, guided, tmp_path):
    arguments = ("data", "mine", one_row, tmp_path / "out.jsonl", *guided)
    said = "1 anchor, 1 document that may be negatives"
    code, out, _ = run(*arguments, "--dry-run")
    assert (code, out) == (0, f"{said}; 2 texts to be encoded; nothing was written\n")
    code, out, err = run(*arguments, "--num-negatives", 1, "--too-few", "drop")
    assert (code, out) == (2, "")
    assert said in err
    assert f"gistembed: {one_row}: no row got 1 negative. Take fewer" in err


def test_mtebcls(run, guided, tmp_path):
    source = tmp_path / "classes.csv"
    source.write_text("text,label\nred,a\nscarlet,a\nblue,b\n")
    out = tmp_path / "out.jsonl"
    code, said, err = run("data", "mtebcls", source, out, *guided, "--task", "colours")
    assert code == 0, err
    assert said.startswith(
        "colours: 2 triplets from 3 texts of 2 classes; left out: 0 malformed, 1 alone in "
    )
    out = tmp_path / "other.jsonl"
    code, _, err = run("data", "mtebcls", source, out, *guided, "--task", "a", "--task", "b")
    assert (code, err) == (2, "gistembed: --task: 2 names for 1 source; give one for each, in order\n")


def test_encode(run, one_row, guided):
    code, out, err = run("guide", "encode", one_row, *guided, "--dry-run")
    assert (code, out) == (0, "2 texts, 2 of them to be encoded; nothing was written\n")
    assert (
        err.splitlines()[1] == f"{one_row}: 1 pair from 1 row; columns: anchor = query, positive = positive"
    )
