"""The report's charts as plotly figures, coloured by the page's CSS variables so as to follow its theme."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import plotly.graph_objects as go

from gistembed.record import AuditRecord, EvaluationRecord, Interval, TrainingRecord, Verdict
from gistembed.report import words

MASK_RATE = "mask_rate/"
ACCURACY = "in_batch_accuracy"

SYMBOLS = {"base": "circle", "unguided": "square", "guided": "diamond"}
DASHES = {"ap": "solid", "aa": "dash", "an": "dashdot", "pp": "dot", "pa": "longdash"}
# As many that no two of the lines that are named have mark and dash in common.
_MARKS = ("circle", "square", "triangle-up", "x", "star", "cross", "triangle-down")
# More lines than these are told apart under the pointer, not by a legend.
_MOST_NAMED = 8
TONES = {"better": "better", "not distinguishable": "same", "worse": "worse"}


def scores(evaluation: EvaluationRecord) -> go.Figure:
    """The verdict's metric of every model, as dots with intervals."""
    figure = _figure(height=84 + 44 * len(evaluation.scores))
    for model, by_metric in evaluation.scores.items():
        if (interval := by_metric.get(evaluation.metric)) is not None:
            figure.add_trace(_dot(model, interval, words.score, model, SYMBOLS.get(model, "circle")))
    figure.update_xaxes(title_text=evaluation.metric, nticks=6)
    return _rows(figure)


def differences(evaluation: EvaluationRecord) -> go.Figure:
    """Every comparison's difference with its interval, against a line at no difference."""
    figure = _figure(height=84 + 44 * len(evaluation.comparisons))
    for comparison in evaluation.comparisons:
        name = f"{comparison.challenger} − {comparison.baseline}"
        figure.add_trace(_dot(name, comparison.difference, words.signed, TONES[comparison.verdict]))
    figure.add_vline(x=0, line_color="var(--ink-2)", line_width=1, line_dash="dot")
    figure.update_xaxes(title_text=f"difference in {evaluation.metric}", nticks=6, tickformat=".3~f")
    return _rows(figure)


def forest(rows: Sequence[tuple[str, Interval, Verdict]]) -> go.Figure:
    """Effects with their intervals, one below the other, against a line at no effect.

    Args:
        rows: What each is on, the effect, and what it says; the first comes on top.
    """
    figure = _figure(height=84 + 44 * len(rows))
    for name, effect, verdict in rows:
        symbol = {"better": "triangle-up", "worse": "triangle-down"}.get(verdict, "circle")
        figure.add_trace(_dot(_literal(name), effect, words.signed, TONES[verdict], symbol))
    figure.add_vline(x=0, line_color="var(--ink-2)", line_width=1, line_dash="dot")
    figure.update_xaxes(title_text="difference, with its 95 % interval", nticks=6, tickformat=".3~g")
    return _rows(figure)


def mask_rates(audit: AuditRecord) -> go.Figure:
    """Share of the candidates that the guide acts on, and of those that are a row's own, by block."""
    figure = _figure(height=96 + 40 * len(audit.mask_rate))
    for label, rates, color in (
        ("by the guide", audit.mask_rate, "guided"),
        ("as the row's own", audit.known_rate, "base"),
    ):
        figure.add_trace(
            go.Bar(
                name=label,
                orientation="h",
                y=list(audit.mask_rate),
                x=[100 * rates.get(block, 0) for block in audit.mask_rate],
                customdata=[words.BLOCKS.get(block, block) for block in audit.mask_rate],
                marker_color=f"var(--{color})",
                hovertemplate="%{customdata}: %{x:.3~g} %<extra></extra>",
            )
        )
    figure.update_layout(barmode="stack", bargap=0.45)
    figure.update_xaxes(ticksuffix=" %", rangemode="tozero", nticks=6)
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure


def masked_per_row(audit: AuditRecord) -> go.Figure:
    """On how many candidates of a row the guide acts, as a histogram over rows."""
    figure = _figure(height=220)
    figure.add_trace(
        go.Bar(
            x=words.bin_labels(audit.masked_edges),
            y=audit.rows_by_masked,
            marker_color="var(--guided)",
            hovertemplate="%{x} in %{y:,} rows<extra></extra>",
        )
    )
    figure.update_layout(bargap=0.18, showlegend=False)
    figure.update_xaxes(title_text="candidates of a row", type="category", showgrid=False, tickangle=0)
    figure.update_yaxes(title_text="rows", nticks=5)
    return figure


def loss(trainings: list[TrainingRecord]) -> go.Figure:
    """The training loss of every run."""
    return _over_time(
        (
            _line(run.model, run.model, [(point.step, point.loss) for point in run.history])
            for run in trainings
        ),
        "loss",
    )


def mask_rate(trainings: list[TrainingRecord]) -> go.Figure | None:
    """The mask rate of every block during training; None if no run logged one."""
    lines = []
    for run in trainings:
        for block, dash in DASHES.items():
            name = MASK_RATE + block
            points = [(at.step, 100 * at.metrics[name]) for at in run.history if name in at.metrics]
            if points:
                lines.append(_line(block, run.model, points, dash))
    return _over_time(lines, "share", " %") if lines else None


def accuracy(trainings: list[TrainingRecord]) -> go.Figure | None:
    """The in-batch accuracy of every run; None if no run logged one."""
    lines = []
    for run in trainings:
        points = [(at.step, 100 * at.metrics[ACCURACY]) for at in run.history if ACCURACY in at.metrics]
        if points:
            lines.append(_line(run.model, run.model, points))
    return _over_time(lines, "right", " %") if lines else None


def dev_scores(trainings: list[TrainingRecord]) -> go.Figure | None:
    """The score on the pairs that the best model was chosen by, over training; None if none was chosen."""
    chosen = [(run.model, run.best) for run in trainings if run.best]
    if not chosen:
        return None
    figure = _over_time((_line(model, model, best.curve) for model, best in chosen), chosen[0][1].metric)
    for model, best in chosen:
        figure.add_trace(
            go.Scatter(
                x=[best.step],
                y=[best.score],
                mode="markers",
                marker={"color": f"var(--{model})", "size": 10, "symbol": SYMBOLS[model]},
                hovertemplate="kept: %{y:.4f} at step %{x:,}<extra></extra>",
                showlegend=False,
            )
        )
    return figure


def over_values(
    values: Sequence[str],
    lines: Mapping[str, Sequence[Interval | None]],
    mean: Sequence[Interval] | None,
    titles: tuple[str, str],
) -> go.Figure:
    """Scores at several values of a setting: a line for each choice of the other settings, and their mean.

    Args:
        values: The values, as words.
        lines: Scores at each value by what the other settings are, in words; None where there is none.
        mean: Means over the lines that are whole; None if none is. If any, intervals are shown of these.
        titles: What the values are of, and what the scores are.
    """
    values, named = [_literal(value) for value in values], 1 < len(lines) <= _MOST_NAMED
    legend = 22 * (len(lines) + 1) if named else 0
    figure = _figure(height=290 + legend)
    for place, (name, scores) in enumerate(lines.items() if mean is None or len(lines) > 1 else ()):
        dash, symbol = list(DASHES.values())[place % len(DASHES)], _MARKS[place % len(_MARKS)]
        trace = _scores_at(values, scores, name, bars=mean is None)
        trace.update(line={"color": "var(--base)", "width": 1.5, "dash": dash}, showlegend=named)
        figure.add_trace(trace.update(marker={"color": "var(--base)", "size": 7, "symbol": symbol}))
    if mean is not None:
        name = "mean of these" if len(lines) > 1 else titles[1]
        trace = _scores_at(values, mean, name, bars=True)
        trace.update(line={"color": "var(--guided)", "width": 2.5})
        figure.add_trace(trace.update(marker={"color": "var(--guided)", "size": 10, "symbol": "diamond"}))
    figure.update_layout(
        showlegend=named,
        legend={"orientation": "v", "x": 0, "y": 0, "yref": "container", "yanchor": "bottom"},
        margin={"b": 64 + legend},
    )
    # All values have a place, in their order, whichever of them have scores.
    figure.update_xaxes(
        title_text=_literal(titles[0]),
        type="category",
        categoryorder="array",
        categoryarray=values,
        range=[-0.5, len(values) - 0.5],
        showgrid=False,
    )
    figure.update_yaxes(title_text=titles[1], nticks=6, tickformat=".3~f")
    return figure


def _scores_at(
    values: Sequence[str], scores: Sequence[Interval | None], name: str, *, bars: bool
) -> go.Scatter:
    """Means at those values that have one, with their intervals as bars or under the pointer only."""
    there = [(value, one) for value, one in zip(values, scores, strict=True) if one is not None]
    trace = go.Scatter(
        name=_literal(name),
        x=[value for value, _ in there],
        y=[one.mean for _, one in there],
        mode="lines+markers",
        customdata=[words.within(one, words.score) for _, one in there],
        hovertemplate="%{customdata}",
    )
    if bars:
        trace.update(
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [one.high - one.mean for _, one in there],
                "arrayminus": [one.mean - one.low for _, one in there],
                "thickness": 2,
                "width": 5,
            }
        )
    return trace


def _literal(text: str) -> str:
    """Words of a user, which Plotly would read as markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _figure(height: int) -> go.Figure:
    """An empty chart in the page's colours: no background of its own, no zoom that traps a finger."""
    figure = go.Figure()
    axis = {
        "gridcolor": "var(--line)",
        "zeroline": False,
        "fixedrange": True,
        "automargin": True,
        "title": {"standoff": 8, "font": {"size": 13}},
        "ticks": "outside",
        "ticklen": 6,
        "tickcolor": "rgba(0,0,0,0)",
    }
    figure.update_layout(
        template="none",
        height=height,
        margin={"l": 8, "r": 12, "t": 8, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": "var(--ink-2)", "size": 13},
        hoverlabel={
            "bgcolor": "var(--surface)",
            "bordercolor": "var(--line)",
            "font": {"color": "var(--ink)"},
        },
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "traceorder": "normal"},
        dragmode=False,
        xaxis=axis,
        yaxis=axis,
    )
    return figure


def _rows(figure: go.Figure) -> go.Figure:
    """One named row for each trace, the first one on top."""
    figure.update_layout(showlegend=False)
    figure.update_yaxes(range=[len(figure.data) - 0.5, -0.65], showgrid=False, type="category")
    return figure


def _dot(
    name: str, value: Interval, say: Callable[[float], str], color: str, symbol: str = "circle"
) -> go.Scatter:
    """A mean as a dot in the row ``name``, with its interval as a bar and its value above."""
    ink = f"var(--{color})" if color in {*SYMBOLS, *TONES.values()} else "var(--ink-2)"
    return go.Scatter(
        x=[value.mean],
        y=[name],
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [value.high - value.mean],
            "arrayminus": [value.mean - value.low],
            "thickness": 2,
            "width": 5,
        },
        mode="markers+text",
        text=[say(value.mean)],
        textposition="top center",
        textfont={"color": "var(--ink)", "size": 13},
        marker={"color": ink, "size": 11, "symbol": symbol},
        hovertemplate=f"{words.within(value, say)}<extra></extra>",
        cliponaxis=False,
    )


def _line(name: str, color: str, points: list[tuple[int, float]], dash: str = "solid") -> go.Scatter:
    """One measure over the steps of one run."""
    return go.Scatter(
        name=name,
        x=[step for step, _ in points],
        y=[value for _, value in points],
        mode="lines+markers" if len(points) < 3 else "lines",
        line={"color": f"var(--{color})" if color in SYMBOLS else "var(--ink-2)", "width": 2, "dash": dash},
    )


def _over_time(lines: Iterable[go.Scatter], title: str, suffix: str = "") -> go.Figure:
    """Lines over steps, all values under the pointer shown together."""
    figure = _figure(height=260)
    figure.add_traces(list(lines))
    figure.update_traces(hovertemplate=f"%{{y:.3~g}}{suffix}")
    figure.update_layout(hovermode="x unified", showlegend=True)
    figure.update_xaxes(title_text="step", showgrid=False, nticks=6)
    figure.update_yaxes(title_text=title, ticksuffix=suffix, rangemode="tozero", nticks=5)
    return figure
