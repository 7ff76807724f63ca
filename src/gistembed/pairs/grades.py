"""Pairs with scores or labels: from which value on a pair is positive, and up to which it is a negative."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from gistembed.errors import UserError
from gistembed.pairs.pairs import Pairs, offsets_of, spans
from gistembed.pairs.rows.row import Row

BETWEEN = "rows whose score is neither high enough for a positive nor low enough for a negative"
WITHOUT_POSITIVE = "negatives whose anchor has no positive"


@dataclass
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
    _between: int = 0
    _low: list[tuple[int, Row]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Refuse bounds that overlap."""
        if self.negative_to is not None and self.negative_to >= self.positive_from:
            raise UserError(
                f"--max-score {self.negative_to:g}: not below --min-score {self.positive_from:g}; "
                "a row can't be both a positive pair and a negative"
            )

    def anew(self) -> "Grades":
        """The same bounds, with no rows seen yet: what was read before has no part in another source."""
        return Grades(self.positive_from, self.negative_to)

    def split(self, rows: Iterator[tuple[int, Row]]) -> Iterator[tuple[int, Row]]:
        """The positive pairs among rows; negatives wait for `attach`, and the others are counted."""
        for place, row in rows:
            score = row.positives[0].score
            if score is not None and score >= self.positive_from:
                yield place, row
            elif score is not None and self.negative_to is not None and score <= self.negative_to:
                self._low.append((place, row))
            else:
                self._between += 1

    def grouped(self, rows: Iterator[tuple[int, Row]]) -> Iterator[tuple[int, Row]]:
        """One row for each anchor that has a positive, with all its positives and negatives.

        Args:
            rows: Graded rows; they are all held in memory.

        Yields:
            Rows, each with the place of its first positive.
        """
        groups: dict[str, tuple[int, Row]] = {}
        for place, row in self.split(rows):
            first, group = groups.setdefault(row.anchor.text, (place, row._replace(positives=())))
            groups[row.anchor.text] = first, group._replace(positives=group.positives + row.positives)
        for _, row in self._low:
            if (found := groups.get(row.anchor.text)) is not None:
                first, group = found
                groups[row.anchor.text] = first, group._replace(negatives=group.negatives + row.positives)
        yield from groups.values()

    def attach(self, pairs: Pairs) -> Pairs:
        """The pairs with the negatives that came as rows of their own."""
        anchors = [pairs.texts.add(row.anchor.text) for _, row in self._low for _ in row.positives]
        negatives = [pairs.texts.add(passage.text) for _, row in self._low for passage in row.positives]
        order = np.argsort(np.array(anchors, np.int64), kind="stable")
        by_anchor = np.array(anchors, np.int64)[order]
        starts = np.searchsorted(by_anchor, pairs.anchors, "left")
        counts = np.searchsorted(by_anchor, pairs.anchors, "right") - starts
        orphans = int((~np.isin(by_anchor, pairs.anchors)).sum())
        joined = _with_negatives(pairs, np.array(negatives, np.int64)[order], starts, counts)
        left_out = {BETWEEN: self._between, WITHOUT_POSITIVE: orphans}
        dropped = joined.dropped | {reason: count for reason, count in left_out.items() if count}
        rows_read = pairs.rows_read + self._between + len(self._low)
        return replace(joined, dropped=dropped, rows_read=rows_read)


def _with_negatives(pairs: Pairs, ids: np.ndarray, starts: np.ndarray, counts: np.ndarray) -> Pairs:
    """Each pair's own negatives, then those of ``ids`` from its start on, as many as its count."""
    own = np.diff(pairs.negative_offsets)
    offsets = offsets_of(own + counts)
    result = np.empty(offsets[-1], np.int64)
    result[spans(offsets[:-1], own)] = pairs.negative_ids
    result[spans(offsets[:-1] + own, counts)] = ids[spans(starts, counts)]
    trusted = None
    if pairs.trusted is not None:
        trusted = np.zeros(len(result), bool)
        trusted[spans(offsets[:-1], own)] = pairs.trusted
    return replace(pairs, negative_offsets=offsets, negative_ids=result, trusted=trusted)
