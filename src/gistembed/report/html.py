"""The HTML report of a run: one page that holds its styles, scripts and charts, and loads nothing."""

import base64
import hashlib
import json
from collections.abc import Mapping
from importlib import resources

import plotly.graph_objects as go
import plotly.offline
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from gistembed.record import RunRecord
from gistembed.report import figures, words
from gistembed.report.mask_words import mask_words


def render_report(record: RunRecord) -> str:
    """The run as one self-contained HTML page; write it as UTF-8.

    Args:
        record: What the run left behind, finished or not.
    """
    return render_page(
        "report.html.j2",
        _charts(record),
        run=record,
        mask=mask_words(record.config),
        held_out=next((e for e in record.evaluations if e.data == "held-out"), None),
        retention=next((e for e in record.evaluations if e.data == "retention"), None),
    )


def render_page(template: str, charts: Mapping[str, go.Figure | None], **content: object) -> str:
    """A self-contained page in the report's style: what comes from outside is escaped, nothing is loaded.

    Args:
        template: Its template, in the report's folder.
        charts: The charts that there is data for, by the id of their place on the page.
        content: What else the template needs, by name.
    """
    scripts = [plotly.offline.get_plotlyjs(), _asset("report.js")]
    return (
        _environment()
        .get_template(template)
        .render(
            style=Markup(_asset("report.css")),
            scripts=[Markup(script) for script in scripts],
            policy=_policy(scripts),
            charts={name: json.loads(chart.to_json()) for name, chart in charts.items() if chart is not None},
            **content,
        )
    )


def _charts(record: RunRecord) -> dict[str, go.Figure | None]:
    """The charts that the record has data for, by the id of their place on the page."""
    charts: dict[str, go.Figure | None] = {}
    for evaluation in record.evaluations:
        charts[f"scores-{evaluation.data}"] = figures.scores(evaluation)
        if evaluation.comparisons:
            charts[f"differences-{evaluation.data}"] = figures.differences(evaluation)
    if record.audit is not None:
        charts["mask-rates"] = figures.mask_rates(record.audit)
        if record.audit.rows_by_masked:
            charts["masked-per-row"] = figures.masked_per_row(record.audit)
    if any(run.history for run in record.trainings):
        charts["loss"] = figures.loss(record.trainings)
        charts["mask-rate-over-time"] = figures.mask_rate(record.trainings)
        charts["accuracy"] = figures.accuracy(record.trainings)
        charts["dev-scores"] = figures.dev_scores(record.trainings)
    return charts


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("gistembed.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["words"] = words
    environment.filters |= {
        "score": words.score,
        "signed": words.signed,
        "percent": words.percent,
        "count": words.count,
        "plural": words.plural,
        "large": words.large,
        "duration": words.duration,
        "moment": words.moment,
        "flat": words.flat,
    }
    return environment


def _policy(scripts: list[str]) -> str:
    """A Content-Security-Policy under which exactly these inline scripts run and nothing is ever loaded."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "base-uri 'none'; form-action 'none'"
    )


def _asset(name: str) -> str:
    return (resources.files("gistembed.report") / "templates" / name).read_text(encoding="utf-8")
