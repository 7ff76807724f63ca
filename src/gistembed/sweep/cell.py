"""One cell: a run of `fit` in a folder of its own, whose failure is a line and not the end of the others."""

import json
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gistembed.config import RunConfig
from gistembed.console import Console
from gistembed.errors import StorageError, UserError
from gistembed.files import storage_error
from gistembed.pipeline import run_fit
from gistembed.sweep.plan import Cell
from gistembed.sweep.record import CellRecord

_TRACEBACK = "traceback.txt"


class CellConsole(Console):
    """Shows a cell's stages while they last; what its run has to say stands in its own report."""

    def say(self, text: str) -> None:
        """Nothing."""

    def warn(self, text: str) -> None:
        """Nothing."""

    @contextmanager
    def stage(self, name: str, total: int, *, passing: bool = True) -> Iterator[Callable[[int], None]]:
        """A progress bar that goes away when the stage is done, whatever is asked for."""
        with super().stage(name, total, passing=True) as progress:
            yield progress


def fresh_record(cell: Cell) -> CellRecord:
    """The record of a cell that was not begun."""
    return CellRecord(name=cell.name, settings=dict(cell.settings), seed=cell.seed)


def is_finished(out: Path) -> bool:
    """Whether a cell's folder holds a finished run."""
    return _status_in(out) == "finished"


def run_cell(cell: Cell, console: Console) -> CellRecord:
    """Run a cell, from where it stopped if it was begun.

    Args:
        cell: The cell.
        console: Where its progress is shown.

    Returns:
        Its record: finished or failed.

    Raises:
        StorageError: If the disk refuses, as it would refuse the other cells.
        KeyboardInterrupt: If the user interrupts; `run_cell` goes on from there.
        Terminated: The same for SIGTERM.
    """
    started = time.perf_counter()
    error = None
    try:
        run_fit(cell.config, console, resume=_status_in(cell.config.out) is not None)
    except StorageError:
        raise
    except UserError as problem:
        error = str(problem)
    except OSError as problem:
        refused = storage_error(problem)
        if isinstance(refused, StorageError):
            raise
        error = str(refused)
    except Exception as problem:
        # Whatever it is, other settings may not have it: no memory for this batch, a bug of a library.
        words = (str(problem).splitlines() or ["no message"])[0]
        error = f"{type(problem).__name__}: {words}"
        _keep_traceback(cell.config)
    else:
        (cell.config.out / _TRACEBACK).unlink(missing_ok=True)
    seconds = round(time.perf_counter() - started, 3)
    ended = {"status": "failed" if error else "finished", "error": error, "seconds": seconds}
    return fresh_record(cell).model_copy(update=ended)


def _status_in(out: Path) -> str | None:
    """The status of the run in a folder; None where none was begun."""
    try:
        status = json.loads((out / "run.json").read_bytes())["status"]
    except (OSError, ValueError, KeyError):
        return None
    return str(status)


def _keep_traceback(config: RunConfig) -> None:
    """For whoever looks into an error that is no mistake of the user, if the run has begun."""
    if config.out.is_dir():
        (config.out / _TRACEBACK).write_text(traceback.format_exc(), encoding="utf-8")
