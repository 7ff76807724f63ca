"""The output folder: what it refuses, that checking writes nothing, and what it keeps."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from gistembed.errors import UserError
from gistembed.folder import RunFolder
from gistembed.models import load_model
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
