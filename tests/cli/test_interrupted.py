"""What Ctrl-C leaves, and what the last line says of it: true for each command."""

import os
import shlex
import signal

import pytest


def interrupt(*_, **__):
    raise KeyboardInterrupt


@pytest.fixture
def interrupted(run, monkeypatch):
    """Run a command that is interrupted in a function; gives the last line without its beginning."""

    def call(function, *arguments):
        monkeypatch.setattr(function, interrupt)
        code, out, err = run(*arguments)
        assert (code, out) == (130, "")
        last = err.splitlines()[-1]
        assert last.startswith("gistembed: interrupted; ")
        return last.removeprefix("gistembed: interrupted; ")

    return call


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "my pairs.csv"
    path.write_text("query,positive\nred,a rose\nblue,the sky\n")
    return path


def again(*words):
    return shlex.join(["gistembed", *map(str, words)])


def test_a_run_goes_on_with_resume(interrupted, data):
    words = ("fit", data, "--student", "s", "--guide", "g", "--out", "o")
    assert interrupted("gistembed.pipeline.run_fit", *words) == f"go on with: {again(*words, '--resume')}"
    assert interrupted("gistembed.pipeline.run_fit", *words, "--resume", "--quiet") == (
        f"go on with: {again(*words, '--quiet', '--resume')}"
    )
    assert interrupted("gistembed.pipeline.plan_fit", *words, "--dry-run") == "nothing was written"


def test_rounds_go_on_with_resume(interrupted):
    words = ("cotrain", "a", "b", "--data", "pairs.csv", "--out", "o")
    line = f"go on with: {again(*words, '--resume')}"
    assert interrupted("gistembed.cotraining.run_cotrain", *words) == line


def test_a_search_goes_on_with_resume(interrupted, data):
    words = ("search", data, "--student", "s", "--guide", "g", "--out", "o", "--trials", "9")
    assert interrupted("gistembed.search.run_search", *words) == f"go on with: {again(*words, '--resume')}"


def test_a_sweep_goes_on_with_resume(interrupted, tmp_path):
    path = tmp_path / "sweep.toml"
    path.write_text('seeds = [1, 2]\n[base]\ndata = "d"\nstudent = "s"\nguide = "g"\n')
    words = ("sweep", path, "--out", tmp_path / "o")
    assert interrupted("gistembed.sweep.run_sweep", *words) == f"go on with: {again(*words, '--resume')}"


def test_encoding_goes_on_by_itself(interrupted, data):
    words = ("guide", "encode", data, "--guide", "g")
    line = f"what is encoded stays; go on with: {again(*words)}"
    assert interrupted("gistembed.guide.prepare_work", *words) == line


def test_sigterm_is_told_in_the_same_way(run, monkeypatch, data):
    """Of commands that train nothing, too, the process would just be gone."""
    monkeypatch.setattr("gistembed.guide.prepare_work", lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM))
    words = ("guide", "encode", data, "--guide", "g")
    code, out, err = run(*words)
    assert (code, out) == (143, "")
    assert err.splitlines()[-1] == (
        f"gistembed: terminated; what is encoded stays; go on with: {again(*words)}"
    )


def test_rows_are_not_written(interrupted, data, static_folder, tmp_path):
    out = tmp_path / "out.jsonl"
    words = (
        "data",
        "mine",
        data,
        out,
        "--guide",
        static_folder,
        "--no-margin",
        "--store",
        tmp_path / "store",
    )
    line = f"OUT was not written, what is encoded stays; go on with: {again(*words)}"
    assert interrupted("gistembed.pairs.writing.write.write_records", *words) == line
    assert sorted(path.name for path in tmp_path.iterdir()) == [data.name, "store"]
    words = ("data", "convert", data, out)
    assert interrupted("gistembed.pairs.writing.write.write_records", *words) == (
        f"OUT was not written; start again with: {again(*words)}"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [data.name, "store"]


def test_a_copy_may_be_there(interrupted, data, tmp_path):
    """Interrupted before the copy, or while the copy is looked at."""
    words = ("data", "doctor", data, "--no-near", f"--fix={tmp_path / 'copy.csv'}")
    line = f"the copy is written whole or not at all; if it isn't there, start again with: {again(*words)}"
    assert interrupted("gistembed.doctor.mend", *words) == line


def test_whatever_else(interrupted, data):
    words = ("data", "doctor", data)
    line = f"nothing is half-written; start again with: {again(*words)}"
    assert interrupted("gistembed.doctor.diagnose", *words) == line
