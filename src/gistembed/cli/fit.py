"""``gistembed fit``: flags over a configuration file, then the whole way."""

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
from gistembed.errors import UserError


def fit(
    data: Annotated[
        list[str] | None,
        typer.Argument(help="Pairs: .jsonl, .csv, .tsv, .parquet, a folder of BEIR, …; or several of these."),
    ] = None,
    student: Annotated[str | None, typer.Option(help="Model to train: folder or hub name.")] = None,
    guide: Annotated[
        list[str] | None,
        typer.Option(
            help="What guides: model folder, hub name, URL#MODEL, or vectors; several decide together."
        ),
    ] = None,
    out: Annotated[
        str | None, typer.Option(help="Folder for model, report and record; empty or new.")
    ] = None,
    columns: ColumnNames = None,
    min_score: MinScore = None,
    max_score: MaxScore = None,
    negatives: Annotated[
        str | None, typer.Option(help="Negatives from: both (default), in_batch or explicit.")
    ] = None,
    batches: Annotated[
        str | None, typer.Option(help="Batches of several tasks: mixed (default) or one_task.")
    ] = None,
    mixing: Annotated[
        str | None, typer.Option(help="How often each task comes: proportional, round_robin or temperature.")
    ] = None,
    eval: Annotated[
        str | None, typer.Option(help="Pairs to evaluate on, instead of a held-out share.")
    ] = None,
    retention: Annotated[
        str | None, typer.Option(help="Pairs that show what was forgotten, instead of the built-in ones.")
    ] = None,
    loss: Annotated[
        str | None, typer.Option(help="guided (default), or infonce: the same without guide.")
    ] = None,
    compare_unguided: Annotated[
        bool | None, typer.Option("--compare-unguided", help="Train without the guide too, and compare.")
    ] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the training pairs (3).")] = None,
    steps: Annotated[int | None, typer.Option(help="Optimizer steps, instead of epochs.")] = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    temperature: Temperature = None,
    margin: Margin = None,
    keep_best: Annotated[
        str | None, typer.Option(help="Keep the best model by a metric (nDCG@10, …), not the last.")
    ] = None,
    dev: Annotated[
        float | None, typer.Option(help="Share of the training pairs to choose it by (0.1).")
    ] = None,
    eval_every: Annotated[
        float | None, typer.Option(help="Steps between two scores, or their share (0.1).")
    ] = None,
    patience: Annotated[
        int | None, typer.Option(help="Stop after so many scores without a new best (never).")
    ] = None,
    lora: Annotated[
        int | None,
        typer.Option(metavar="RANK", help="Train adapters of this rank, not the student's weights."),
    ] = None,
    freeze: Annotated[
        str | None, typer.Option(help="Keep as they are: embeddings, or so many first layers too.")
    ] = None,
    matryoshka: Annotated[
        str | None, typer.Option(help="Train for embeddings cut to so many numbers too: 256,128.")
    ] = None,
    seed: Seed = None,
    store: Annotated[str | None, typer.Option(help="Folder of the guide's vectors (user cache).")] = None,
    config: Annotated[
        Path | None, typer.Option(help="TOML file with these and all further settings.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an unfinished run in --out.")] = False,
    dry_run: DryRun = False,
    search: Annotated[str | None, typer.Option(hidden=True)] = None,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the verdict only.")] = False,
) -> None:
    """Fine-tune STUDENT on the pairs of DATA under GUIDE, and score it before and after.

    Writes OUT/model (a plain sentence-transformers folder), OUT/report.html and OUT/run.json, and ends with
    a verdict: better, not distinguishable or worse. `gistembed search` finds good settings for it.
    """
    from gistembed.config import read_toml, run_config

    if search is not None:
        raise UserError(
            f"--search {search}: a search is a command of its own; run `gistembed search --trials {search}` "
            "with the same DATA, --student and --guide, then `gistembed fit --config OUT/best.toml`"
        )
    flags: dict[str, Any] = {
        "data": (data[0] if len(data) == 1 else data) if data else None,
        "student": student,
        "guide": guide or None,
        "out": out,
        "columns": roles_of(columns),
        "min_score": min_score,
        "max_score": max_score,
        "batches": batches,
        "mixing": mixing,
        "eval": eval,
        "retention": retention,
        "loss": loss,
        "compare_unguided": compare_unguided,
        "epochs": epochs,
        "steps": steps,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "temperature": temperature,
        "margin": margin,
        "keep_best": keep_best,
        "dev": dev,
        "eval_every": eval_every,
        "patience": patience,
        "freeze": freeze,
        "matryoshka": matryoshka,
        "seed": seed,
        "store": store,
    }
    given = {name: value for name, value in flags.items() if value is not None}
    settings = read_toml(config) if config is not None else {}
    if "search" in settings:
        raise UserError(
            f"{config}: [search] is what `gistembed search` reads; run it first, or take the table out"
        )
    # What is no table is refused with the other settings.
    if negatives is not None and isinstance(of_file := settings.get("mask", {}), dict):
        settings |= {"mask": of_file | {"negatives": negatives}}
    if lora is not None:
        of_file = settings.get("lora")
        settings |= {"lora": (of_file if isinstance(of_file, dict) else {}) | {"rank": lora}}
    checked = run_config(settings | given, source=str(config) if config is not None else "fit", flags=given)

    from gistembed.cli.tables import score_table
    from gistembed.console import Console
    from gistembed.pipeline import plan_fit, run_fit
    from gistembed.ranks import is_first

    console = Console(quiet=quiet or as_json)
    if dry_run:
        lines = plan_fit(checked, console, resume=resume)
        typer.echo(json.dumps({"plan": lines.splitlines()}) if as_json else lines)
        return
    result = run_fit(checked, console, resume=resume)
    if not is_first():
        return
    if as_json:
        summary = {
            "verdict": result.verdict,
            "model": str(result.model),
            "report": str(result.report),
            "record": result.record.model_dump(mode="json"),
        }
        typer.echo(json.dumps(summary, ensure_ascii=False))
        return
    for evaluation in result.record.evaluations:
        console.show(score_table(evaluation))
    console.say(f"model  {result.model}\nreport {result.report}")
    typer.echo(result.verdict)
