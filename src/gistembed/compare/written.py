"""A comparison as Markdown, in which no text of the data can become markup."""

from collections.abc import Iterator, Sequence

from gistembed.compare.record import ChallengerRecord, ChangeRecord, ComparisonRecord, EffectRecord
from gistembed.compare.words import p_words
from gistembed.record import Interval
from gistembed.report import words
from gistembed.report.card import escape_markdown

_LONGEST = 300
_HEADS = (
    "against {baseline}",
    "task",
    "score",
    "items",
    "{baseline}",
    "challenger",
    "difference",
    "p",
    "corrected p",
    "verdict",
    "wins, losses, ties",
)


def as_markdown(record: ComparisonRecord) -> str:
    """The verdicts, the table, what changed most, and how it was computed.

    Args:
        record: The comparison.
    """
    baseline = escape_markdown(record.sides[0].name)
    parts = ["\n".join(f"- {escape_markdown(one.line)}" for one in record.challengers)]
    heads = [head.format(baseline=baseline) for head in _HEADS]
    rows = [heads, ["---"] * len(heads)]
    for challenger in record.challengers:
        rows += _rows(challenger)
    parts.append("\n".join(f"| {' | '.join(row)} |" for row in rows))
    parts += [
        text
        for challenger in record.challengers
        for effect in challenger.effects
        for text in _changes(challenger.name, effect)
    ]
    parts.append("## How it was computed\n\n" + _listed(record.method))
    if record.warnings:
        parts.append("## What to know\n\n" + _listed(record.warnings))
    return "\n\n".join(parts) + "\n"


def _rows(challenger: ChallengerRecord) -> Iterator[list[str]]:
    name = escape_markdown(challenger.name)
    if (overall := challenger.overall) is not None:
        yield [
            name,
            f"mean of {len(overall.tasks)} tasks",
            *[""] * 4,
            _signed(overall.difference),
            p_words(overall.p_value),
            p_words(overall.corrected_p_value),
            overall.verdict,
            "",
        ]
    for effect in challenger.effects:
        yield [
            name,
            escape_markdown(effect.task),
            escape_markdown(effect.metric),
            f"{effect.items:,} {effect.unit}",
            words.within(effect.baseline, words.score),
            words.within(effect.challenger, words.score),
            _signed(effect.difference),
            p_words(effect.p_value),
            p_words(effect.corrected_p_value),
            effect.verdict,
            f"{effect.wins:,}, {effect.losses:,}, {effect.ties:,}",
        ]


def _signed(interval: Interval) -> str:
    return words.within(interval, words.signed)


def _changes(name: str, effect: EffectRecord) -> Iterator[str]:
    for what, changes in (("gains", effect.gains), ("losses", effect.falls)):
        if changes:
            title = f"## {escape_markdown(name)} on {escape_markdown(effect.task)}: the largest {what}"
            yield title + "\n\n" + "\n".join(f"- {_change(one)}" for one in changes)


def _change(change: ChangeRecord) -> str:
    texts = " · ".join(_short(text) for text in change.texts)
    note = f" ({_short(change.note)})" if change.note else ""
    line = f"{words.score(change.before)} → {words.score(change.after)}: {texts}{note}"
    if change.found_before is not None and change.found_after is not None:
        line += f"; found before: {_short(change.found_before)}; found after: {_short(change.found_after)}"
    return line


def _short(text: str) -> str:
    return escape_markdown(text if len(text) <= _LONGEST else text[:_LONGEST] + "…")


def _listed(lines: Sequence[str]) -> str:
    return "\n".join(f"- {escape_markdown(line)}" for line in lines)
