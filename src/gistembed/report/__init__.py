"""The report page and the model card of a run, both made from its record alone."""

from gistembed.record import RunRecord


def render_report(record: RunRecord) -> str:
    """The run as one self-contained HTML page; write it as UTF-8.

    Args:
        record: What the run left behind, finished or not.
    """
    # plotly and jinja2 are only needed here, and `import gistembed` should not wait for them.
    from gistembed.report.html import render_report as render

    return render(record)


def render_card(record: RunRecord) -> str:
    """The model card of the run's model, Markdown with the front matter that Hugging Face reads.

    Args:
        record: What the run left behind, finished or not.
    """
    from gistembed.report.card import render_card as render

    return render(record)
