"""``gistembed data doctor``: what is wrong with pairs, as a table, and a mended copy."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from gistembed.console import Console
    from gistembed.doctor import Diagnosis, Finding

_STYLES = {"error": "bold red", "warning": "yellow", "note": ""}


def doctor(
    data: Annotated[str, typer.Argument(help="Pairs: .jsonl, .csv, .tsv, .parquet, or a datasets folder.")],
    columns: Annotated[
        str | None, typer.Option(help="Columns by role: anchor=NAME,positive=NAME[,negative=NAME].")
    ] = None,
    eval: Annotated[
        str | None, typer.Option(help="Pairs to evaluate on, which should share nothing with DATA.")
    ] = None,
    student: Annotated[
        str | None, typer.Option(help="Model to train: says which texts are too long for it.")
    ] = None,
    guide: Annotated[
        str | None, typer.Option(help="Model that guides: says which texts are too long for it.")
    ] = None,
    near: Annotated[
        bool, typer.Option("--near/--no-near", help="Look for texts that are nearly the same.")
    ] = True,
    fix: Annotated[
        Path | None, typer.Option(help="Write a copy (.jsonl) without what can be taken out safely.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Results as JSON on standard output.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the last line only.")] = False,
) -> None:
    """Look for what spoils training in DATA; exit code 1 if training is not advisable.

    With --fix, the copy is looked at too, and the exit code is about the copy.
    """
    from gistembed.console import Console
    from gistembed.doctor import check_target, diagnose, mend
    from gistembed.models import load_model
    from gistembed.pairs import parse_columns

    console = Console(quiet=quiet or as_json)
    roles = parse_columns(columns) if columns is not None else None
    if fix is not None:
        check_target(fix)
    models = {
        who: load_model(name, option=f"--{who}", device="cpu")
        for who, name in (("student", student), ("guide", guide))
        if name is not None
    }

    def look(source: str | Path, names: Any) -> "Diagnosis":  # noqa: ANN401 — columns by role, or None
        return diagnose(
            source,
            columns=names,
            evaluation=eval,
            evaluation_columns=roles,
            models=models,
            near_duplicates=near,
            stage=console.stage,
        )

    diagnosis = look(data, roles)
    _show(console, diagnosis)
    found: dict[str, Any] = {"diagnosis": diagnosis.model_dump(mode="json"), "fixed": None}
    line = _last_line(diagnosis)
    if fix is not None:
        mended = mend(data, fix, columns=roles)
        diagnosis = look(fix, None)
        found["fixed"] = {
            "file": str(mended.path),
            "changes_file": str(mended.changes_path),
            "rows": mended.rows,
            "rows_read": mended.rows_read,
            "changes": dict(mended.changes),
            "diagnosis": diagnosis.model_dump(mode="json"),
        }
        line += (
            f"\n{mended.path}: {mended.rows:,} of {mended.rows_read:,} rows, "
            f"{sum(mended.changes.values()):,} changes, listed in {mended.changes_path}\n"
            f"{_last_line(diagnosis)}"
        )
    typer.echo(json.dumps(found, ensure_ascii=False) if as_json else line)
    if not diagnosis.advisable:
        raise typer.Exit(1)


def _show(console: "Console", diagnosis: "Diagnosis") -> None:
    if diagnosis.findings:
        console.show(_table(diagnosis))
    for line in diagnosis.looked_at:
        console.say(line)


def _table(diagnosis: "Diagnosis") -> "Table":
    """One row for each finding: how bad, how often, what, what to do, and where to see it."""
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=f"{diagnosis.rows:,} rows, {diagnosis.pairs:,} pairs, {diagnosis.negatives:,} negatives, "
        f"{diagnosis.distinct_texts:,} distinct texts",
        show_lines=True,
    )
    table.add_column("", no_wrap=True)
    table.add_column("count", justify="right", no_wrap=True)
    table.add_column("finding")
    for finding in diagnosis.findings:
        table.add_row(
            Text(finding.severity, style=_STYLES[finding.severity]),
            Text(f"{finding.count:,}\n{_percent(finding.share)}"),
            _story(finding),
        )
    return table


def _story(finding: "Finding") -> "Text":
    from rich.text import Text

    # Texts of the user's may hold what looks like markup, so nothing here is parsed.
    story = Text(f"{finding.code}\n", style="bold")
    story.append(f"{finding.what}. {finding.advice}", style="not bold")
    for example in finding.examples:
        story.append(f"\n{example.place} {example.text}", style="not bold dim")
    return story


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 or not share else "< 0.1%"


def _last_line(diagnosis: "Diagnosis") -> str:
    counts = {
        severity: sum(finding.severity == severity for finding in diagnosis.findings) for severity in _STYLES
    }
    found = ", ".join(
        f"{count} {severity}{'s' if count > 1 else ''}" for severity, count in counts.items() if count
    )
    verdict = "advisable" if diagnosis.advisable else "not advisable"
    return f"{diagnosis.source}: training is {verdict}; {found or 'nothing was found'}"
