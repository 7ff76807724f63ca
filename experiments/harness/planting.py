"""Pairs of a title and half its abstract, with faults planted of which each is known."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.harness.training import DataFolder
from experiments.harness.variants import variant

_WORDS = 40
"""Words that a half keeps: more cost time and change little."""


@dataclass(frozen=True)
class Planted:
    """Pairs with faults, and what tells the faults.

    Attributes:
        rows: Anchor, positive and one negative each.
        labels: The number of the abstract that a text is of, by text; texts of spare abstracts have none.
    """

    rows: list[dict[str, str]]
    labels: dict[str, list[str]]


def planted_data(data: DataFolder, place: Path, **shares: float) -> DataFolder:
    """A data set of titles and abstracts with faults planted.

    Args:
        data: Pairs of a title and its abstract, in random order.
        place: The folder, before a digest of its content.
        **shares: As `plant` takes them.
    """
    lines = data.train.read_text(encoding="utf-8").splitlines()
    found = [(row["anchor"], row["positive"]) for row in map(json.loads, lines)]
    planted = plant(found, **shares)
    return variant(data, place, planted.rows, planted.labels)


def plant(
    found: Sequence[tuple[str, str]], *, false_negatives: float = 0.0, wrong_positives: float = 0.0
) -> Planted:
    """Make rows of some abstracts, cut in two, and take true negatives from the others.

    A row's positive is one half of its abstract: the first, which says more of what the title says, or the
    second, in turn. Its negative is half an abstract that no row is about; or, in the first rows, the other
    half of its own: a false negative, known as such. What is planted for a smaller share is planted for a
    larger one, too.

    Args:
        found: Titles and abstracts, in random order.
        false_negatives: Share of the rows that have a false negative.
        wrong_positives: Share of the rows whose positive is another row's.
    """
    own, spare = found[: len(found) // 2], found[len(found) // 2 :]
    parted = [halves(abstract) for _, abstract in own]
    shown, kept_back = zip(
        *(pair[::-1] if number % 2 else pair for number, pair in enumerate(parted)), strict=True
    )
    true_negatives = [half for _, abstract in spare for half in halves(abstract)]
    false, wrong = round(false_negatives * len(own)), round(wrong_positives * len(own))
    positives = [*shown[1:wrong], *shown[: min(wrong, 1)], *shown[wrong:]]
    rows = [
        {"anchor": title, "positive": positive, "negative": other if number < false else negative}
        for number, ((title, _), positive, other, negative) in enumerate(
            zip(own, positives, kept_back, true_negatives[: len(own)], strict=True)
        )
    ]
    labels = {
        text: [str(number)]
        for number, ((title, _), both) in enumerate(zip(own, parted, strict=True))
        for text in (title, *both)
    }
    return Planted(rows, labels)


def halves(abstract: str, words: int = _WORDS) -> tuple[str, str]:
    """The first words of both halves of an abstract.

    Args:
        abstract: The abstract.
        words: How many words of each half are kept at most.
    """
    every = abstract.split()
    middle = len(every) // 2
    return " ".join(every[:middle][:words]), " ".join(every[middle:][:words])
