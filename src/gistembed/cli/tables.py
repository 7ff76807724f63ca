"""Tables for the terminal: scores of all models of a run, trials, stores of vectors, checks of a selftest."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from gistembed.record import EvaluationRecord, Interval

if TYPE_CHECKING:
    from gistembed.cotraining import CoTrainRecord
    from gistembed.search import SearchRecord
    from gistembed.selftest import CheckResult
    from gistembed.sweep import SweepTable
    from gistembed.terms import ScoredSet

# What fits an eighty-column terminal; the report has them all.
_METRICS_SHOWN = 3


def score_table(evaluation: EvaluationRecord) -> Table:
    """One row for each model: the means of the main metrics and the difference to ``base``.

    Args:
        evaluation: The models' scores on one data set.
    """
    table = Table(
        title=f"{evaluation.data}: {evaluation.queries:,} queries, {evaluation.documents:,} documents"
    )
    metrics = list(next(iter(evaluation.scores.values())))[:_METRICS_SHOWN]
    table.add_column("model")
    for metric in metrics:
        table.add_column(metric, justify="right")
    table.add_column(f"{evaluation.metric} against base", justify="right", no_wrap=True)
    against_base = {
        comparison.challenger: comparison.difference
        for comparison in evaluation.comparisons
        if comparison.baseline == "base"
    }
    for model, scores in evaluation.scores.items():
        means = [f"{scores[metric].mean:.3f}" for metric in metrics]
        table.add_row(model, *means, signed(against_base[model]) if model in against_base else "")
    for comparison in evaluation.comparisons:
        if comparison.baseline != "base":
            table.caption = (
                f"{comparison.challenger} vs {comparison.baseline}: {comparison.verdict}, "
                f"{signed(comparison.difference)}"
            )
    return table


def round_table(record: "CoTrainRecord") -> Table:
    """One row for each model after each round: its score on dev, and what of its candidates was masked.

    Args:
        record: The record of a co-training.
    """
    ended = {"no gain": "; ended because no model gained", "all rounds": "; all rounds done"}
    table = Table(title=f"rounds, on {record.dev_queries:,} dev queries{ended.get(record.ended, '')}")
    for name in ("round", "model", record.metric, "change", "masked", "kept"):
        table.add_column(name, justify="left" if name == "model" else "right")
    for one in record.history:
        change, masked = "", ""
        if (before := record.at(one.round - 1, one.model)) is not None and one.training is not None:
            change = f"{one.dev.mean - before.dev.mean:+.3f}"
            rates = [
                rate
                for step in one.training.history
                for name, rate in step.metrics.items()
                if name.startswith("mask_rate/")
            ]
            masked = f"{sum(rates) / len(rates):.1%}" if rates else ""
        kept = "✓" if record.best.get(one.model) == one.round else ""
        table.add_row(str(one.round), one.model, f"{one.dev.mean:.3f}", change, masked, kept)
    return table


def store_table(stores: Sequence[Mapping[str, Any]]) -> Table:
    """One row for each guide that has vectors in the store.

    Args:
        stores: What is known of each, by name.
    """
    table = Table(title="guides' vectors")
    table.add_column("guide")
    table.add_column("folder", no_wrap=True)
    # A rare trouble has a column only where it is there: eighty characters are few.
    rare = ["unreadable"] if any(one["unreadable"] for one in stores) else []
    for name in ("vectors", "dimensions", "files", "MB", "damaged", *rare):
        table.add_column(name, justify="right")
    for one in stores:
        table.add_row(
            # A name may hold what looks like markup.
            Text((one["guide"] or "?") + ("" if one["backend"] == "torch" else f", {one['backend']}")),
            Path(one["folder"]).name[:8],
            f"{one['vectors']:,}",
            f"{one['dimensions']:,} {one['dtype']}",
            f"{one['files']:,}",
            f"{one['bytes'] / 1e6:,.1f}",
            f"{len(one['damaged']):,}",
            *(f"{len(one[name]):,}" for name in rare),
        )
    return table


def check_table(results: "Sequence[CheckResult]") -> Table:
    """One row for each check: whether it holds, and what was measured against what rounding excuses.

    Args:
        results: What the checks found.
    """
    table = Table(title="selftest")
    table.add_column("check")
    table.add_column("", no_wrap=True)
    table.add_column("measured", justify="right", no_wrap=True)
    table.add_column("allowed", justify="right", no_wrap=True)
    table.add_column("what", style="dim")
    for result in results:
        word = ("note" if result.allowed is None else "ok") if result.passed else "FAILED"
        table.add_row(
            Text(result.name),
            Text(word, style="" if result.passed else "bold red"),
            "" if result.measured is None else f"{result.measured:.2g}",
            "" if result.allowed is None else f"{result.allowed:.2g}",
            Text(result.detail),
        )
    return table


def trial_table(record: "SearchRecord") -> Table:
    """One row for each trial, the best first, then those that were stopped, then those that failed.

    Args:
        record: The search.
    """
    from gistembed.search.words import setting_words

    table = Table(title=f"trials, scored on {record.dev_queries:,} dev queries")
    for name in ("trial", record.metric, *record.space):
        table.add_column(name, justify="right")
    table.add_column("seconds", justify="right")
    order = {"finished": 0, "pruned": 1, "failed": 2}
    for trial in sorted(record.trials, key=lambda one: (order[one.status], -(one.score or 0.0), one.number)):
        table.add_row(
            f"{trial.number}",
            trial.status if trial.score is None else f"{trial.score:.4f}",
            *(Text(setting_words(trial.settings[name])) for name in record.space),
            f"{trial.seconds:.1f}",
            style="bold" if trial.number == record.best else "",
        )
    return table


def settings_table(table: "SweepTable") -> Table:
    """One row for each combination of settings of a sweep; each column says which data set it is of.

    Args:
        table: The table of the sweep; its files hold more columns than a terminal has room for.
    """
    from gistembed.search.words import settings_line

    ranked = "ranked by dev" if table.ranked else "in the order of the grid"
    shown = Table(title=f"settings, {ranked}; means over seeds and queries")
    shown.add_column("settings")
    sets: tuple[ScoredSet, ...] = ("dev", "held-out") if table.ranked else ("held-out",)
    differences = ("against the first row",) if table.ranked else ("against base", "against the first row")
    metrics = {data: one.metric for row in table.rows for data, one in row.scores.items()}
    for name in (
        *(f"{data} {metrics.get(data, '')}" for data in sets),
        *(f"held-out, {name}" for name in differences),
    ):
        shown.add_column(name, justify="right", min_width=16 if "," in name else 14)
    for row in table.rows:
        words = settings_line(row.settings).replace(", ", "\n")
        if len(row.seeds) < row.cells:
            words += f"\n{len(row.seeds)} of {row.cells} cells finished"
        intervals = [scores.score if (scores := row.scores.get(data)) else None for data in sets]
        held_out = row.scores.get("held-out")
        intervals += (
            [held_out.gain, held_out.against_first][-len(differences) :]
            if held_out
            else [None] * len(differences)
        )
        numbers = [_two_lines(one, "+" if place >= len(sets) else "") for place, one in enumerate(intervals)]
        shown.add_row(Text(words), *numbers, style="bold" if row is table.best else "")
    return shown


def _two_lines(interval: Interval | None, sign: str) -> str:
    if interval is None:
        return ""
    mean, low, high = (f"{value:{sign}.3f}" for value in (interval.mean, interval.low, interval.high))
    return f"{mean}\n{low} to {high}"


def signed(interval: Interval) -> str:
    """A difference with its interval."""
    return f"{interval.mean:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"
