"""The last line of a run: better, not distinguishable or worse, with its interval."""

from collections.abc import Sequence

from gistembed.evaluate.bootstrap import FEWEST_QUERIES
from gistembed.record import Comparison, EvaluationRecord


def verdict_line(evaluations: Sequence[EvaluationRecord]) -> str:
    """What training did to the model, in one line.

    Args:
        evaluations: Held-out first, then retention; each compares the tuned model with ``base`` first.
    """
    held_out = evaluations[0]
    first = held_out.comparisons[0]
    line = (
        f"{first.verdict}: {held_out.metric} {_change(held_out, first)} "
        f"on {held_out.queries:,} held-out queries ({_interval(first)}){_too_few(held_out)}"
    )
    for evaluation in evaluations[1:]:
        kept = evaluation.comparisons[0]
        line += (
            f"; {evaluation.data} {kept.verdict}: {_change(evaluation, kept)} "
            f"({_interval(kept)}){_too_few(evaluation)}"
        )
    return line


def _change(evaluation: EvaluationRecord, comparison: Comparison) -> str:
    before = evaluation.scores[comparison.baseline][evaluation.metric].mean
    after = evaluation.scores[comparison.challenger][evaluation.metric].mean
    return f"{before:.3f} → {after:.3f}"


def _interval(comparison: Comparison) -> str:
    gain = comparison.difference
    return f"{gain.mean:+.3f}, {comparison.confidence:.0%} interval {gain.low:+.3f} to {gain.high:+.3f}"


def _too_few(evaluation: EvaluationRecord) -> str:
    if evaluation.queries >= FEWEST_QUERIES:
        return ""
    return f"; fewer than {FEWEST_QUERIES} queries decide nothing"
