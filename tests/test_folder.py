"""The output folder: what it refuses, that checking writes nothing, and what it keeps."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gistembed import cotrain, fit
from gistembed.console import Console
from gistembed.errors import UserError
from gistembed.folder import RunFolder, alone_in
from gistembed.models import load_model
from gistembed.search import SearchPlan, run_search
from gistembed.sweep import read_plan, run_sweep
from tests.report.example import minimal_record


def refusal(path, *, resume=False):
    before = tree(path.parent)
    with pytest.raises(UserError) as caught:
        RunFolder(path, resume=resume)
    assert tree(path.parent) == before, "the check wrote something"
    assert caught.value.exit_code == 2
    return str(caught.value)


def tree(folder):
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.fixture
def out(tmp_path):
    """A folder that a run was begun in."""
    RunFolder(tmp_path / "out", resume=False).write_record(minimal_record())
    return tmp_path / "out"


@pytest.mark.parametrize("resume", [False, True])
def test_a_fresh_folder(tmp_path, resume):
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "new" / "deep", tmp_path / "empty"):
        folder = RunFolder(path, resume=resume)
        assert folder.unfinished is None
    assert [path.name for path in tmp_path.rglob("*")] == ["empty"]


@pytest.mark.parametrize("resume", [False, True])
def test_refusals(tmp_path, resume):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / ".hidden").write_text("mine")
    path = tmp_path / "file"
    assert refusal(path, resume=resume) == f"--out {path}: a file; choose a folder"
    assert refusal(path / "below", resume=resume) == (
        f"--out {path / 'below'}: can't be written; choose another folder"
    )
    path = tmp_path / "photos"
    assert refusal(path, resume=resume) == (
        f"--out {path}: holds files of something else; choose an empty or a new folder"
    )


def test_a_folder_without_permission(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert refusal(tmp_path / "out") == f"--out {tmp_path / 'out'}: can't be written; choose another folder"


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"status": "running"', b"\xff"])
def test_an_unreadable_record(tmp_path, resume, content):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "run.json").write_bytes(content)
    assert refusal(tmp_path / "out", resume=resume) == (
        f"--out {tmp_path / 'out'}: its run.json can't be read by this version; choose another folder"
    )


@pytest.mark.parametrize("resume", [False, True])
def test_a_finished_run(out, resume):
    RunFolder(out, resume=True).write_record(minimal_record(status="finished"))
    assert refusal(out, resume=resume) == f"--out {out}: holds a finished run; choose another folder"


@pytest.mark.parametrize("status", ["running", "interrupted"])
def test_an_unfinished_run_is_resumed_only_when_asked(out, status):
    record = minimal_record(status=status, warnings=["être"])
    RunFolder(out, resume=True).write_record(record)
    assert refusal(out) == (
        f"--out {out}: holds an unfinished run; go on with --resume, or choose another folder"
    )
    assert RunFolder(out, resume=True).unfinished == record


def test_places(tmp_path):
    folder = RunFolder(tmp_path / "out", resume=False)
    assert [folder.record_path.name, folder.report.name, folder.checkpoints.name, folder.model("m").name] == [
        "run.json",
        "report.html",
        "checkpoints",
        "m",
    ]


def test_finishing_removes_checkpoints_only(out):
    folder = RunFolder(out, resume=True)
    (folder.checkpoints / "guided").mkdir(parents=True)
    folder.finish()
    folder.finish()
    assert [path.name for path in out.iterdir()] == ["run.json"]


def test_a_saved_model_is_the_model(out, static_folder):
    model = load_model(str(static_folder), option="--student")
    folder = RunFolder(out, resume=True)
    folder.save_model(model, "model")
    assert {path.name for path in out.iterdir()} == {"run.json", "model"}
    again = load_model(str(out / "model"), option="--student")
    np.testing.assert_array_equal(again.embed(["text"], "anchor"), model.embed(["text"], "anchor"))


def test_a_model_is_saved_whole_or_not_at_all(out, static_folder, monkeypatch):
    model = load_model(str(static_folder), option="--student")
    folder = RunFolder(out, resume=True)

    def half(path, **_options):
        Path(path).mkdir()
        (Path(path) / "model.safetensors").write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(model.model, "save_pretrained", half)
        with pytest.raises(OSError, match="No space left"):
            folder.save_model(model, "model")
    assert {path.name for path in out.iterdir()} == {"run.json"}
    folder.save_model(model, "model")
    assert {path.name for path in out.iterdir()} == {"run.json", "model"}


def test_a_model_is_saved_again_after_a_crash_between_saving_and_noting(out, static_folder):
    model = load_model(str(static_folder), option="--student")
    for _ in range(2):
        RunFolder(out, resume=True).save_model(model, "model")
    assert load_model(str(out / "model"), option="--student").kind == "static"


HOLDER = """
import sys
from pathlib import Path
from gistembed.folder import alone_in
with alone_in(Path(sys.argv[1]) / "run.json"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("there", [False, True])
def test_two_processes_are_never_at_work_in_one_folder(tmp_path, there):
    """Each would delete the other's checkpoints. One that was killed holds nothing any more."""
    out = tmp_path / "deep" / "out"
    if there:
        out.mkdir(parents=True)
    line = f"--out {out}: another process is at work in it; wait for it to end, or choose another folder"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(out)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(UserError) as caught, alone_in(out / "run.json"):
            pass
        assert str(caught.value) == line
        # What only reads, such as a dry run, is let in.
        assert RunFolder(out, resume=False).unfinished is None
        other.kill()
    assert [path.name for path in out.iterdir()] == [".lock"]
    assert RunFolder(out, resume=False).unfinished is None, "a lock is no file of something else"
    with alone_in(out / "run.json"):
        pass
    assert list(out.iterdir()) == []


def test_a_folder_that_nothing_was_written_to_is_gone(tmp_path):
    with pytest.raises(UserError, match="wrong"), alone_in(tmp_path / "deep" / "out" / "run.json"):
        raise UserError("wrong")
    assert list(tmp_path.iterdir()) == []


def test_what_is_written_stays_and_the_lock_goes(tmp_path):
    with alone_in(tmp_path / "out" / "run.json"):
        RunFolder(tmp_path / "out", resume=False).write_record(minimal_record())
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["run.json"]


@pytest.mark.parametrize("path", ["file", "file/below"])
def test_what_is_no_folder_is_not_locked(tmp_path, path):
    """Whoever checks it has better words."""
    (tmp_path / "file").write_text("mine")
    with alone_in(tmp_path / path / "run.json"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_processes_of_one_run_are_one(tmp_path, monkeypatch):
    """Only the first holds the lock; where it gets none, the others end too, with the same words."""
    monkeypatch.setattr("gistembed.ranks.any_of_all", lambda mine: mine)
    with alone_in(tmp_path / "run.json"):
        monkeypatch.setattr("gistembed.ranks.is_first", lambda: False)
        with alone_in(tmp_path / "run.json"):
            pass
        monkeypatch.setattr("gistembed.ranks.any_of_all", lambda mine: True)
        with (
            pytest.raises(UserError, match="another process is at work in it"),
            alone_in(tmp_path / "run.json"),
        ):
            pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["fit", "cotrain", "search", "sweep"])
def test_no_command_enters_a_live_run(tmp_path, command):
    """Refused before anything is read: neither model nor pairs are there."""
    out = tmp_path / "out"
    (tmp_path / "sweep.toml").write_text(
        'seeds = [1]\n[base]\ndata = "none.csv"\nstudent = "none"\nguide = "none"\n[grid]\nsteps = [1]\n'
    )
    settings = {"data": "none.csv", "student": "none", "guide": "none", "out": str(out)}
    run = {
        "fit": lambda: fit("none.csv", "none", "none", out=out, resume=True, quiet=True),
        "cotrain": lambda: cotrain("none", "other", data="none.csv", out=out, resume=True, quiet=True),
        "search": lambda: run_search(SearchPlan(settings), Console(quiet=True), resume=True),
        "sweep": lambda: run_sweep(read_plan(tmp_path / "sweep.toml", out), Console(quiet=True), resume=True),
    }
    with alone_in(out / "run.json"), pytest.raises(UserError) as caught:
        run[command]()
    assert str(caught.value).startswith(f"--out {out}: another process is at work in it; ")


@pytest.mark.parametrize("resume", [False, True])
def test_what_a_killed_first_write_left_is_nothing(tmp_path, resume):
    """It would count as a file of something else, and the folder could not be used any more."""
    place = tmp_path / "out" / "run.json"
    place.parent.mkdir()
    (place.parent / ".run.json.abcd1234").write_text("{")
    assert RunFolder(place.parent, resume=resume).unfinished is None
    with alone_in(place):
        assert [path.name for path in place.parent.iterdir()] == [".lock"]
    for name in (".run.json.mine", ".cotrain.json.abcd1234"):
        (place.parent / name).write_text("mine")
        with alone_in(place):
            assert (place.parent / name).exists()
        assert refusal(place.parent, resume=resume).startswith(
            f"--out {place.parent}: holds files of something"
        )
        (place.parent / name).unlink()
