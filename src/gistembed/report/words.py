"""How the report and the card say numbers and terms: sensible digits, and plain words for jargon."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

from gistembed.record import GuideRecord, Interval, ModelRecord

MODELS = {
    "base": "before training",
    "unguided": "trained without a guide",
    "guided": "trained with the guide",
}

BLOCKS = {
    "ap": "another row's positive",
    "aa": "another row's anchor",
    "an": "a hard negative",
    "pp": "another row's positive, against this row's positive",
    "pa": "another row's anchor, against this row's positive",
}

BLOCK_MEANINGS = {
    "ap": "The row's anchor is compared with the positives of the other rows.",
    "aa": "The row's anchor is compared with the anchors of the other rows.",
    "an": "The row's anchor is compared with the negatives that the data names.",
    "pp": "The row's positive is compared with the positives of the other rows.",
    "pa": "The row's positive is compared with the anchors of the other rows.",
}

METRICS = {
    "ndcg": "how near the top of the ranking the right texts stand; 1 is perfect",
    "mrr": "1 divided by the place of the first right text, on average; 1 is perfect",
    "rr": "1 divided by the place of the first right text, on average; 1 is perfect",
    "map": "how well the ranking keeps right texts above wrong ones; 1 is perfect",
    "ap": "how well the ranking keeps right texts above wrong ones; 1 is perfect",
    "recall": "the share of right texts that the top of the ranking holds; 1 is perfect",
    "r": "the share of right texts that the top of the ranking holds; 1 is perfect",
    "accuracy": "the share of queries with a right text at the top of the ranking; 1 is perfect",
    "success": "the share of queries with a right text at the top of the ranking; 1 is perfect",
    "spearman": "how well the order of the similarities agrees with people's; 1 is perfect",
}


def score(value: float) -> str:
    """Three decimals, or five where three would round something to nothing: ``0.612``, ``−0.00021``."""
    digits = 3 if value == 0 or abs(value) >= 0.0005 else 5
    return f"{value or 0:.{digits}f}".replace("-", "−")


def signed(value: float) -> str:
    """A difference with its sign: ``+0.043``, ``−0.002``, ``0.000``."""
    return f"+{score(value)}" if value > 0 else score(value)


def within(value: Interval, say: Callable[[float], str]) -> str:
    """A mean with its interval: ``0.612 (0.593 to 0.630)``."""
    return f"{say(value.mean)} ({say(value.low)} to {say(value.high)})"


def percent(share: float) -> str:
    """A share as a percentage with about two digits: ``41 %``, ``9.3 %``, ``0.04 %``."""
    value = 100 * share
    if value == 0 or abs(value) >= 10:
        return f"{value:.0f} %"
    return f"{value:.1f} %" if abs(value) >= 0.1 else f"{value:.2g} %"


def count(value: int) -> str:
    """A number of things, in groups of three: ``12,345``."""
    return f"{value:,}"


def plural(value: int, one: str, many: str = "") -> str:
    """A number of things with their name: ``1 row``, ``12,345 rows``, ``2 queries``."""
    return f"{value:,} {one if value == 1 else many or one + 's'}"


def large(value: int) -> str:
    """A large number in thousands, millions or billions: ``22.7 million``."""
    for size, name in ((10**9, "billion"), (10**6, "million"), (10**3, "thousand")):
        if value >= size:
            return f"{value / size:.3g} {name}"
    return str(value)


def duration(seconds: float) -> str:
    """A time span in its two largest units: ``0.8 s``, ``42 s``, ``3 min 5 s``, ``2 h 10 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if minutes else f"{rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def moment(iso: str) -> str:
    """A point in time for people: ``23 November 2025, 06:46 UTC``."""
    time = datetime.fromisoformat(iso)
    return f"{time.day} {time:%B %Y, %H:%M} {time.tzname() or ''}".rstrip()


def metric_meaning(name: str) -> str:
    """What a metric measures, in words; empty for a metric without an entry."""
    letters = name.split("@")[0].split("_")[-1 if name.startswith("cosine_") else 0]
    return METRICS.get(letters.lower(), "")


def bin_labels(edges: list[int]) -> list[str]:
    """Names of a histogram's bins over counts: ``0``, ``1``, ``2–3``, ``4+``."""
    closed = [str(low) if high - low == 1 else f"{low}–{high - 1}" for low, high in pairwise(edges[:-1])]
    return [*closed, f"{edges[-2]}+"]


def flat(settings: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as dotted names with their values as text: ``train.batch_size`` → ``64``."""
    lines: dict[str, str] = {}
    for name, value in settings.items():
        if isinstance(value, dict) and value:
            lines |= flat(value, f"{prefix}{name}.")
        else:
            lines[prefix + name] = value if isinstance(value, str) else json.dumps(value, default=str)
    return lines


def short_name(model: ModelRecord) -> str:
    """The last part of a model's folder or hub name."""
    return model.name.replace("\\", "/").rstrip("/").rpartition("/")[2] or model.name


def guide_name(guide: GuideRecord) -> str:
    """What to call a guide in a line about its student."""
    return "itself" if guide.store is None else short_name(guide.model)


def guides(records: Sequence[GuideRecord]) -> str:
    """One or several guides as what they are together, to be followed by "that"."""
    if len(records) > 1:
        return f"a committee of {len(records)} frozen guide models"
    return "itself as a guide" if records[0].store is None else "a frozen guide model"


def encoded(guide: GuideRecord) -> str:
    """How many texts a run had its guide encode."""
    if guide.model.kind == "given vectors":
        return f"none: the vectors of {plural(guide.texts, 'text')} were given"
    if not guide.encoded:
        return f"none: the vectors of {plural(guide.texts, 'text')} were stored already"
    time = duration(guide.seconds)
    if guide.encoded == guide.texts:
        return f"{plural(guide.texts, 'text')} in {time}"
    return (
        f"{count(guide.encoded)} of {plural(guide.texts, 'text')} in {time}; the others were stored already"
    )
