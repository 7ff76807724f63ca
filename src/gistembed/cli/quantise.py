"""``gistembed quantise``: what fewer bits and dimensions of embeddings do to retrieval."""

from typing import Annotated

import typer

from gistembed.cli.options import AsJson, ColumnNames, Data, MaxScore, MinScore, Quiet, grades_of, roles_of


def quantise(
    model: Annotated[str, typer.Argument(help="Model: folder or hub name.")],
    data: Data,
    dimensions: Annotated[
        str | None,
        typer.Option(help="How many of the first numbers to keep: 256,128 (a half and a quarter)."),
    ] = None,
    columns: ColumnNames = None,
    min_score: MinScore = None,
    max_score: MaxScore = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Score the embeddings of MODEL on the pairs of DATA as float32, float16, int8 and binary.

    Nothing is written.
    """
    from gistembed.cli.weight_tables import quantisation_table
    from gistembed.console import Console
    from gistembed.evaluate import RetrievalTask
    from gistembed.models import load_model
    from gistembed.pairs import read_pairs
    from gistembed.weights import quantisation

    sizes = None if dimensions is None else _numbers(dimensions)
    pairs = read_pairs(data, columns=roles_of(columns), grades=grades_of(min_score, max_score))
    task = RetrievalTask.from_pairs(pairs, pairs.source)
    scored = load_model(model, option="MODEL")
    console = Console(quiet=quiet or as_json)
    with console.stage("embed", len(task.queries) + len(task.documents), passing=True) as progress:
        record = quantisation(scored, task, dimensions=sizes, on_progress=progress)
    if as_json:
        typer.echo(record.model_dump_json())
    else:
        Console().show(quantisation_table(record))


def _numbers(given: str) -> list[int]:
    from gistembed.errors import UserError

    try:
        return [int(number) for number in given.split(",")]
    except ValueError as error:
        raise UserError(
            f"--dimensions {given}: give whole numbers with commas between them, as 256,128"
        ) from error
