"""Cells of other data or models are not put beside finished ones: `--resume` and `--table`."""

import json

import pytest
from tests.real_text import documentation_pairs
from tests.tiny_models import save_static

SWEEP = """
seeds = [1]
[grid]
{grid}
[base]
steps = 1
batch_size = 16
loss = "infonce"
data = "pairs.jsonl"
eval = "eval.jsonl"
retention = "eval.jsonl"
{base}
"""


def write_rows(path, first, last):
    rows = [{"query": query, "answer": answer} for query, answer in documentation_pairs()[first:last]]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with pairs and two students."""
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path / "pairs.jsonl", 0, 60)
    write_rows(tmp_path / "eval.jsonl", 200, 225)
    save_static(tmp_path / "one")
    save_static(tmp_path / "two", seed=1)
    return tmp_path


@pytest.fixture
def sweep(run, here):
    """Run a sweep with these lines of its file; gives the exit code, and the last line on stderr."""

    def call(grid, *flags, base='student = "one"'):
        (here / "sweep.toml").write_text(SWEEP.format(grid=grid, base=base), encoding="utf-8")
        code, _, err = run("sweep", "sweep.toml", "--out", "out", *flags)
        return code, err.splitlines()[-1].removeprefix("gistembed: ")

    return call


def test_finished_cells_meet_no_others_of_changed_inputs(sweep, here):
    """What `fit --resume` refuses, too: other pairs, another student under the same name."""
    assert sweep("learning_rate = [0.002]")[0] == 0
    more = "learning_rate = [0.002, 0.05]"
    refused = "--resume: the sweep in out was begun with {}; go on with the same, or choose another --out"
    write_rows(here / "pairs.jsonl", 10, 70)
    assert sweep(more, "--resume") == (2, refused.format("other pairs"))
    assert sweep(more, "--resume", "--dry-run") == (2, refused.format("other pairs"))
    write_rows(here / "pairs.jsonl", 0, 60)
    save_static(here / "one", seed=2)
    assert sweep(more, "--resume") == (2, refused.format("another student"))
    # Nothing new is put beside what is finished.
    assert sweep("learning_rate = [0.002]", "--table")[0] == 0
    save_static(here / "one")
    assert sweep(more, "--resume")[0] == 0


def test_finished_cells_are_alike(sweep, here):
    """As an earlier version mixed them; the axis excuses another student, and no other pairs."""
    grid = 'student = ["one", "two"]'
    assert sweep(grid, base="")[0] == 0
    assert sweep(grid, "--resume", base="")[0] == 0
    path = here / "out" / "cells" / "student=two,seed=1" / "run.json"
    whole = path.read_text(encoding="utf-8")
    record = json.loads(whole)
    record["inputs"]["pairs"] = "other"
    path.write_text(json.dumps(record), encoding="utf-8")
    for flag in ("--table", "--resume"):
        assert sweep(grid, flag, base="") == (
            2,
            "out/cells/student=two,seed=1: its cell was run with other pairs than student=one,seed=1, so "
            "that the two can't be compared; remove the folder of the one that is not wanted, or choose "
            "another --out",
        )
    del record["inputs"]
    path.write_text(json.dumps(record), encoding="utf-8")
    assert sweep(grid, "--table", base="") == (
        2,
        "out/cells/student=two,seed=1: its results can't be read; remove this folder and go on with --resume",
    )
