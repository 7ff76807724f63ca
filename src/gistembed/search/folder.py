"""The folder that a search writes to: what may stand in it before, and what stands in it after."""

import shutil
from pathlib import Path

from gistembed.files import write_whole
from gistembed.folder import begun_record
from gistembed.search.record import SearchRecord, as_json

RECORD = "search.json"


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
        self.begun = begun_record(self.record_path, SearchRecord, what="a search", resume=resume)

    @property
    def record_path(self) -> Path:
        """The search's record."""
        return self.path / RECORD

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
