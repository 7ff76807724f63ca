"""``gistembed selftest``: the checks on the user's own models, as a table."""

import json
import math
from typing import Annotated

import typer

from gistembed.cli.options import AsJson


def selftest(
    model: Annotated[str, typer.Argument(help="Model to be trained: folder or hub name.")],
    guide: Annotated[str | None, typer.Option(help="Model that guides; the model itself by default.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check on your own models what training relies on; exit code 1 if a check fails."""
    from gistembed.cli.tables import check_table
    from gistembed.console import Console
    from gistembed.models import load_model
    from gistembed.selftest import check_count, run_selftest

    console = Console(quiet=as_json)
    student = load_model(model, option="MODEL")
    teacher = None if guide is None else load_model(guide, option="--guide")
    count = check_count(with_guide=guide is not None)
    with console.stage("checks", count, passing=True) as progress:
        results = run_selftest(student, teacher, lambda result: progress(1))
    failed = sum(not result.passed for result in results)
    if as_json:
        found = [
            {
                "name": result.name,
                "passed": result.passed,
                "measured": _number(result.measured),
                "allowed": result.allowed,
                "detail": result.detail,
            }
            for result in results
        ]
        typer.echo(json.dumps({"passed": failed == 0, "checks": found}, ensure_ascii=False))
    else:
        console.show(check_table(results))
        # A note that could not be had is a failure too.
        checks = sum(result.allowed is not None or not result.passed for result in results)
        typer.echo(f"{failed} of {checks} checks failed" if failed else f"all {checks} checks passed")
    if failed:
        raise typer.Exit(1)


def _number(measured: float | None) -> float | None:
    """JSON knows no NaN and no infinity."""
    return measured if measured is not None and math.isfinite(measured) else None
