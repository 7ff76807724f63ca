"""``gistembed export``: a model for other programs, compared with itself."""

from pathlib import Path
from typing import Annotated, get_args

import typer

from gistembed.cli.options import AsJson, chosen


def export(
    model: Annotated[str, typer.Argument(help="Model: folder or hub name.")],
    out: Annotated[Path, typer.Option(help="New folder for what is exported.")],
    to: Annotated[str, typer.Option(help="onnx, openvino or torch.")],
    merge: Annotated[bool, typer.Option("--merge", help="Merge an adapter into the weights.")] = False,
    int8: Annotated[bool, typer.Option("--int8", help="Keep the weights in int8.")] = False,
    texts: Annotated[
        Path | None, typer.Option(help="Texts to compare on besides the built-in ones, one a line.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Export MODEL, and compare the embeddings of what was written with its own.

    An export whose embeddings differ by more than rounding, or than weights in int8 excuse, is removed again.
    """
    from gistembed.pairs import check_new
    from gistembed.weights import ExportFormat, export_model

    format = chosen("--to", to, get_args(ExportFormat))
    check_new(out, option="--out")
    record = export_model(model, out, format, merge=merge, int8=int8, texts=texts)
    if as_json:
        typer.echo(record.model_dump_json())
        return
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    typer.echo(
        f"{record.format}, {record.precision}, {size / 1e6:,.1f} MB in {out}\n"
        f"embeddings of {record.probes:,} texts differ by at most {record.largest_difference:.2g} of their "
        f"length (allowed: {record.allowed_difference:g})"
    )
