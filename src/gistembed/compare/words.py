"""What a comparison says of itself: a line for each challenger, and how it was computed."""

from collections.abc import Sequence

from gistembed.compare.align import Aligned
from gistembed.compare.effects import Effects
from gistembed.compare.record import EffectRecord, OverallRecord
from gistembed.evaluate import FEWEST_QUERIES
from gistembed.evaluate.bootstrap import CONFIDENCE, LEVEL, RESAMPLES, SMALLEST_P
from gistembed.record import Interval

_CONFIDENCE = f"{100 * CONFIDENCE:.0f} %"
_HOW: dict[str, str] = {
    "spearman": "Spearman's correlation is computed anew on every resample of the pairs.",
    "average precision": "Average precision is computed anew on every resample of the pairs.",
    "repetitions": (
        "Clustering has repetitions, each of a resample of the texts: their spread, as that of Student's t, "
        "is what other texts would change."
    ),
}


def headline(effects: Sequence[EffectRecord], overall: OverallRecord | None) -> EffectRecord | OverallRecord:
    """What the verdict on a challenger is about: the overall effect, or the one task that can decide.

    Args:
        effects: Its effects on all tasks.
        overall: Its effect over several, if there are several.
    """
    if overall is not None:
        return overall
    own = [effect for effect in effects if not effect.is_retention]
    return next((effect for effect in own if effect.decides), own[0])


def verdict_words(
    names: tuple[str, str], effects: Sequence[EffectRecord], overall: OverallRecord | None, seeds: int
) -> str:
    """What became of a challenger, in one line.

    Args:
        names: The challenger and the baseline.
        effects: Its effects on all tasks.
        overall: Its effect over several, if there are several.
        seeds: Over how many seeds scores are means.
    """
    about = headline(effects, overall)
    numbers = f"{within(about.difference)}, {corrected_words(about.corrected_p_value)}"
    if isinstance(about, OverallRecord):
        items = sum(effect.items for effect in effects if effect.task in about.tasks)
        what = f"mean of {len(about.tasks)} tasks {numbers}, on {items:,} items"
    else:
        change = f"{about.baseline.mean:.3f} → {about.challenger.mean:.3f}"
        what = f"{about.task} {about.metric} {change} ({numbers}) on {about.items:,} {about.unit}"
        if not about.decides:
            what += f"; fewer than {FEWEST_QUERIES} decide nothing"
    line = f"{names[0]} against {names[1]}: {about.verdict}: {what}, {_seeds(seeds)}"
    for effect in effects:
        if effect.is_retention:
            line += (
                f"; {effect.task} {effect.verdict}: {within(effect.difference)}, "
                f"{corrected_words(effect.corrected_p_value)}"
            )
    return line


def within(interval: Interval) -> str:
    """A difference with its interval: ``+0.012, 95 % interval +0.001 to +0.023``."""
    return f"{interval.mean:+.3f}, {_CONFIDENCE} interval {interval.low:+.3f} to {interval.high:+.3f}"


def p_words(p: float | None) -> str:
    """A p-value in two digits: ``0.0012``, ``0.34``, ``1``; ``none`` where nothing could vary."""
    return "none" if p is None else f"{p:.2g}"


def corrected_words(p: float | None) -> str:
    """A corrected p-value within a sentence."""
    return "no p-value" if p is None else f"corrected p {p_words(p)}"


def method_lines(aligned: Aligned, effects: Effects) -> list[str]:
    """How the numbers came to be, for whoever has to judge them.

    Args:
        aligned: What was compared.
        effects: What came of it.
    """
    several = aligned.count > 1
    resampled = f"items and the {aligned.count} seeds, each on their own" if several else "items"
    lines = [
        f"Differences are on the same items{' and seeds' if several else ''}. {_CONFIDENCE} percentile "
        f"intervals are from {RESAMPLES:,} paired bootstrap resamples of {resampled}, and are not corrected "
        "for being several.",
        "A p-value is the level at which the interval would begin to hold 0. Holm's method corrects those of "
        f"all {effects.tests:,} tests of tasks and challengers together; verdicts are by corrected p-values "
        f"below {LEVEL}, from at least {FEWEST_QUERIES} items.",
    ]
    if any(effect.p_value is None for row in effects.by_challenger for effect in row):
        lines.append("Of one item with one seed, nothing can vary: it has no p-value.")
    overall = next((one for one in effects.overall if one is not None), None)
    if overall is not None:
        lines.append(
            "The overall effect is the mean of the tasks' differences, each task weighing the same: items "
            "are resampled within each task, seeds over all tasks together. Its p-values are corrected over "
            "all challengers."
        )
    lines += [_HOW[judged] for judged in _HOW if any(task.judged == judged for task in aligned.tasks)]
    if any(task.is_retention for task in aligned.tasks):
        lines.append(
            "Retention stands apart: it is in no overall effect; its tests are corrected with the others."
        )
    return lines


def result_warnings(aligned: Aligned, effects: Effects) -> list[str]:
    """What a reader should know of the results, besides what was left out.

    Args:
        aligned: What was compared.
        effects: What came of it.
    """
    lines = []
    for task in aligned.tasks:
        if task.sampled < FEWEST_QUERIES:
            unit = "texts" if task.judged == "repetitions" else task.unit
            apart = task.is_retention or effects.overall[0] is None
            lines.append(
                f"{task.name}: fewer than {FEWEST_QUERIES} {unit} decide nothing"
                + ("" if apart else "; it is in no overall effect")
            )
    if effects.tests * SMALLEST_P >= LEVEL:
        lines.append(
            f"{effects.tests:,} tests are more than {RESAMPLES:,} resamples can decide after correction; "
            "compare fewer tasks or sides at once"
        )
    return lines


def _seeds(count: int) -> str:
    return f"{count:,} seed{'' if count == 1 else 's'}"
