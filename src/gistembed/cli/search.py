"""``gistembed search``: flags over a configuration file, then trial after trial."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from gistembed.cli.options import AsJson, ColumnNames, DryRun, Seed, roles_of


def search(
    data: Annotated[
        list[str] | None, typer.Argument(help="Pairs in any format that `fit` reads; or several of these.")
    ] = None,
    student: Annotated[str | None, typer.Option(help="Model to train: folder or hub name.")] = None,
    guide: Annotated[list[str] | None, typer.Option(help="What guides, as for `fit`.")] = None,
    out: Annotated[
        str | None, typer.Option(help="Folder for search.json and best.toml; empty or new.")
    ] = None,
    trials: Annotated[int, typer.Option(min=1, help="How many settings to try.")] = 20,
    timeout: Annotated[
        float | None, typer.Option(min=0, help="Minutes after which no further trial is begun (no limit).")
    ] = None,
    columns: ColumnNames = None,
    loss: Annotated[str | None, typer.Option(help="guided (default), or infonce.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the training pairs (3).")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimizer steps, instead of epochs.")] = None,
    seed: Seed = None,
    store: Annotated[str | None, typer.Option(help="Folder of the guide's vectors (user cache).")] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="TOML file with these, all further settings of `fit`, and a [search] table."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the search in --out, up to --trials.")
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the last line only.")] = False,
) -> None:
    """Try settings of `fit`, and write the best of them as a file for it.

    Every trial trains STUDENT on most of the training pairs and is scored on the others; the held-out pairs
    are not used. Writes OUT/search.json and OUT/best.toml; then: gistembed fit --config OUT/best.toml
    """
    from gistembed.config import read_toml

    flags: dict[str, Any] = {
        "data": (data[0] if len(data) == 1 else data) if data else None,
        "student": student,
        "guide": guide or None,
        "out": out,
        "columns": roles_of(columns),
        "loss": loss,
        "epochs": epochs,
        "steps": steps,
        "seed": seed,
        "store": store,
    }
    given = {name: value for name, value in flags.items() if value is not None}
    settings = read_toml(config) if config is not None else {}
    space = settings.pop("search", None)

    from gistembed.cli.tables import trial_table
    from gistembed.console import Console
    from gistembed.search import SearchPlan, plan_search, run_search

    plan = SearchPlan(
        settings=settings | given,
        flags=frozenset(given),
        space=space,
        source=str(config) if config is not None else "search",
        trials=trials,
        minutes=timeout,
    )
    console = Console(quiet=quiet or as_json)
    if dry_run:
        lines = plan_search(plan, console, resume=resume)
        typer.echo(json.dumps({"plan": lines.splitlines()}) if as_json else lines)
        return
    result = run_search(plan, console, resume=resume)
    if as_json:
        summary = {
            "summary": result.summary,
            "best": str(result.best),
            "record": result.record.model_dump(mode="json"),
        }
        typer.echo(json.dumps(summary, ensure_ascii=False))
        return
    console.show(trial_table(result.record))
    console.say(f"go on with: gistembed fit --config {result.best}")
    typer.echo(result.summary)
