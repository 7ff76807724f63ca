"""The table of a sweep as files: CSV with all numbers, Markdown for people."""

import csv
import io
from collections.abc import Sequence

from gistembed.report.card import escape_markdown
from gistembed.search.words import setting_words
from gistembed.sweep.table import Row, SweepTable
from gistembed.sweep.words import signed, within
from gistembed.terms import ScoredSet

_OF_INTERVAL = ("", " low", " high")


def as_csv(table: SweepTable) -> str:
    """All numbers: settings, cells, and by data set the score, the gain and the difference to the first row.

    Args:
        table: The table.
    """
    heads = [*table.axes, "seeds", "cells", "failed"]
    for data in table.sets:
        heads += [f"{data} metric", f"{data} queries"]
        for name in ("score", "gain", "against first"):
            heads += [f"{data} {name}{end}" for end in _OF_INTERVAL]
        heads.append(f"{data} verdict against first")
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(heads)
    writer.writerows(
        [
            *(setting_words(row.settings[name]) for name in table.axes),
            " ".join(map(str, row.seeds)),
            row.cells,
            row.failed,
            *(number for data in table.sets for number in _numbers(row, data)),
        ]
        for row in table.rows
    )
    return file.getvalue()


def heads(table: SweepTable) -> list[str]:
    """What the columns of the table for people are called; each says which data set its numbers are of."""
    columns = [*table.axes, "seeds"]
    for data in shown_sets(table):
        metric = next(row.scores[data].metric for row in table.rows if data in row.scores)
        columns.append(f"{data} {metric}" + (" (ranks)" if data == "dev" and table.ranked else ""))
        if data == "held-out":
            columns += ["held-out, against base", "held-out, against the first row"]
    return columns


def lines(table: SweepTable) -> list[list[str]]:
    """The rows of the table for people, as words in its columns."""
    return [_line(row, table) for row in table.rows]


def as_markdown(table: SweepTable) -> str:
    """The table for people, with what a reader should know below it.

    Args:
        table: The table.
    """
    columns = [escape_markdown(head) for head in heads(table)]
    rows = [columns, ["---"] * len(columns)]
    axes = len(table.axes)
    rows += [[*map(escape_markdown, line[:axes]), *line[axes:]] for line in lines(table)]
    text = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    notes = "".join(f"\n- {note}" for note in table.warnings)
    return f"{text}\n" + (f"{notes}\n" if notes else "")


def shown_sets(table: SweepTable) -> Sequence[ScoredSet]:
    """The data sets that are shown to people: a dev set only where it ranks."""
    return [data for data in table.sets if data != "dev" or table.ranked]


def _line(row: Row, table: SweepTable) -> list[str]:
    failed = f", {row.failed} failed" if row.failed else ""
    line = [setting_words(row.settings[name]) for name in table.axes]
    line.append(f"{len(row.seeds)} of {row.cells}{failed}")
    for data in shown_sets(table):
        scores = row.scores.get(data)
        line.append("" if scores is None else within(scores.score))
        if data == "held-out":
            line.append("" if scores is None else signed(scores.gain))
            against = None if scores is None else scores.against_first
            line.append("" if against is None else signed(against))
    return line


def _numbers(row: Row, data: ScoredSet) -> list[str]:
    """A row's numbers on one data set; nothing where it has none."""
    scores = row.scores.get(data)
    if scores is None:
        return [""] * (2 + 3 * len(_OF_INTERVAL) + 1)
    numbers = [scores.metric, str(scores.queries)]
    for interval in (scores.score, scores.gain, scores.against_first):
        if interval is None:
            numbers += [""] * len(_OF_INTERVAL)
        else:
            numbers += [f"{value:.6f}" for value in (interval.mean, interval.low, interval.high)]
    return [*numbers, scores.verdict or ""]
