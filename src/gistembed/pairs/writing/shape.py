"""What rows hold, looked at before they are written: which fields, and how many texts."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from gistembed.pairs.rows.row import Passage, Row

FIELDS = ("id", "title", "instruction", "score", "trusted")


@dataclass
class Shape:
    """What some rows hold.

    Attributes:
        positives: The most positives of a row.
        negatives: The most negatives of a row.
        fewest_negatives: The fewest negatives of a row.
        held: In how many rows something stands, by name: ``anchor id``, ``negative score``, ``weight``.
    """

    positives: int = 0
    negatives: int = 0
    fewest_negatives: int | None = None
    held: Counter[str] = field(default_factory=Counter)

    def see(self, row: Row) -> None:
        """Take a row into account."""
        count = len(row.negatives)
        self.positives = max(self.positives, len(row.positives))
        self.negatives = max(self.negatives, count)
        self.fewest_negatives = count if self.fewest_negatives is None else min(self.fewest_negatives, count)
        self.held.update(set(held_by(row)))


def held_by(row: Row) -> Iterator[str]:
    """Names of all that a row holds besides its texts."""
    for role, passages in (
        ("anchor", (row.anchor,)),
        ("positive", row.positives),
        ("negative", row.negatives),
    ):
        for passage in passages:
            yield from (f"{role} {name}" for name in FIELDS if _is_held(passage, name))
    if row.task is not None:
        yield "task"
    if row.weight is not None:
        yield "weight"
    yield from (f"column {name}" for name in row.extra)


def _is_held(passage: Passage, name: str) -> bool:
    value = getattr(passage, name)
    return value is not None and value is not False
