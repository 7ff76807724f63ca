"""The page of a comparison: verdicts, a plot of all effects, the table, and the items that changed most."""

import plotly.graph_objects as go

from gistembed.compare.record import ComparisonRecord
from gistembed.compare.words import corrected_words, headline, p_words
from gistembed.record import Interval, Verdict
from gistembed.report.figures import forest
from gistembed.report.html import render_page


def render_comparison(record: ComparisonRecord) -> str:
    """The comparison as one self-contained HTML page; write it as UTF-8.

    Args:
        record: The comparison.
    """
    charts: dict[str, go.Figure | None] = {}
    for number, challenger in enumerate(record.challengers):
        rows: list[tuple[str, Interval, Verdict]] = []
        if challenger.overall is not None:
            overall = challenger.overall
            rows.append((f"mean of {len(overall.tasks)} tasks", overall.difference, overall.verdict))
        rows += [(effect.task, effect.difference, effect.verdict) for effect in challenger.effects]
        charts[f"effects-{number}"] = forest(rows)
    return render_page(
        "compare.html.j2",
        charts,
        comparison=record,
        baseline=record.sides[0],
        abouts=[headline(one.effects, one.overall) for one in record.challengers],
        retained=[[effect for effect in one.effects if effect.is_retention] for one in record.challengers],
        p_words=p_words,
        corrected_words=corrected_words,
    )
