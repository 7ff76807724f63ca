"""The folder that a sweep writes to."""

from pathlib import Path

from gistembed.folder import begun_record, write_record
from gistembed.sweep.record import SweepRecord

RECORD = "sweep.json"


class SweepFolder:
    """An output folder, checked before anything is written.

    Attributes:
        path: The folder.
        begun: Record of the sweep that was begun here; None for a fresh folder.
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
        self.begun = begun_record(self.record_path, SweepRecord, what="a sweep", resume=resume)

    @property
    def record_path(self) -> Path:
        """The sweep's record."""
        return self.path / RECORD

    @property
    def csv(self) -> Path:
        """The table with all numbers."""
        return self.path / "table.csv"

    @property
    def markdown(self) -> Path:
        """The table for people."""
        return self.path / "table.md"

    @property
    def page(self) -> Path:
        """The page with a plot for each axis."""
        return self.path / "report.html"

    def cell(self, name: str) -> Path:
        """The folder of a cell's run."""
        return self.path / "cells" / name

    def write_record(self, record: SweepRecord) -> None:
        """Write ``sweep.json``, whole."""
        write_record(self.record_path, record)
