"""Writing whole files: after any failure the old content stands and nothing lies beside it."""

import errno
import os
from pathlib import Path

import pytest
from safetensors import SafetensorError

from gistembed.errors import StorageError, UserError
from gistembed.files import library_writes, storage_error, whole_file, whole_folder, write_whole

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def fail(*_arguments, **_options):
    raise FULL


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_new_folder(tmp_path, monkeypatch):
    """All is on the disk before the folder has its name."""
    flushed = []
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: flushed.append(Path(f"/dev/fd/{descriptor}").resolve())
    )
    with whole_folder(tmp_path / "folder") as partial:
        (partial / "inner").mkdir()
        (partial / "inner" / "file").write_bytes(b"one")
        assert not (tmp_path / "folder").exists()
    assert flushed == [partial / "inner", partial / "inner" / "file", partial, tmp_path]
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == [
        "folder",
        "folder/inner",
        "folder/inner/file",
    ]


@pytest.mark.parametrize(
    ("place", "name"), [(os, "fsync"), (Path, "rename"), (Path, "mkdir")], ids=["fsync", "rename", "mkdir"]
)
def test_a_failing_disk_leaves_no_folder(tmp_path, monkeypatch, place, name):
    monkeypatch.setattr(place, name, fail)
    with (
        pytest.raises(OSError, match="No space left on device"),
        whole_folder(tmp_path / "folder") as partial,
    ):
        (partial / "file").write_bytes(b"one")
    assert contents(tmp_path) == {}


def test_new_and_old_files(tmp_path):
    path = tmp_path / "file"
    write_whole(path, b"one\0")
    assert contents(tmp_path) == {"file": b"one\0"}
    write_whole(path, b"")
    assert contents(tmp_path) == {"file": b""}


@pytest.mark.parametrize(
    ("place", "name"), [(os, "fsync"), (Path, "replace"), (Path, "open")], ids=["fsync", "rename", "open"]
)
def test_a_failing_disk_leaves_the_old_content(tmp_path, monkeypatch, place, name):
    path = tmp_path / "file"
    write_whole(path, b"old")
    with monkeypatch.context() as patch:
        patch.setattr(place, name, fail)
        with pytest.raises(OSError, match="No space left on device") as caught:
            write_whole(path, b"new")
    assert caught.value is FULL
    assert contents(tmp_path) == {"file": b"old"}
    write_whole(path, b"new")
    assert contents(tmp_path) == {"file": b"new"}


def test_an_interrupt_leaves_the_old_content(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_whole(path, b"old")

    def interrupt(_descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_whole(path, b"new")
    assert contents(tmp_path) == {"file": b"old"}


def test_content_is_on_disk_before_its_name_is(tmp_path, monkeypatch):
    """Fsync after the rename would let a crash leave an empty file under the right name."""
    events = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda number: (events.append("fsync"), fsync(number)))
    monkeypatch.setattr(Path, "replace", lambda old, new: (events.append("rename"), replace(old, new)))
    write_whole(tmp_path / "file", b"content")
    assert events == ["fsync", "rename", "fsync"]


def test_a_folder_in_the_place_stays(tmp_path):
    (tmp_path / "file").mkdir()
    with pytest.raises(IsADirectoryError):
        write_whole(tmp_path / "file", b"content")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("error", "kind", "line"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "a/b"),
            StorageError,
            "a/b: No space left on device; free space, then run the command again (`fit` with --resume)",
        ),
        (
            OSError(errno.EROFS, "Read-only file system", "a"),
            StorageError,
            "a: Read-only file system; choose a folder that can be written",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "a"), UserError, "a: Permission denied"),
        (OSError(errno.ENAMETOOLONG, "File name too long"), UserError, "here: File name too long"),
        (
            OSError(errno.ENOSPC, "Error writing bytes to file. Detail: [errno 28] No space left on device"),
            StorageError,
            "here: No space left on device; free space, then run the command again (`fit` with --resume)",
        ),
    ],
)
def test_what_the_disk_refused(error, kind, line):
    refused = storage_error(error, place="here")
    assert (type(refused), str(refused)) == (kind, line)


@pytest.mark.parametrize("write", [whole_file, whole_folder])
def test_a_full_disk_is_named_by_what_was_written(tmp_path, write):
    """Writing to an open file doesn't say which: the line said that some disk was full."""
    with pytest.raises(OSError, match="No space left on device") as error, write(tmp_path / "out"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert error.value.filename == str(tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "error",
    [
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
        Exception("No space left on device (os error 28)"),
        RuntimeError("basic_ios::clear: iostream error"),
        RuntimeError("[enforce fail at inline_container.cc] . PytorchStreamWriter failed writing file"),
    ],
)
def test_libraries_that_lose_the_error_number(tmp_path, error):
    with pytest.raises(OSError, match="No space left on device") as caught, library_writes(tmp_path):
        raise error
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path))


def test_other_errors_of_libraries_stay_as_they_are(tmp_path):
    with pytest.raises(RuntimeError, match="shapes"), library_writes(tmp_path):
        raise RuntimeError("shapes do not match")


def test_a_folder_is_there_whole(tmp_path):
    place = tmp_path / "place"
    with whole_folder(place) as partial:
        (partial / "inside").mkdir()
        (partial / "inside" / "file").write_text("content")
        assert not place.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["place"]
    assert (place / "inside" / "file").read_text() == "content"


@pytest.mark.parametrize("error", [FULL, KeyboardInterrupt()], ids=["full", "interrupted"])
def test_a_folder_is_there_whole_or_not_at_all(tmp_path, error):
    def half():
        with whole_folder(tmp_path / "place") as partial:
            (partial / "file").write_text("half")
            raise error

    with pytest.raises(type(error)):
        half()
    assert list(tmp_path.iterdir()) == []


def test_a_full_folder_in_the_place_stays(tmp_path):
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "mine").write_text("mine")
    with pytest.raises(OSError, match="not empty"), whole_folder(tmp_path / "place"):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == ["place", "mine"]
