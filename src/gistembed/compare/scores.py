"""The scores of one model on one task, item by item, from wherever they were written."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float64

Judged = Literal["mean", "spearman", "average precision", "repetitions"]
"""How the score of a task comes from its items: their mean; the order of all; or each is a score already."""


@dataclass(frozen=True)
class TaskScores:
    """What is known of one model on one task; all columns have a row for each item.

    Attributes:
        judged: How the score comes from the values.
        metric: The name of the score.
        unit: What an item is, in the plural.
        digest: Of the data: models with equal ones were scored on the same.
        keys: What tells an item from the others.
        values: The item's score; its cosine where the order of all is judged.
        texts: The item for people: a query, or both texts of a pair.
        notes: What else is known of it: ``label 1``.
        found: What the model took for the answer; None where there is no such thing.
        targets: What the order of the values is held against.
        sampled: Of repetitions, how many texts each is made from.
    """

    judged: Judged
    metric: str
    unit: str
    digest: str
    keys: Sequence[str]
    values: Float64[np.ndarray, " items"]
    texts: Sequence[tuple[str, ...]] = ()
    notes: Sequence[str] = ()
    found: Sequence[str | None] | None = None
    targets: Float64[np.ndarray, " items"] | None = None
    sampled: int | None = None


@dataclass(frozen=True)
class ScoredModel:
    """One trained or untrained model with its scores.

    Attributes:
        place: Where its scores are, as the user named it.
        seed: The seed that it was trained with; None where none is recorded.
        tasks: Its scores by the name of the task.
        settings: What the run that made it was told.
        scored_with: What was set when it was scored, in place of its own, by name and in words.
        left_out: What of its scores can't be compared, one line each.
    """

    place: str
    seed: int | None
    tasks: Mapping[str, TaskScores]
    settings: Mapping[str, object] = field(default_factory=dict)
    scored_with: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()


def keys_of(rows: Iterable[Sequence[object]]) -> list[str]:
    """A key for each row of what identifies an item; equal rows are told apart by their order.

    Args:
        rows: The cells of each.
    """
    seen: Counter[str] = Counter()
    keys = []
    for row in rows:
        key = "\0".join(map(str, row))
        keys.append(f"{key}\0{seen[key]}")
        seen[key] += 1
    return keys
