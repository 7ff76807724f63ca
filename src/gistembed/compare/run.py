"""The whole comparison: what the user names, read, put side by side, compared and written."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gistembed import __version__
from gistembed.compare.align import align
from gistembed.compare.effects import effects
from gistembed.compare.page import render_comparison
from gistembed.compare.record import ChallengerRecord, ComparisonRecord, SideRecord
from gistembed.compare.sides import read_sides
from gistembed.compare.words import headline, method_lines, result_warnings, verdict_words
from gistembed.compare.written import as_markdown
from gistembed.errors import UserError
from gistembed.evaluate.bootstrap import CONFIDENCE, RESAMPLES
from gistembed.files import can_be_written, write_whole
from gistembed.folder import write_record

_RECORD = "compare.json"


@dataclass(frozen=True)
class ComparisonResult:
    """What came of a comparison.

    Attributes:
        record: Everything that ``compare.json`` holds.
        lines: The verdict on each challenger, in words.
        markdown: The table as a file; None if nothing was to be written.
        page: The HTML page; None likewise.
    """

    record: ComparisonRecord
    lines: tuple[str, ...]
    markdown: Path | None = None
    page: Path | None = None


def compare_models(
    sides: Sequence[str | os.PathLike[str]],
    *,
    scores: str | os.PathLike[str] | None = None,
    retention: Sequence[str] = (),
    out: str | os.PathLike[str] | None = None,
) -> ComparisonResult:
    """Compare runs or models with the first of them, item by item and seed by seed.

    Args:
        sides: At least two: folders of runs of `fit` (``RUN#base`` for one of its models), of a sweep, or,
            with ``scores``, models; ``NAME=RUN,RUN`` and patterns are several that differ in their seed.
        scores: Output folder of `gistembed evaluate`, for models that were scored there.
        retention: Tasks that show what was forgotten, and stand apart.
        out: Folder for ``compare.json``, ``table.md`` and ``report.html``; None to write nothing.

    Raises:
        UserError: If a side isn't there or isn't scored, or they have nothing in common; nothing is written.
    """
    place = None if out is None else _checked(Path(out))
    found = read_sides([os.fspath(one) for one in sides], None if scores is None else Path(scores))
    aligned = align(found, retention)
    result = effects(aligned)
    names = [side.name for side in found]
    challengers = [
        ChallengerRecord(
            name=name,
            verdict=headline(own, overall).verdict,
            line=verdict_words((name, names[0]), own, overall, aligned.count),
            overall=overall,
            effects=own,
        )
        for name, own, overall in zip(names[1:], result.by_challenger, result.overall, strict=True)
    ]
    record = ComparisonRecord(
        made_with=__version__,
        confidence=CONFIDENCE,
        resamples=RESAMPLES,
        tests=result.tests,
        seeds=aligned.count,
        sides=[
            SideRecord(name=side.name, places=[model.place for model in side.models], seeds=side.seeds)
            for side in found
        ],
        challengers=challengers,
        method=method_lines(aligned, result),
        warnings=[*aligned.warnings, *result_warnings(aligned, result)],
    )
    lines = tuple(one.line for one in challengers)
    if place is None:
        return ComparisonResult(record, lines)
    markdown, page = place / "table.md", place / "report.html"
    place.mkdir(parents=True, exist_ok=True)
    write_whole(markdown, as_markdown(record).encode())
    write_whole(page, render_comparison(record).encode())
    # Last, so that a folder that calls itself a comparison is whole.
    write_record(place / _RECORD, record)
    return ComparisonResult(record, lines, markdown, page)


def _checked(folder: Path) -> Path:
    """The output folder: new, empty, or that of an earlier comparison, which is made anew."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--out {folder}: a file; choose a folder")
    if folder.exists() and any(folder.iterdir()) and not (folder / _RECORD).is_file():
        raise UserError(f"--out {folder}: holds files of something else; choose an empty or a new folder")
    if not can_be_written(folder):
        raise UserError(f"--out {folder}: can't be written; choose another folder")
    return folder
