"""Write files whole or not at all, and say in one line what the disk refused."""

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from gistembed.errors import StorageError, UserError

_SIGNS_OF_A_FULL_DISK = ("os error 28", "PytorchStreamWriter failed", "iostream error")


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Write beside the place; once all is written, flush to disk and rename.

    No reader and no crash ever sees half a file. What a crash leaves is a hidden file beside the place.

    Args:
        path: Where the file goes.

    Yields:
        The file, to write to.

    Raises:
        OSError: If the disk refuses; nothing is left behind.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with naming_the_place(path), partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise
    flush_folder(path.parent)


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Fill a folder beside the place; once all is written, flush its files to disk and rename.

    No reader and no crash ever sees half of it. What a crash leaves is a hidden folder beside the place.

    Args:
        path: Where the folder goes; nothing is there, or an empty folder.

    Yields:
        The folder to write into, empty. What is opened in it has to be closed again.

    Raises:
        OSError: If the disk refuses; nothing is left behind.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with naming_the_place(path):
            partial.mkdir()
            yield partial
            for place in (*partial.rglob("*"), partial):
                _flush(place)
        partial.rename(path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    flush_folder(path.parent)


def write_whole(path: Path, content: bytes) -> None:
    """Write a small file whole or not at all; see `whole_file`.

    Raises:
        OSError: If the disk refuses; nothing is left behind.
    """
    with whole_file(path) as file:
        file.write(content)


def flush_folder(folder: Path) -> None:
    """Make what was renamed or removed in a folder outlast a crash of the machine."""
    _flush(folder)


def _flush(place: Path) -> None:
    descriptor = os.open(place, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def can_be_written(folder: Path) -> bool:
    """Whether a folder, or the nearest one above it that is there, takes files; nothing is written."""
    nearest = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    return os.access(nearest, os.W_OK | os.X_OK) and nearest.is_dir()


def no_space(error: OSError) -> bool:
    """Whether the disk, or the user's share of it, is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def storage_error(error: OSError, *, place: str = "") -> UserError:
    """What a refusal of the operating system means for the user; a full disk has an exit code of its own.

    Args:
        error: The refusal.
        place: The file or folder it is about, where the error doesn't know it.
    """
    where = os.fsdecode(error.filename) if error.filename is not None else place
    # Libraries add words of their own to those of the operating system.
    problem = os.strerror(error.errno) if error.errno and no_space(error) else error.strerror
    line = f"{where}: {problem}" if where else str(problem or error)
    if no_space(error):
        return StorageError(f"{line}; free space, then run the command again (`fit` with --resume)")
    if error.errno == errno.EROFS:
        return StorageError(f"{line}; choose a folder that can be written")
    return UserError(line)


@contextlib.contextmanager
def naming_the_place(place: os.PathLike[str] | str) -> Iterator[None]:
    """Let the error of a full disk name a place, which writing to an open file doesn't.

    Args:
        place: What is being written.

    Yields:
        Nothing.

    Raises:
        OSError: If the disk refuses.
    """
    try:
        yield
    except OSError as error:
        if no_space(error) and error.filename is None:
            error.filename = os.fspath(place)
        raise


@contextlib.contextmanager
def library_writes(place: Path) -> Iterator[None]:
    """Turn what libraries raise when the disk refuses into the operating system's own error.

    Args:
        place: The folder that is written to.

    Yields:
        Nothing.

    Raises:
        OSError: If the disk is full.
    """
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        # Libraries in other languages lose the error number; the text is all there is to go by.
        if any(sign in str(error) for sign in _SIGNS_OF_A_FULL_DISK):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(place)) from error
        raise
