"""Tables for the terminal: blends of two models, and embeddings in several forms."""

from rich.table import Table
from rich.text import Text

from gistembed.cli.tables import signed
from gistembed.weights import BlendChoice, QuantisationRecord


def trial_table(choice: BlendChoice, alpha: float) -> Table:
    """One row for each blend; the chosen one is bold.

    Args:
        choice: What was scored.
        alpha: What was chosen.
    """
    table = Table(title=f"{choice.metric} of blends on {choice.dev.queries:,} development queries")
    for name in ("share", "development", "change", "retention", "change", "mean change"):
        table.add_column(name, justify="right", no_wrap=True)
    for trial in choice.trials:
        table.add_row(
            f"{trial.alpha:g}",
            f"{trial.dev:.3f}",
            f"{trial.dev_change:+.1%}",
            f"{trial.retention:.3f}",
            f"{trial.retention_change:+.1%}",
            f"{trial.gain:+.1%}" if trial.allowed else "too much lost",
            style="bold" if trial.alpha == alpha else "",
        )
    return table


def quantisation_table(record: QuantisationRecord) -> Table:
    """One row for each form.

    Args:
        record: What was scored.
    """
    title = f"{record.data.source}: {record.data.queries:,} queries, {record.data.documents:,} documents"
    table = Table(title=Text(title))
    table.add_column("kept as")
    for name in ("dimensions", "bytes", record.metric, "against float32"):
        table.add_column(name, justify="right", no_wrap=True)
    for form in record.forms:
        table.add_row(
            form.precision,
            f"{form.dimensions:,}",
            f"{form.bytes:,}",
            f"{form.score.mean:.3f}",
            "" if form is record.forms[0] else signed(form.change),
        )
    return table
