"""``gistembed data convert``: the same pairs in another format."""

import json
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from gistembed.cli.data.renamed import and_renamed
from gistembed.cli.options import AsJson, ColumnNames, Data, MaxScore, MinScore, chosen, grades_of, roles_of


def convert(
    data: Data,
    out: Annotated[
        Path, typer.Argument(help="New file (.jsonl .csv .tsv .parquet .arrow; .gz .zst) or folder.")
    ],
    columns: ColumnNames = None,
    min_score: MinScore = None,
    max_score: MaxScore = None,
    to: Annotated[
        str,
        typer.Option(
            help="pairs, sentence-transformers, flagembedding, medi, medi-flat, tevatron, beir, labelled or "
            "triples."
        ),
    ] = "pairs",
    lossy: Annotated[
        bool, typer.Option("--lossy", help="Leave out what the format has no place for.")
    ] = False,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing.")] = False,
) -> None:
    """Write the rows of DATA to OUT in another format; refuse where something would be lost."""
    from gistembed.pairs import FORMATS, read_rows, write_rows
    from gistembed.pairs.wording import counted, reasons

    chosen("--to", to, FORMATS)
    left_out: Counter[str] = Counter()
    renamed: dict[str, str] = {}
    grades = grades_of(min_score, max_score)
    rows = read_rows(data, columns=roles_of(columns), grades=grades, left_out=left_out)
    count = write_rows((row for _, row in rows), out, format=to, lossy=lossy, on_renamed=renamed.__setitem__)
    if as_json:
        found = {"file": str(out), "format": to, "rows": count, "left_out": left_out, "renamed": renamed}
        typer.echo(json.dumps(found, ensure_ascii=False))
    elif not quiet:
        typer.echo(f"{counted(count, 'row')} in {out}{and_renamed(renamed)}")
        if left_out:
            typer.echo(f"left out: {reasons(left_out)}")
