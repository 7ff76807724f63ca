"""What a sweep leaves behind beside the runs of its cells: ``sweep.json``."""

from typing import Any, Literal

from gistembed.record import ProgressRecord, Record

CellStatus = Literal["waiting", "finished", "failed", "interrupted"]


class CellRecord(Record):
    """One cell of a sweep.

    Attributes:
        name: Its folder in ``cells``.
        settings: Its value on each axis.
        seed: Its seed.
        status: ``finished``; ``failed`` if it could not be run; ``interrupted`` if it can be gone on with;
            ``waiting`` if it was not begun.
        error: Why it failed.
        seconds: What its last attempt took.
    """

    name: str
    settings: dict[str, Any]
    seed: int
    status: CellStatus = "waiting"
    error: str | None = None
    seconds: float = 0.0


class SweepRecord(ProgressRecord):
    """A whole sweep; its status is ``failed`` where it was gone through and a cell of it failed.

    Attributes:
        base: The settings that all cells share.
        axes: What varies: the values of each setting.
        seeds: The seeds.
        cells: All cells, in the order in which they are run.
    """

    base: dict[str, Any]
    axes: dict[str, list[Any]]
    seeds: list[int]
    cells: list[CellRecord]
