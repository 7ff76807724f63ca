"""``gistembed sweep``: a file with a base, a grid and seeds; a run for each cell, and one table of all."""

import json
from pathlib import Path
from typing import Annotated

import typer

from gistembed.cli.options import AsJson
from gistembed.errors import UserError

# A cell failed; the others are as they should be.
_SOME_FAILED = 1


def sweep(
    file: Annotated[
        Path, typer.Argument(metavar="SWEEP.toml", help="TOML file with [base], [grid] and seeds.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for all cells, table and page; empty or new.")],
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on: finished cells stay, failed ones are tried again.")
    ] = False,
    table: Annotated[
        bool, typer.Option("--table", help="Table and page of what is finished; run nothing.")
    ] = False,
    ray: Annotated[
        bool, typer.Option("--ray", help="Run cells on a Ray cluster, as many at once as it has room for.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the cells and check the first, write nothing.")
    ] = False,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the last line only.")] = False,
) -> None:
    """Run `fit` for each combination of settings in a grid and each seed, and compare them.

    Writes OUT/cells (a run of `fit` each), OUT/table.csv, OUT/table.md and OUT/report.html. Settings are
    ranked by their dev score, where the base holds dev pairs out (keep_best); never by held-out scores.
    """
    if dry_run and table:
        raise UserError("--dry-run with --table: choose one of them")

    from gistembed.console import Console
    from gistembed.sweep import plan_sweep, read_plan, run_sweep, tabulate

    plan = read_plan(file, out)
    console = Console(quiet=quiet or as_json)
    if dry_run:
        lines = plan_sweep(plan, console, resume=resume)
        typer.echo(json.dumps({"plan": lines.splitlines()}) if as_json else lines)
        return
    if table:
        result = tabulate(plan)
    else:
        result = run_sweep(plan, console, resume=resume, quiet=quiet or as_json, on_ray=ray)
    if as_json:
        summary = {
            "summary": result.summary,
            "table": str(result.csv),
            "report": str(result.page),
            "record": result.record.model_dump(mode="json"),
        }
        typer.echo(json.dumps(summary, ensure_ascii=False))
    else:
        from gistembed.cli.tables import settings_table

        console.show(settings_table(result.table))
        for warning in result.table.warnings:
            console.warn(warning)
        console.say(f"table  {result.csv}\nreport {result.page}")
        typer.echo(result.summary)
    if result.failed:
        raise typer.Exit(_SOME_FAILED)
