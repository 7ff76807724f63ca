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
        columns: The names of further columns, in the order in which they were first seen.
        objects: The roles of which some text stands in an object with further keys.
    """

    positives: int = 0
    negatives: int = 0
    fewest_negatives: int | None = None
    held: Counter[str] = field(default_factory=Counter)
    columns: dict[str, None] = field(default_factory=dict)
    objects: set[str] = field(default_factory=set)

    def see(self, row: Row) -> None:
        """Take a row into account."""
        count = len(row.negatives)
        self.positives = max(self.positives, len(row.positives))
        self.negatives = max(self.negatives, count)
        self.fewest_negatives = count if self.fewest_negatives is None else min(self.fewest_negatives, count)
        self.held.update(set(held_by(row)))
        self.columns |= dict.fromkeys(row.extra)
        self.objects.update(
            role for role, passages in by_role(row) if any(passage.extra for passage in passages)
        )


def by_role(row: Row) -> tuple[tuple[str, tuple[Passage, ...]], ...]:
    """The texts of a row, by their role."""
    return ("anchor", (row.anchor,)), ("positive", row.positives), ("negative", row.negatives)


def held_by(row: Row) -> Iterator[str]:
    """Names of all that a row holds besides its texts."""
    for role, passages in by_role(row):
        for passage in passages:
            yield from (f"{role} {name}" for name in FIELDS if _is_held(passage, name))
            yield from (f"{role} key {key}" for key in passage.extra or ())
    if row.task is not None:
        yield "task"
    if row.weight is not None:
        yield "weight"
    yield from (f"column {name}" for name in row.extra)


def _is_held(passage: Passage, name: str) -> bool:
    value = getattr(passage, name)
    return value is not None and value is not False
