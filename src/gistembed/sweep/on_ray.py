"""Cells on a Ray cluster: each a task, what guides encode first, and nobody waits for a cell that failed."""

import contextlib
import json
import os
from collections.abc import Callable, Generator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from gistembed.config import OF_GUIDES, RunConfig
from gistembed.console import Console
from gistembed.errors import StorageError, Terminated
from gistembed.guide import GuideWork, do_work
from gistembed.guide.encoding.on_ray import connected
from gistembed.prepare.run import prepare_run
from gistembed.signals import stops_after_step
from gistembed.sweep.cell import fresh_record, run_cell
from gistembed.sweep.plan import Cell
from gistembed.sweep.record import CellRecord

# What texts are encoded, and how, as far as cells seldom differ in the rest.
_OF_VECTORS = ("data", "loss", "guide", *OF_GUIDES)

# Seconds between two looks at whether anybody wants it to stop.
_LOOKS_EVERY = 1.0


def run_cells_on_ray(cells: Sequence[Cell], console: Console) -> Generator[CellRecord]:
    """Run cells on a Ray cluster, one GPU for each where the cluster has some, and one core otherwise.

    The cluster is the one that `gistembed.guide.encoding.on_ray.encode_on_ray` takes. All machines share the
    folders of the sweep, of the store, the data and the models. Cells with the same guides wait until one
    task has encoded what they have in common, so that no text is encoded twice at the same time.

    Args:
        cells: The cells.
        console: Where it is said that signals were heard.

    Yields:
        Each cell's record as it ends. When the generator is closed early, cells in hand stop as they do for
        Ctrl-C, and it waits for them.

    Raises:
        StorageError: If a disk refuses.
        KeyboardInterrupt: If the user interrupts; cells in hand have stopped then.
        Terminated: The same for SIGTERM.
    """
    import ray

    stopping = "stopping the cells in hand when their steps are done; once more stops at once"
    # Signals are noted and looked at: Ray takes SIGTERM for itself as it starts, and makes another error of
    # what is raised while it waits.
    with connected(), stops_after_step(lambda: console.answer(stopping)) as stop:
        gpus = 1 if ray.cluster_resources().get("GPU", 0) >= 1 else 0
        # An attempt that died is not tried again by itself: it may have died of its settings.
        remote = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=0)
        run, encode = remote(_run), remote(_encode)
        encoded: dict[str, Any] = {}
        waiting: dict[Any, Cell] = {}
        for cell in cells:
            key = _vectors_key(cell.config)
            if key not in encoded:
                encoded[key] = encode.remote(cell.config, Path.cwd())
            waiting[run.remote(cell, Path.cwd(), encoded[key])] = cell
        try:
            while waiting:
                ended, _ = ray.wait(list(waiting), timeout=_LOOKS_EVERY)
                if stop:
                    raise Terminated if stop.terminated else KeyboardInterrupt
                for task in ended:
                    yield _outcome(waiting.pop(task), partial(ray.get, task))
        finally:
            for task in [*encoded.values(), *waiting]:
                ray.cancel(task)
            if waiting:
                ray.wait(list(waiting), num_returns=len(waiting))


def _outcome(cell: Cell, get: Callable[[], CellRecord | StorageError]) -> CellRecord:
    """What a task gave back, or how its worker died."""
    from ray.exceptions import RayError

    try:
        ended = get()
    except RayError as error:
        words = (str(error).splitlines() or ["no message"])[0]
        return fresh_record(cell).model_copy(
            update={"status": "failed", "error": f"its worker on the Ray cluster died: {words}"}
        )
    if isinstance(ended, StorageError):
        raise ended
    return ended


def _run(cell: Cell, folder: Path, _encoded: None) -> CellRecord | StorageError:
    """A cell in a worker; an error of the disk is given back, because Ray wraps what is raised."""
    os.chdir(folder)
    try:
        return run_cell(cell, Console(quiet=True))
    except StorageError as error:
        return error
    except KeyboardInterrupt:
        return fresh_record(cell).model_copy(update={"status": "interrupted"})


def _encode(config: RunConfig, folder: Path) -> None:
    """Encode what the guides of a cell are asked; what is wrong with it, the cell will say."""
    os.chdir(folder)
    with contextlib.suppress(Exception):
        console = Console(quiet=True)
        for guide in prepare_run(config, console).guides:
            if isinstance(guide, GuideWork):
                do_work(guide, console, workers=config.guide_workers)


def _vectors_key(config: RunConfig) -> str:
    return json.dumps(config.model_dump(mode="json", include=set(_OF_VECTORS)), sort_keys=True)
