"""The page of a sweep: the table, a plot for each axis, and every cell."""

from dataclasses import dataclass

import plotly.graph_objects as go

from gistembed.record import Interval
from gistembed.report.figures import over_values
from gistembed.report.html import render_page
from gistembed.search.words import settings_line
from gistembed.sweep.profiles import label, marginal, profiles, shown_set
from gistembed.sweep.record import SweepRecord
from gistembed.sweep.table import Row, SweepTable
from gistembed.sweep.words import tied_line, unranked_line
from gistembed.sweep.written import heads, shown_sets
from gistembed.terms import ScoredSet

_MEANINGS: dict[ScoredSet, str] = {
    "dev": "training pairs that were held out to choose by; they chose the step of each cell too",
    "held-out": "pairs that nothing was chosen by",
    "retention": "general questions, or your own: what was forgotten",
}


@dataclass(frozen=True)
class _Plot:
    """Where a plot stands, and its words."""

    id: str
    axis: str
    says: str


def render_sweep(record: SweepRecord, table: SweepTable, summary: str) -> str:
    """The sweep as one self-contained HTML page; write it as UTF-8.

    Args:
        record: The sweep, finished or not.
        table: Its table.
        summary: Its last line.
    """
    data = shown_set(table)
    charts: dict[str, go.Figure | None] = {}
    plots = []
    if data is not None:
        for number, axis in enumerate(table.axes):
            plot = _Plot(f"axis-{number}", axis, _says(data))
            charts[plot.id] = _chart(table, axis, data)
            plots.append(plot)
    return render_page(
        "sweep.html.j2",
        charts,
        sweep=record,
        table=table,
        best=table.best,
        summary=summary,
        unranked=unranked_line(table),
        tied=tied_line(table) if table.best else "",
        heads=heads(table),
        sets=shown_sets(table),
        meanings=_MEANINGS,
        plots=plots,
        in_words=settings_line,
        label=label,
    )


def _chart(table: SweepTable, axis: str, data: ScoredSet) -> go.Figure:
    def scores(row: Row | None) -> Interval | None:
        return None if row is None else row.scores[data].score

    metric = next(row.scores[data].metric for row in table.rows if data in row.scores)
    lines = {name: [scores(row) for row in rows] for name, rows in profiles(table, axis, data).items()}
    return over_values(
        [label(value) for value in table.axes[axis]],
        lines,
        marginal(table, axis, data),
        (axis, f"{data} {metric}"),
    )


def _says(data: ScoredSet) -> str:
    chose = "which chose" if data == "dev" else "which chose nothing"
    return (
        f"Means over seeds and queries on the {data} pairs, {chose}, with 95 % intervals. Values differ more "
        "surely than their bars say: the table compares them query by query."
    )
