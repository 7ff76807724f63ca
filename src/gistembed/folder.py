"""The folder that a run writes to: what may stand in it before, and what stands in it after."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from gistembed import ranks
from gistembed.errors import UserError
from gistembed.files import can_be_written, library_writes, write_whole
from gistembed.models import EmbeddingModel, no_progress_bars
from gistembed.record import ProgressRecord, Record, RunRecord

Begun = TypeVar("Begun", bound=ProgressRecord)
Recorded = TypeVar("Recorded", bound=Record)

RECORD = "run.json"
"""The record of a run of `fit`, in its folder."""

_LOCK = ".lock"


@contextmanager
def alone_in(place: Path) -> Iterator[None]:
    """While it lasts, no other run writes to an output folder; the lock of a dead process is none.

    Processes that train together are one run. What the folder is fit for is checked by others, and so is one
    that can't be written; without what they write, it is gone again in the end.

    Args:
        place: Where the run's record stands, in a folder that need not exist yet.

    Raises:
        UserError: If another run is at work there, in all processes that train together.
    """
    refused = None
    with ExitStack() as stack:
        if ranks.is_first() and can_be_written(place.parent):
            try:
                stack.enter_context(_locked(place))
            except UserError as error:
                refused = error
        if ranks.any_of_all(refused is not None):
            raise refused or _at_work(place.parent)
        yield


@contextmanager
def _locked(place: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    folder = place.parent
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / _LOCK, timeout=0):
            for left in folder.iterdir():
                if _is_remnant(left, place):
                    left.unlink()
            try:
                yield
            finally:
                # While it is held: nobody can have locked this very file in between.
                (folder / _LOCK).unlink(missing_ok=True)
    except Timeout as error:
        raise _at_work(folder) from error
    finally:
        with suppress(OSError):
            for one in made:
                one.rmdir()


def _at_work(folder: Path) -> UserError:
    return UserError(
        f"--out {folder}: another process is at work in it; wait for it to end, or choose another folder"
    )


def _is_remnant(path: Path, place: Path) -> bool:
    """Whether a file is what a crash left of a record that was being written."""
    return re.fullmatch(rf"\.{re.escape(place.name)}\.[0-9a-f]{{8}}", path.name) is not None


def unfinished_record(place: Path, kind: type[Begun], *, resume: bool) -> Begun | None:
    """Check an output folder, and read the record of what was begun in it; nothing is written.

    Args:
        place: Where the record stands, in a folder that need not exist yet.
        kind: The class of the record.
        resume: Whether the user wants to go on with what was begun there.

    Returns:
        The record; None for a fresh folder.

    Raises:
        UserError: If the folder can't be used.
    """
    path, record = place.parent, _record_in(place, kind)
    if record is None:
        return None
    if record.status == "finished":
        raise UserError(f"--out {path}: holds a finished run; choose another folder")
    if not resume:
        raise UserError(
            f"--out {path}: holds an unfinished run; go on with --resume, or choose another folder"
        )
    return record


def begun_record(place: Path, kind: type[Recorded], *, what: str, resume: bool) -> Recorded | None:
    """`unfinished_record` for what can be gone on with after it was finished, too.

    Args:
        place: Where the record stands, in a folder that need not exist yet.
        kind: The class of the record.
        what: What the record is of, with its article.
        resume: Whether the user wants to go on with what was begun there.

    Returns:
        The record; None for a fresh folder.

    Raises:
        UserError: If the folder can't be used.
    """
    record = _record_in(place, kind)
    if record is not None and not resume:
        raise UserError(f"--out {place.parent}: holds {what}; go on with --resume, or choose another folder")
    return record


def _record_in(place: Path, kind: type[Recorded]) -> Recorded | None:
    path = place.parent
    if path.exists() and not path.is_dir():
        raise UserError(f"--out {path}: a file; choose a folder")
    if not path.exists() or all(one.name == _LOCK or _is_remnant(one, place) for one in path.iterdir()):
        if not can_be_written(path):
            raise UserError(f"--out {path}: can't be written; choose another folder")
        return None
    if not place.is_file():
        raise UserError(f"--out {path}: holds files of something else; choose an empty or a new folder")
    try:
        return kind.model_validate_json(place.read_bytes())
    except (ValidationError, OSError) as error:
        raise UserError(
            f"--out {path}: its {place.name} can't be read by this version; choose another folder"
        ) from error


def write_record(place: Path, record: Record) -> None:
    """Write a record as JSON, whole.

    Args:
        place: Where it goes; folders above it that are missing are made.
        record: The record.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    content = json.dumps(record.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False)
    write_whole(place, content.encode())


class RunFolder:
    """An output folder, checked before anything is written.

    Attributes:
        path: The folder.
        unfinished: Record of the run that was begun here and can be resumed; None for a fresh folder.
    """

    def __init__(self, path: Path, *, resume: bool) -> None:
        """Check the folder; nothing is written.

        Args:
            path: The folder; it need not exist yet.
            resume: Whether the user wants to go on with what was begun there.

        Raises:
            UserError: If the folder can't be used.
        """
        self.path = path
        self.unfinished = unfinished_record(self.record_path, RunRecord, resume=resume)

    @property
    def record_path(self) -> Path:
        """The run's record."""
        return self.path / RECORD

    @property
    def report(self) -> Path:
        """The page that people look at."""
        return self.path / "report.html"

    @property
    def query_scores(self) -> Path:
        """The score of each query."""
        return self.path / "scores.parquet"

    @property
    def checkpoints(self) -> Path:
        """Where unfinished training is kept; gone when the run is finished."""
        return self.path / "checkpoints"

    def logs(self, name: str) -> Path:
        """Where TensorBoard finds what a training run logged, if it was asked to log."""
        return self.path / "logs" / name

    def model(self, name: str) -> Path:
        """The folder of a trained model."""
        return self.path / name

    def write_record(self, record: RunRecord) -> None:
        """Write ``run.json``, whole."""
        write_record(self.record_path, record)

    def save_model(self, model: EmbeddingModel, name: str) -> None:
        """Save a trained model as a plain sentence-transformers folder, there whole or not at all."""
        self._save_whole(name, lambda place: model.model.save_pretrained(place, create_model_card=False))

    def save_adapter(self, model: EmbeddingModel, name: str) -> None:
        """Save the adapters of a model trained with LoRA as peft reads them, there whole or not at all."""
        transformer = model.model.transformers_model
        assert transformer is not None, "LoRA is for transformers"
        # Whose weights it belongs to, as the user calls them and not as they were found on this machine.
        for config in transformer.peft_config.values():
            config.base_model_name_or_path = model.name
        self._save_whole(name, transformer.save_pretrained)

    def _save_whole(self, name: str, save: Callable[[str], object]) -> None:
        partial = self.path / f".{name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        try:
            with no_progress_bars(), library_writes(partial):
                save(str(partial))
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        # A run that stopped between saving and noting it down left the same model here.
        shutil.rmtree(self.model(name), ignore_errors=True)
        partial.replace(self.model(name))

    def finish(self) -> None:
        """Remove what only an unfinished run needs."""
        shutil.rmtree(self.checkpoints, ignore_errors=True)
