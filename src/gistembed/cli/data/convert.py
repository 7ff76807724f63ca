"""``gistembed data convert``: the same pairs in another format."""

import json
from pathlib import Path
from typing import Annotated

import typer


def convert(
    data: Annotated[str, typer.Argument(help="Pairs in any format that `fit` reads.")],
    out: Annotated[
        Path, typer.Argument(help="New file (.jsonl .csv .tsv .parquet .arrow; .gz .zst) or folder.")
    ],
    to: Annotated[
        str,
        typer.Option(
            help="pairs, sentence-transformers, flagembedding, medi, medi-flat, tevatron, beir, labelled or "
            "triples."
        ),
    ] = "pairs",
    columns: Annotated[
        str | None, typer.Option(help="Columns by role: anchor=NAME,positive=NAME[,negative=NAME].")
    ] = None,
    min_score: Annotated[
        float | None, typer.Option(help="For pairs with scores or labels: positive from here on.")
    ] = None,
    max_score: Annotated[
        float | None, typer.Option(help="The same: up to here, a row is a negative of its anchor.")
    ] = None,
    lossy: Annotated[
        bool, typer.Option("--lossy", help="Leave out what the format has no place for.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Result as JSON on standard output.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing.")] = False,
) -> None:
    """Write the rows of DATA to OUT in another format; refuse where something would be lost."""
    from gistembed.cli.data.options import grades_of
    from gistembed.errors import UserError
    from gistembed.pairs import FORMATS, parse_columns, read_rows, write_rows

    if to not in FORMATS:
        raise UserError(f"--to {to}: unknown; choose one of {', '.join(FORMATS)}")
    roles = parse_columns(columns) if columns is not None else None
    rows = read_rows(data, columns=roles, grades=grades_of(min_score, max_score))
    count = write_rows((row for _, row in rows), out, format=to, lossy=lossy)
    if as_json:
        typer.echo(json.dumps({"file": str(out), "format": to, "rows": count}, ensure_ascii=False))
    elif not quiet:
        typer.echo(f"{count:,} rows in {out}")
