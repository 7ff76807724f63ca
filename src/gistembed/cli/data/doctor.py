"""``gistembed data doctor``: what is wrong with pairs, as a table, and a mended copy."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gistembed.cli.data.renamed import and_renamed
from gistembed.cli.options import AsJson, ColumnNames, Data, MaxScore, MinScore, grades_of, roles_of

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from gistembed.console import Console
    from gistembed.doctor import Diagnosis, Finding, Reading
    from gistembed.models import EmbeddingModel

_STYLES = {"error": "bold red", "warning": "yellow", "note": ""}


def doctor(
    data: Data,
    columns: ColumnNames = None,
    min_score: MinScore = None,
    max_score: MaxScore = None,
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
        Path | None, typer.Option(help="New file for a copy without what can be taken out safely.")
    ] = None,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the last line only.")] = False,
) -> None:
    """Look for what spoils training in DATA; exit code 1 if training is not advisable.

    With --fix, the copy is looked at too, and the exit code is about the copy.
    """
    from gistembed.console import Console
    from gistembed.doctor import PLAIN, Reading, check_fix, diagnose, mend
    from gistembed.pairs.wording import counted

    console = Console(quiet=quiet or as_json)
    reading = Reading(roles_of(columns), grades_of(min_score, max_score))
    if fix is not None:
        check_fix(fix)
    models = _models({"student": student, "guide": guide})

    def look(source: str | Path, how: "Reading") -> "Diagnosis":
        return diagnose(
            source,
            how,
            evaluation=eval,
            evaluation_reading=reading,
            models=models,
            near_duplicates=near,
            stage=console.stage,
        )

    diagnosis = look(data, reading)
    _show(console, diagnosis)
    found: dict[str, Any] = {"diagnosis": diagnosis.model_dump(mode="json"), "fixed": None}
    line = _last_line(diagnosis)
    if fix is not None:
        mended = mend(data, fix, reading)
        diagnosis = look(fix, PLAIN)
        found["fixed"] = {
            "file": str(mended.path),
            "changes_file": str(mended.changes_path),
            "rows": mended.rows,
            "rows_read": mended.rows_read,
            "changes": dict(mended.changes),
            "renamed": dict(mended.renamed),
            "diagnosis": diagnosis.model_dump(mode="json"),
        }
        line += (
            f"\n{mended.path}: {mended.rows:,} of {counted(mended.rows_read, 'row')}, "
            f"{counted(sum(mended.changes.values()), 'change')}, listed in {mended.changes_path}"
            f"{and_renamed(mended.renamed)}\n"
            f"{_last_line(diagnosis)}"
        )
    typer.echo(json.dumps(found, ensure_ascii=False) if as_json else line)
    if not diagnosis.advisable:
        raise typer.Exit(1)


def _models(names: dict[str, str | None]) -> "dict[str, EmbeddingModel]":
    """The models whose limits texts should keep to, by what they are in a run."""
    from gistembed.errors import UserError
    from gistembed.guide import is_columns, is_endpoint, is_given
    from gistembed.models import load_model

    models = {}
    for who, name in names.items():
        if name is None:
            continue
        if is_endpoint(name) or is_columns(name) or is_given(name):
            raise UserError(
                f"--{who} {name}: only a model that is loaded here says how long a text may be; give "
                "its folder or hub name, or leave the option out"
            )
        models[who] = load_model(name, option=f"--{who}", device="cpu")
    return models


def _show(console: "Console", diagnosis: "Diagnosis") -> None:
    if diagnosis.findings:
        console.show(_table(diagnosis))
    for line in diagnosis.looked_at:
        console.say(line)


def _table(diagnosis: "Diagnosis") -> "Table":
    """One row for each finding: how bad, how often, what, what to do, and where to see it."""
    from rich.table import Table
    from rich.text import Text

    from gistembed.pairs.wording import counted

    sizes = {
        "row": diagnosis.rows,
        "pair": diagnosis.pairs,
        "negative": diagnosis.negatives,
        "distinct text": diagnosis.distinct_texts,
    }
    table = Table(title=", ".join(counted(size, word) for word, size in sizes.items()), show_lines=True)
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
    from gistembed.pairs.wording import counted

    counts = {
        severity: sum(finding.severity == severity for finding in diagnosis.findings) for severity in _STYLES
    }
    found = ", ".join(counted(count, severity) for severity, count in counts.items() if count)
    verdict = "advisable" if diagnosis.advisable else "not advisable"
    return f"{diagnosis.source}: training is {verdict}; {found or 'nothing was found'}"
