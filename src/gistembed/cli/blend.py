"""``gistembed blend``: a model between the one before training and the one after."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gistembed.cli.options import AsJson, ColumnNames, MaxScore, MinScore, Quiet, grades_of, roles_of

if TYPE_CHECKING:
    from gistembed.console import Console
    from gistembed.evaluate import RetrievalTask
    from gistembed.weights import Blend, BlendChoice

_HALF = 0.5


def blend(
    base: Annotated[str, typer.Argument(help="Model before training: folder or hub name.")],
    tuned: Annotated[str, typer.Argument(help="Model after training.")],
    out: Annotated[Path, typer.Option(help="New folder for the blended model.")],
    alpha: Annotated[float | None, typer.Option(help="Share of TUNED, from 0 to 1 (0.5).")] = None,
    data: Annotated[
        str | None,
        typer.Option(help="Pairs to choose the share on, in any format that `fit` reads."),
    ] = None,
    retention: Annotated[
        str | None, typer.Option(help="Pairs that show what was forgotten, instead of the built-in ones.")
    ] = None,
    least_retention: Annotated[
        float | None, typer.Option(help="Share of BASE's retention score that has to be left (0.95).")
    ] = None,
    columns: ColumnNames = None,
    min_score: MinScore = None,
    max_score: MaxScore = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write the model with weights (1 - alpha) BASE + alpha TUNED.

    With --data, alpha is chosen from 0, 0.1, … 1: the highest mean of the two relative changes on these pairs
    and on the retention pairs, among blends that keep enough of BASE's retention score.
    """
    from gistembed.errors import UserError

    if alpha is not None and data is not None:
        raise UserError("--alpha: would be chosen on --data; give one of the two")
    if data is None:
        given = {
            "--retention": retention,
            "--least-retention": least_retention,
            "--columns": columns,
            "--min-score": min_score,
            "--max-score": max_score,
        }
        for option, value in given.items():
            if value is not None:
                raise UserError(f"{option}: has no effect without --data; give both")

    from gistembed.console import Console
    from gistembed.evaluate import RETENTION_NAME, RetrievalTask, retention_path
    from gistembed.pairs import check_new, read_pairs
    from gistembed.weights import LEAST_RETENTION, Blend, BlendRecord

    console = Console(quiet=quiet or as_json)
    check_new(out, option="--out")
    least = LEAST_RETENTION if least_retention is None else least_retention
    if not 0 <= least <= 1:
        raise UserError(f"--least-retention {least:g}: choose from 0 to 1")
    tasks = None
    if data is not None:
        dev = read_pairs(data, columns=roles_of(columns), grades=grades_of(min_score, max_score))
        known = read_pairs(retention or retention_path())
        name = RETENTION_NAME if retention is None else known.source
        tasks = (RetrievalTask.from_pairs(dev, dev.source), RetrievalTask.from_pairs(known, name))
    models = Blend(base, tuned)
    if dict(models.base.prompts) != dict(models.tuned.prompts):
        console.warn("the prompts of BASE and TUNED differ; the blend has those of TUNED")
    chosen, choice = (_HALF if alpha is None else alpha), None
    if tasks is not None:
        chosen, choice = _choose(models, *tasks, least, console)
    record = BlendRecord(
        base=base,
        base_identity=models.base.identity,
        tuned=tuned,
        tuned_identity=models.tuned.identity,
        alpha=chosen,
        choice=choice,
    )
    models.save(out, record)
    typer.echo(record.model_dump_json() if as_json else f"{1 - chosen:g} BASE + {chosen:g} TUNED in {out}")


def _choose(
    models: "Blend", dev: "RetrievalTask", retention: "RetrievalTask", least: float, console: "Console"
) -> "tuple[float, BlendChoice]":
    from gistembed.cli.weight_tables import trial_table
    from gistembed.weights import GRID, choose_alpha

    texts = sum(len(task.queries) + len(task.documents) for task in (dev, retention))
    with console.stage("score the blends", len(GRID) * texts, passing=True) as progress:
        alpha, choice = choose_alpha(models, dev, retention, least_retention=least, on_progress=progress)
    console.show(trial_table(choice, alpha))
    console.say(f"chosen: {alpha:g}; {choice.rule}")
    if alpha == 0:
        console.warn("no share of TUNED does better than BASE; what is written is BASE")
    return alpha, choice
