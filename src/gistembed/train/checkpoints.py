"""Checkpoints on disk: there whole or not at all, checked before they are used, old ones cleared away."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import xxhash
from pydantic import BaseModel, ConfigDict, ValidationError

from gistembed.errors import UserError
from gistembed.files import flush_folder, write_whole

MANIFEST = "manifest.json"
_PREFIX = "checkpoint-"
_PARTIAL = ".partial"
_BLOCK = 1 << 20


class FileEntry(BaseModel):
    """One file of a checkpoint, as it was written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bytes: int
    xxh3_128: str


class Manifest(BaseModel):
    """What a whole checkpoint holds; it is written after all else.

    Attributes:
        step: Optimizer steps done.
        best_step: The step whose model was the best until then, where the run keeps the best.
        files: All other files, by name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: int
    best_step: int | None
    files: dict[str, FileEntry]


def checkpoint_path(folder: Path, step: int) -> Path:
    """Where the checkpoint of a step stands."""
    return folder / f"{_PREFIX}{step}"


def write_checkpoint(
    folder: Path, step: int, write: Callable[[Path], None], *, keep: int | None, best_step: int | None = None
) -> Path:
    """Write a checkpoint beside its place, flush it to disk, put it into place, and clear old ones away.

    A reader sees the whole checkpoint or none; whatever goes wrong, those before stay as they were.

    Args:
        folder: The folder of all checkpoints.
        step: Optimizer steps done.
        write: Writes the files into a folder that it is given.
        keep: How many checkpoints stay; all if None. What one of these calls the best stays too.
        best_step: The step whose model was the best until now.

    Raises:
        OSError: If the disk refuses; nothing of the new checkpoint is left behind.
    """
    path = checkpoint_path(folder, step)
    partial = path.with_name(path.name + _PARTIAL)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        write(partial)
        files = {file.name: _flushed(file) for file in sorted(partial.iterdir())}
        manifest = Manifest(step=step, best_step=best_step, files=files)
        write_whole(partial / MANIFEST, json.dumps(manifest.model_dump(), indent=2).encode())
        # Of this step there can only be one that was damaged, or that this run has gone back before.
        _remove(path)
        partial.rename(path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    flush_folder(folder)
    _clear(folder, step, keep)
    return path


def newest_checkpoint(folder: Path, warn: Callable[[str], None] = lambda line: None) -> Path | None:
    """The newest checkpoint that is whole, if there is one; what was never finished is removed.

    Args:
        folder: The folder of all checkpoints; it need not exist.
        warn: Told of each newer one that isn't whole, and why.
    """
    for partial in folder.glob(f"{_PREFIX}*{_PARTIAL}"):
        shutil.rmtree(partial, ignore_errors=True)
    paths = [checkpoint_path(folder, step) for step in sorted(_steps(folder), reverse=True)]
    for number, path in enumerate(paths):
        damage = damage_of(path)
        if damage is None:
            return path
        next_one = (
            "the one before is tried" if number + 1 < len(paths) else "training starts from the beginning"
        )
        warn(f"{path}: not used ({damage}); {next_one}")
    return None


def damage_of(path: Path) -> str | None:
    """Why a checkpoint can't be used; None if each of its files is what was written.

    Args:
        path: The checkpoint.
    """
    try:
        manifest = Manifest.model_validate_json((path / MANIFEST).read_bytes())
    except FileNotFoundError:
        return f"it has no {MANIFEST}, which is written last"
    except (OSError, ValidationError):
        return f"its {MANIFEST} can't be read"
    if checkpoint_path(path.parent, manifest.step) != path:
        return f"its {MANIFEST} is of step {manifest.step}"
    for name, entry in manifest.files.items():
        file = path / name
        try:
            size = file.stat().st_size
            if size != entry.bytes:
                return f"{name} has {size:,} bytes, not {entry.bytes:,}"
            if _digest(file) != entry.xxh3_128:
                return f"{name} is not what was written"
        except FileNotFoundError:
            return f"{name} is missing"
        except OSError as error:
            return f"{name} can't be read: {error.strerror}"
    return None


def whole_checkpoint(folder: Path, step: int) -> Path:
    """The checkpoint of a step that must be there.

    Raises:
        UserError: If it isn't, or isn't whole.
    """
    path = checkpoint_path(folder, step)
    if (damage := damage_of(path)) is not None:
        raise UserError(
            f"{path}: the best model was kept here, but can't be used ({damage}); "
            "run the command again with another --out"
        )
    return path


def _steps(folder: Path) -> Iterator[int]:
    for path in folder.glob(f"{_PREFIX}*"):
        number = path.name.removeprefix(_PREFIX)
        if number.isdecimal():
            yield int(number)


def _flushed(file: Path) -> FileEntry:
    """Make a file outlast a crash of the machine; gives what its entry says."""
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
    return FileEntry(bytes=file.stat().st_size, xxh3_128=_digest(file))


def _digest(file: Path) -> str:
    digest = xxhash.xxh3_128()
    with file.open("rb") as opened:
        while block := opened.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _clear(folder: Path, step: int, keep: int | None) -> None:
    """Remove the checkpoints that nobody goes back to, now that the one of this step stands."""
    steps = set(_steps(folder))
    kept = set(sorted(one for one in steps if one <= step)[-keep:] if keep else steps)
    kept |= {best for one in kept if (best := _best_step(checkpoint_path(folder, one))) is not None}
    # Later ones are damaged, or this run would have gone on from there.
    for unwanted in (steps - kept) | {one for one in steps if one > step}:
        _remove(checkpoint_path(folder, unwanted))


def _best_step(path: Path) -> int | None:
    try:
        return Manifest.model_validate_json((path / MANIFEST).read_bytes()).best_step
    except (OSError, ValidationError):
        return None


def _remove(path: Path) -> None:
    """Remove a checkpoint, so that one that is half removed is never taken for one."""
    if path.exists():
        removed = path.with_name(f"{path.name}.old{_PARTIAL}")
        path.rename(removed)
        shutil.rmtree(removed, ignore_errors=True)
