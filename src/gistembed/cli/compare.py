"""``gistembed compare``: is it better, and by how much; runs and models against the first one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gistembed.cli.options import AsJson

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.table import Table

    from gistembed.compare import ComparisonRecord, EffectRecord, OverallRecord


def compare(
    sides: Annotated[
        list[str],
        typer.Argument(
            metavar="SIDE",
            help="A run of `fit` (RUN#base for the model before training), or a sweep; with --scores, a "
            "model. NAME=RUN,RUN or NAME='runs/guided-*' are several that differ in their seed. The first "
            "SIDE is the baseline.",
        ),
    ],
    scores: Annotated[
        Path | None,
        typer.Option(help="Folder that `gistembed evaluate --out` wrote, for models that were scored there."),
    ] = None,
    retention: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TASK",
            help="A task that shows what was forgotten: it stands apart, as that of runs does. May be given "
            "several times.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for compare.json, table.md and report.html.")
    ] = None,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the verdicts only.")] = False,
) -> None:
    """Say whether runs or models are better than the first one, and by how much.

    Item by item and seed by seed, with 95 % intervals and p-values that are corrected for being several.

    Example: gistembed compare plain='runs/plain-*' guided='runs/guided-*' --out compared
    """
    from gistembed.compare import compare_models
    from gistembed.console import Console

    result = compare_models(sides, scores=scores, retention=retention or (), out=out)
    if as_json:
        typer.echo(result.record.model_dump_json())
        return
    console = Console(quiet=quiet)
    for table in effects_tables(result.record):
        console.show(table)
    for warning in result.record.warnings:
        console.warn(warning)
    for line in result.record.method:
        console.say(line)
    if result.page is not None:
        console.say(f"table  {result.markdown}\nreport {result.page}")
    for line in result.lines:
        typer.echo(line)


def effects_tables(record: "ComparisonRecord") -> "Iterator[Table]":
    """For each challenger a table: one row for each task, with the difference to the baseline.

    Args:
        record: The comparison.

    Yields:
        The tables.
    """
    from rich.table import Table
    from rich.text import Text

    for challenger in record.challengers:
        table = Table(title=Text(f"{challenger.name} against {record.sides[0].name}"))
        table.add_column("task", overflow="fold")
        table.add_column("difference, 95 %", justify="right", no_wrap=True)
        table.add_column("corrected p", justify="right")
        table.add_column("verdict", no_wrap=True)
        if (overall := challenger.overall) is not None:
            table.add_row(f"mean of {len(overall.tasks)} tasks", *_cells(overall), style="bold")
        for effect in challenger.effects:
            interval, p, verdict = _cells(effect)
            verdict += f"\n+{effect.wins:,} −{effect.losses:,} ={effect.ties:,}"
            task = Text(f"{effect.task}\n{effect.metric}, {effect.items:,} {effect.unit}")
            table.add_row(task, interval, p, verdict)
        yield table


def _cells(effect: "EffectRecord | OverallRecord") -> tuple[str, str, str]:
    """Difference, corrected p-value and verdict."""
    from gistembed.compare.words import p_words

    difference = effect.difference
    interval = f"{difference.mean:+.3f}\n{difference.low:+.3f} to {difference.high:+.3f}"
    return interval, p_words(effect.corrected_p_value), effect.verdict
