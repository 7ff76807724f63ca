"""``gistembed evaluate``: models on the user's own data and on standard tasks, side by side."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gistembed.cli.options import AsJson, Quiet
from gistembed.errors import UserError

if TYPE_CHECKING:
    from gistembed.evaluate.runs import Evaluated
    from gistembed.evaluate.runs.settings import ModelToScore
    from gistembed.evaluate.tasks import Kind, Task


def evaluate(
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL", help="Folders or hub names; the first is the base.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for results; what is scored there already is kept.")],
    data: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH[=KIND]",
            help="Own data: pairs, pairs with scores or labels, labelled texts, translations, a folder of "
            "BEIR. KIND, where columns don't tell: retrieval, reranking, sts, pair-classification, "
            "classification, clustering or bitext. May be given several times.",
        ),
    ] = None,
    mteb: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Standard tasks by mteb: a benchmark (MTEB(eng, v2)), a task (STS12) or a type (STS). May "
            "be given several times.",
        ),
    ] = None,
    language: Annotated[
        list[str] | None,
        typer.Option(metavar="CODE", help="Of --mteb's tasks and types, only these languages: eng, deu, …"),
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="Columns by role, for one --data: ROLE=NAME,ROLE=NAME.")
    ] = None,
    prompt: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROLE=TEXT",
            help="What every model reads before a text: anchor=… before queries, document=… before "
            "documents, text=… where no text searches another (the model's own).",
        ),
    ] = None,
    max_length: Annotated[int | None, typer.Option(help="Longest input in tokens (the model's own).")] = None,
    dimensions: Annotated[
        int | None, typer.Option(help="How many of the first numbers of an embedding to keep (all).")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Score each MODEL on your own data and on standard tasks, side by side.

    Writes OUT/results/MODEL/REVISION/TASK.json in mteb's form, and beside it TASK.items.parquet with the
    scores of each query, pair or text. Run again, it scores only what is new.

    Example: gistembed evaluate base runs/first/model --data dev.csv --data moods.csv=clustering --out scores
    """
    if not data and not mteb:
        raise UserError("evaluate: there is nothing to score on; give --data or --mteb")

    from gistembed.cli.evaluation_table import evaluation_table
    from gistembed.console import Console
    from gistembed.evaluate.runs import ModelSettings, ResultFolder, parse_prompts, run_evaluation
    from gistembed.evaluate.runs.settings import ModelToScore
    from gistembed.evaluate.tasks import parse_source

    sources = [parse_source(one) for one in data or []]
    if columns is not None and len(sources) != 1:
        raise UserError("--columns: names the columns of one --data; score the others in a run of their own")
    settings = ModelSettings(parse_prompts(prompt or []), max_length, dimensions)
    folder = ResultFolder(out)
    found = _distinct([ModelToScore.find(model, settings) for model in models])
    tasks = _read(sources, columns)
    console = Console(quiet=quiet or as_json)
    # Before own data is scored, so that a mistake in a name costs nobody the wait.
    standard = _standard_tasks(mteb, language)
    failed: dict[str, str] = {}
    evaluated = list(run_evaluation(found, tasks, folder, console))
    if standard:
        from gistembed.evaluate.standard import run_standard

        evaluated += run_standard(found, standard, folder, console, failed)
    if as_json:
        typer.echo(json.dumps([_as_json(one) for one in evaluated], ensure_ascii=False))
    elif evaluated:
        kept = sum(one.was_kept for one in evaluated)
        if kept:
            console.say(f"{kept} of {len(evaluated)} results were there already")
        Console().show(evaluation_table(evaluated))
        console.say(f"results {out / 'results'}")
    if failed:
        raise UserError(
            f"--mteb: not scored, because their data can't be had: {', '.join(failed)} ({_first(failed)}); "
            "run the same command again where the hub can be reached"
        )


def _distinct(models: "list[ModelToScore]") -> "list[ModelToScore]":
    """The models, if no two are one under the same name."""
    seen: set[str] = set()
    for model in models:
        if model.given in seen:
            raise UserError(f"MODEL {model.given}: given twice; give each model once")
        seen.add(model.given)
    return models


def _read(sources: "list[tuple[str, Kind | None]]", columns: str | None) -> "list[Task]":
    """The tasks of some sources, each with a name of its own."""
    from gistembed.evaluate.tasks import read_task
    from gistembed.evaluate.tasks.read import task_names

    tasks: list[Task] = []
    for (source, kind), name in zip(sources, task_names([source for source, _ in sources]), strict=True):
        task = read_task(source, kind=kind, name=name, columns=columns)
        if any(task.name == other.name and task.kind == other.kind for other in tasks):
            raise UserError(f"--data {source}: given twice as {task.kind}; give each once")
        tasks.append(task)
    return tasks


def _standard_tasks(names: list[str] | None, languages: list[str] | None) -> list[Any]:
    """The tasks that mteb has under these names."""
    if not names:
        return []
    from gistembed.evaluate.standard import find_standard

    return find_standard(names, languages)


def _first(failed: dict[str, str]) -> str:
    return next(iter(failed.values()))


def _as_json(one: "Evaluated") -> dict[str, Any]:
    return {
        "model": one.model,
        "task": one.task,
        "kind": one.kind,
        "metric": one.metric,
        "score": one.result.main_score,
        "result": str(one.result.path),
        "kept": one.was_kept,
    }
