"""Pairs with scores or labels: from which value on a pair is positive, and up to which it is a negative."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int64

from gistembed.errors import UserError
from gistembed.pairs.faults import repeated_negatives
from gistembed.pairs.pairs import Pairs, offsets_of
from gistembed.pairs.rows.row import Passage, Row

BETWEEN = "rows whose score is neither high enough for a positive nor low enough for a negative"
WITHOUT_POSITIVE = "negatives whose anchor has no positive"


@dataclass(frozen=True)
class Grades:
    """Which graded rows are positive pairs, and which are negatives of their anchor.

    Attributes:
        positive_from: Rows with at least this score are positive pairs.
        negative_to: Rows with at most this score are negatives of every pair of their anchor; None for none.

    Raises:
        UserError: If a score could be both.
    """

    positive_from: float
    negative_to: float | None = None

    def __post_init__(self) -> None:
        """Refuse bounds that overlap."""
        if self.negative_to is not None and self.negative_to >= self.positive_from:
            raise UserError(
                f"--max-score {self.negative_to:g}: not below --min-score {self.positive_from:g}; "
                "a row can't be both a positive pair and a negative"
            )


class GradedRows:
    """Sorts the rows of one reading by their scores, and counts what makes no pair.

    Attributes:
        grades: What they are sorted by.
        others: How many rows were no positive pairs.
        left_out: How many of these, or of their texts, are left out, by reason in words.
    """

    def __init__(self, grades: Grades, left_out: Counter[str] | None = None) -> None:
        """Nothing is read yet.

        Args:
            grades: What the rows are sorted by.
            left_out: Where what is left out is counted; a counter of its own by default.
        """
        self.grades = grades
        self.others = 0
        self.left_out: Counter[str] = Counter() if left_out is None else left_out
        self._highest: float | None = None

    def split(self, rows: Iterable[tuple[int, Row]]) -> tuple[list[tuple[int, Row]], list[Row]]:
        """Positive pairs with their places, and rows of negatives; what lies between is counted.

        Args:
            rows: Rows with their places.
        """
        positive_from, negative_to = self.grades.positive_from, self.grades.negative_to
        high: list[tuple[int, Row]] = []
        low: list[Row] = []
        for place, row in rows:
            if row.grade is not None and (self._highest is None or row.grade > self._highest):
                self._highest = row.grade
            if row.grade is not None and row.grade >= positive_from:
                high.append((place, row))
                continue
            self.others += 1
            if row.grade is not None and negative_to is not None and row.grade <= negative_to:
                low.append(row)
            else:
                self.left_out[BETWEEN] += 1
        return high, low

    def require_positive(self, source: str) -> None:
        """Refuse a source of which all rows are read, and none is a positive pair.

        Args:
            source: The source, as messages name it.

        Raises:
            UserError: If rows were read and all of them score too low.
        """
        least = self.grades.positive_from
        if self._highest is None and self.others:
            raise UserError(f"{source}: no row has a score. Fill the column of scores.")
        if self._highest is not None and self._highest < least:
            raise UserError(
                f"{source}: no row has a score of {least:g} or more (--min-score); the highest is "
                f"{self._highest:g}. Choose a lower one."
            )

    def joined(self, high: Sequence[tuple[int, Row]], low: Sequence[Row]) -> Iterator[tuple[int, Row]]:
        """Positive pairs, each with the negatives of its anchor behind its own.

        What several rows say of an anchor, it has once, and trusted if one of them says so.

        Args:
            high: All positive pairs with their places.
            low: All rows of negatives; see `negatives_of`.
        """
        of_anchor: defaultdict[str, dict[str, Passage]] = defaultdict(dict)
        for row in low:
            own = of_anchor[row.anchor.text]
            for passage in negatives_of(row):
                if passage.trusted > own.setdefault(passage.text, passage).trusted:
                    own[passage.text] = passage
        asked = {row.anchor.text for _, row in high}
        self._count_orphans(sum(len(own) for anchor, own in of_anchor.items() if anchor not in asked))
        for place, row in high:
            yield (
                place,
                row._replace(negatives=(*row.negatives, *of_anchor.get(row.anchor.text, {}).values())),
            )

    def attach(
        self,
        pairs: Pairs,
        anchors: Int64[np.ndarray, " low"],
        negatives: Int64[np.ndarray, " low"],
        trusted: Bool[np.ndarray, " low"],
    ) -> Pairs:
        """The same for pairs, with what was left out.

        Args:
            pairs: The positive pairs.
            anchors: Text id of the anchor of each text that `negatives_of` gives of the rows of negatives.
            negatives: Text id of each of these texts.
            trusted: Whether a person trusts each.
        """
        order = np.argsort(anchors, kind="stable")
        _, sizes = np.unique(anchors, return_counts=True)
        order = order[~repeated_negatives(negatives[order], offsets_of(sizes), trusted[order])]
        by_anchor = anchors[order]
        starts = np.searchsorted(by_anchor, pairs.anchors, "left")
        counts = np.searchsorted(by_anchor, pairs.anchors, "right") - starts
        self._count_orphans(int((~np.isin(by_anchor, pairs.anchors)).sum()))
        return replace(
            pairs.with_negatives(negatives[order], trusted[order], starts, counts),
            dropped={**pairs.dropped, **self.left_out},
            rows_read=pairs.rows_read + self.others,
        )

    def _count_orphans(self, count: int) -> None:
        if count:
            self.left_out[WITHOUT_POSITIVE] += count


def negatives_of(row: Row) -> tuple[Passage, ...]:
    """The texts of a row that scores low: what its anchor doesn't go with, and its own negatives."""
    return row.positives + row.negatives
