"""The whole sweep: cells one after the other or on a cluster, then a table and a page of what is finished."""

import contextlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gistembed import ranks
from gistembed.console import Console
from gistembed.errors import Terminated, UserError
from gistembed.files import write_whole
from gistembed.folder import alone_in
from gistembed.guide.encoding.on_ray import require_ray
from gistembed.pipeline import plan_fit
from gistembed.sweep.cell import CellConsole, fresh_record, is_finished, run_cell
from gistembed.sweep.folder import RECORD, SweepFolder
from gistembed.sweep.inputs import check_alike, check_still_there
from gistembed.sweep.on_ray import run_cells_on_ray
from gistembed.sweep.page import render_sweep
from gistembed.sweep.plan import Cell, SweepPlan
from gistembed.sweep.record import CellRecord, SweepRecord
from gistembed.sweep.table import SweepTable, sweep_table
from gistembed.sweep.words import cell_line, plan_lines, summary_line
from gistembed.sweep.written import as_csv, as_markdown


@dataclass(frozen=True)
class SweepResult:
    """What a sweep left behind.

    Attributes:
        record: Everything that ``sweep.json`` holds.
        table: Means and intervals of all settings.
        summary: What is best by dev, and what failed, in words.
        csv: The table as a file, with all numbers.
        page: The HTML page.
        failed: How many cells failed.
    """

    record: SweepRecord
    table: SweepTable
    summary: str
    csv: Path
    page: Path
    failed: int


def run_sweep(
    plan: SweepPlan, console: Console, *, resume: bool = False, quiet: bool = False, on_ray: bool = False
) -> SweepResult:
    """Run all cells that are not finished, and write ``table.csv``, ``table.md`` and ``report.html``.

    Args:
        plan: The sweep.
        console: Where its progress is shown.
        resume: Go on with the sweep in its folder: finished cells stay, the others are begun or gone on with.
        quiet: Show no progress of the cells.
        on_ray: Run cells on a Ray cluster, as many at once as it has room for.

    Raises:
        UserError: If the folder holds something else; nothing is written then.
        StorageError: If the disk refuses.
        KeyboardInterrupt: If the user interrupts; what is done so far is kept, and ``resume`` goes on.
        Terminated: The same for SIGTERM.
    """
    if on_ray:
        require_ray()
    _check_alone()
    with alone_in(plan.out / RECORD):
        return _run(plan, console, resume=resume, quiet=quiet, on_ray=on_ray)


def _run(plan: SweepPlan, console: Console, *, resume: bool, quiet: bool, on_ray: bool) -> SweepResult:
    folder, record = _ready(plan, resume=resume)
    waiting = _waiting(plan)
    console.say(plan_lines(plan, len(waiting)))
    folder.write_record(record)
    cells = run_cells_on_ray(waiting, console) if on_ray else _run_here(waiting, console, quiet=quiet)
    try:
        with contextlib.closing(cells):
            for ended in cells:
                record = _with_cell(record, ended)
                folder.write_record(record)
                console.say(cell_line(ended, record))
    except (KeyboardInterrupt, Terminated):
        with contextlib.suppress(OSError):
            folder.write_record(_interrupted(plan, record))
        raise
    failed = sum(cell.status == "failed" for cell in record.cells)
    record = record.model_copy(update={"status": "failed" if failed else "finished"})
    folder.write_record(record)
    return _tabulated(folder, record)


def plan_sweep(plan: SweepPlan, console: Console, *, resume: bool = False) -> str:
    """Say which cells there are, and check the first that is not finished as `fit` does; nothing is written.

    Raises:
        UserError: If the folder holds something else, or that cell can't be run.
    """
    _ready(plan, resume=resume)
    waiting = _waiting(plan)
    lines = [plan_lines(plan, len(waiting))]
    for cell in plan.cells:
        done = "" if cell in waiting else " (finished)"
        lines.append(f"{cell.config.out}{done}")
    if waiting:
        lines += [
            "the first of these that is not finished:",
            plan_fit(waiting[0].config, console, resume=resume),
        ]
    return "\n".join(lines)


def tabulate(plan: SweepPlan) -> SweepResult:
    """Write table and page of the cells that are finished, and run none.

    Raises:
        UserError: If there is no sweep in the folder, or another one.
    """
    folder, record = _ready(plan, resume=True)
    if folder.begun is None:
        raise UserError(f"--out {plan.out}: holds no sweep; leave --table out to begin one")
    before = {cell.name: cell for cell in folder.begun.cells}
    cells = [before.get(cell.name, cell) if cell.status == "waiting" else cell for cell in record.cells]
    return _tabulated(folder, record.model_copy(update={"status": folder.begun.status, "cells": cells}))


def _tabulated(folder: SweepFolder, record: SweepRecord) -> SweepResult:
    table = sweep_table(record, folder)
    summary = summary_line(table)
    write_whole(folder.csv, as_csv(table).encode())
    write_whole(folder.markdown, as_markdown(table).encode())
    write_whole(folder.page, render_sweep(record, table, summary).encode())
    failed = sum(cell.status == "failed" for cell in record.cells)
    return SweepResult(record, table, summary, folder.csv, folder.page, failed)


def _ready(plan: SweepPlan, *, resume: bool) -> tuple[SweepFolder, SweepRecord]:
    """The folder, checked, and the record before the first cell."""
    _check_alone()
    folder = SweepFolder(plan.out, resume=resume)
    if folder.begun is not None:
        _check_same(plan, folder.begun)
        check_alike(_finished(plan))
    before = {cell.name: cell for cell in folder.begun.cells} if folder.begun is not None else {}
    cells = [_known(cell, before.get(cell.name)) for cell in plan.cells]
    axes = {axis.name: list(axis.values) for axis in plan.axes}
    return folder, SweepRecord(
        status="running", base=dict(plan.base), axes=axes, seeds=list(plan.seeds), cells=cells
    )


def _check_alone() -> None:
    if ranks.ranks() > 1:
        raise UserError("sweep: runs in one process; start it without torchrun, or with --ray")


def _waiting(plan: SweepPlan) -> list[Cell]:
    """The cells that are to be run, of the very data and models that the finished ones are of."""
    waiting = [cell for cell in plan.cells if not is_finished(cell.config.out)]
    if waiting:
        check_still_there(_finished(plan), plan.out)
    return waiting


def _finished(plan: SweepPlan) -> list[Cell]:
    return [cell for cell in plan.cells if is_finished(cell.config.out)]


def _known(cell: Cell, before: CellRecord | None) -> CellRecord:
    """What is known of a cell before this attempt; whether it is finished, its own folder says."""
    if is_finished(cell.config.out):
        return (before or fresh_record(cell)).model_copy(update={"status": "finished", "error": None})
    return fresh_record(cell)


def _check_same(plan: SweepPlan, begun: SweepRecord) -> None:
    """What is finished may only be put beside cells of the same base and the same axes."""
    where = f"--resume: the sweep in {plan.out} was begun with"
    names = [axis.name for axis in plan.axes]
    if list(begun.axes) != names:
        raise UserError(
            f"{where} other axes ({', '.join(begun.axes) or 'none'}); use the same [grid], or another --out"
        )
    for name in [*begun.base, *plan.base]:
        before, now = begun.base.get(name), plan.base.get(name)
        if before != now:
            raise UserError(
                f"{where} {name} = {before!r} in its base, not {now!r}; use the same, or another --out"
            )


def _run_here(cells: Sequence[Cell], console: Console, *, quiet: bool) -> Generator[CellRecord]:
    shown = CellConsole(quiet=quiet)
    for number, cell in enumerate(cells, 1):
        console.say(f"{number} of {len(cells)}: {cell.name}")
        yield run_cell(cell, shown)


def _with_cell(record: SweepRecord, ended: CellRecord) -> SweepRecord:
    cells = [ended if cell.name == ended.name else cell for cell in record.cells]
    return record.model_copy(update={"cells": cells})


def _interrupted(plan: SweepPlan, record: SweepRecord) -> SweepRecord:
    """The record of a sweep that was stopped; what was in hand has a folder already."""
    begun = {cell.name for cell in plan.cells if (cell.config.out / "run.json").is_file()}
    cells = [
        cell.model_copy(update={"status": "interrupted"})
        if cell.status == "waiting" and cell.name in begun
        else cell
        for cell in record.cells
    ]
    return record.model_copy(update={"status": "interrupted", "cells": cells})
