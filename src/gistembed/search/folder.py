"""The folder that a search writes to: what may stand in it before, and what stands in it after."""

import shutil
from pathlib import Path

from pydantic import ValidationError

from gistembed.errors import UserError
from gistembed.files import can_be_written, write_whole
from gistembed.search.record import SearchRecord, as_json


class SearchFolder:
    """An output folder, checked before anything is written.

    Attributes:
        path: The folder.
        begun: Record of the search that was begun here; None for a fresh folder.
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
        self.begun: SearchRecord | None = None
        if path.exists() and not path.is_dir():
            raise UserError(f"--out {path}: a file; choose a folder")
        if not path.exists() or not any(path.iterdir()):
            if not can_be_written(path):
                raise UserError(f"--out {path}: can't be written; choose another folder")
            return
        if not self.record_path.is_file():
            raise UserError(f"--out {path}: holds files of something else; choose an empty or a new folder")
        if not resume:
            raise UserError(f"--out {path}: holds a search; go on with --resume, or choose another folder")
        try:
            self.begun = SearchRecord.model_validate_json(self.record_path.read_bytes())
        except (ValidationError, OSError) as error:
            raise UserError(
                f"--out {path}: its search.json can't be read by this version; choose another folder"
            ) from error

    @property
    def record_path(self) -> Path:
        """The search's record."""
        return self.path / "search.json"

    @property
    def best_path(self) -> Path:
        """The configuration file of the best trial."""
        return self.path / "best.toml"

    @property
    def trial(self) -> Path:
        """Where the trial in hand keeps what it needs; gone when it has ended."""
        return self.path / "trial"

    def logs(self, number: int) -> Path:
        """Where TensorBoard finds what a trial logged, if it was asked to log."""
        return self.path / "logs" / f"trial-{number}"

    def write_record(self, record: SearchRecord) -> None:
        """Write ``search.json``, whole."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_whole(self.record_path, as_json(record).encode())

    def clear_trial(self) -> None:
        """Remove what a trial left."""
        shutil.rmtree(self.trial, ignore_errors=True)
