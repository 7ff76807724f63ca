"""``gistembed cotrain``: flags over a configuration file, then rounds in which models guide each other."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from gistembed.cli.options import (
    AsJson,
    BatchSize,
    ColumnNames,
    DryRun,
    LearningRate,
    Margin,
    MaxScore,
    MinScore,
    Seed,
    Temperature,
    roles_of,
)


def cotrain(
    a: Annotated[str, typer.Argument(help="A model: folder or hub name.")],
    b: Annotated[str | None, typer.Argument(help="The other one; left out if A guides itself.")] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(help="Pairs, in any format that `fit` reads; may be given several times."),
    ] = None,
    rounds: Annotated[int, typer.Option(help="The most rounds.")] = 3,
    out: Annotated[str | None, typer.Option(help="Folder for models and record; empty or new.")] = None,
    variant: Annotated[
        str, typer.Option(help="Who guides: mutual (the other model), self, or ema (an average over rounds).")
    ] = "mutual",
    decay: Annotated[
        float | None, typer.Option(help="For ema: share of the average that stays in a round (0.5).")
    ] = None,
    dev: Annotated[
        str, typer.Option(help="What the best round is chosen by: a share of the training pairs, or pairs.")
    ] = "0.1",
    columns: ColumnNames = None,
    min_score: MinScore = None,
    max_score: MaxScore = None,
    eval: Annotated[
        str | None, typer.Option(help="Pairs to evaluate on, instead of a held-out share.")
    ] = None,
    retention: Annotated[
        str | None, typer.Option(help="Pairs that show what was forgotten, instead of the built-in ones.")
    ] = None,
    epochs: Annotated[
        float | None, typer.Option(help="Passes over the training pairs in a round (3).")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Optimizer steps in a round, instead of epochs.")] = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    temperature: Temperature = None,
    margin: Margin = None,
    seed: Seed = None,
    store: Annotated[
        str | None, typer.Option(help="Folder of the base models' vectors (user cache).")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="TOML file with these and further settings of `fit`; [a] and [b] for one."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what is unfinished in --out.")] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the verdicts only.")] = False,
) -> None:
    """Let A and B improve each other on pairs: in each round, a frozen copy of each guides the other.

    Rounds end when neither gains on pairs that are set apart for that. Writes OUT/a and OUT/b (the best round
    of each, plain sentence-transformers folders), all rounds and OUT/cotrain.json, and ends with a verdict
    for each.
    """
    from gistembed.config import read_toml

    flags: dict[str, Any] = {
        "data": (data[0] if len(data) == 1 else data) if data else None,
        "out": out,
        "columns": roles_of(columns),
        "min_score": min_score,
        "max_score": max_score,
        "eval": eval,
        "retention": retention,
        "epochs": epochs,
        "steps": steps,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "temperature": temperature,
        "margin": margin,
        "seed": seed,
        "store": store,
    }
    given = {name: value for name, value in flags.items() if value is not None}
    settings = read_toml(config) if config is not None else {}

    from gistembed.cotraining.config import cotrain_config

    checked = cotrain_config(
        a,
        b,
        settings,
        given,
        rounds=rounds,
        variant=variant,
        decay=decay,
        dev=_share_or_pairs(dev),
        source=str(config) if config is not None else "cotrain",
    )

    from gistembed.cli.tables import round_table, score_table
    from gistembed.console import Console
    from gistembed.cotraining import plan_cotrain, run_cotrain

    console = Console(quiet=quiet or as_json)
    if dry_run:
        lines = plan_cotrain(checked, console, resume=resume)
        typer.echo(json.dumps({"plan": lines.splitlines()}) if as_json else lines)
        return
    result = run_cotrain(checked, console, resume=resume)
    if as_json:
        summary = {
            "verdicts": result.verdicts,
            "models": {key: str(folder) for key, folder in result.models.items()},
            "record": result.record.model_dump(mode="json"),
        }
        typer.echo(json.dumps(summary, ensure_ascii=False))
        return
    console.show(round_table(result.record))
    for key, run in result.record.runs.items():
        console.say(f"{key}: {result.models[key]}")
        for evaluation in run.evaluations:
            console.show(score_table(evaluation))
    for key, verdict in result.verdicts.items():
        typer.echo(f"{key}: {verdict}")


def _share_or_pairs(dev: str) -> float | str:
    try:
        return float(dev)
    except ValueError:
        return dev
