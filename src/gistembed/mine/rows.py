"""Rows as their source has them, with the negatives that were mined."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from gistembed.errors import UserError
from gistembed.mine.mining import MinedNegatives
from gistembed.mine.settings import MiningSettings
from gistembed.pairs import Pairs, Passage, Row


@dataclass
class Mean:
    """The mean of numbers that come one after another.

    Attributes:
        total: Their sum.
        count: How many there were.
    """

    total: float = 0.0
    count: int = 0

    def add(self, passages: Iterable[Passage]) -> None:
        """Count in the scores of passages."""
        for passage in passages:
            assert passage.score is not None
            self.total += passage.score
            self.count += 1

    @property
    def value(self) -> float | None:
        """The mean; None of nothing."""
        return self.total / self.count if self.count else None


@dataclass
class MiningTally:
    """What became of the rows; counted while they are made.

    Attributes:
        rows: Rows that were made.
        with_fewer: Rows whose anchor got some negatives, but fewer than were asked for.
        with_none: Rows whose anchor got none.
        dropped: Those of the two that were left out because of it.
        own_positive: Rows left out because their only positive is the anchor's own text.
        positives: Cosine of the anchors with their positives, in the rows that were made.
        mined: Cosine of the anchors with what was mined for them, in these rows.
    """

    rows: int = 0
    with_fewer: int = 0
    with_none: int = 0
    dropped: int = 0
    own_positive: int = 0
    positives: Mean = field(default_factory=Mean)
    mined: Mean = field(default_factory=Mean)


def mined_rows(
    rows: Iterable[tuple[int, Row]],
    pairs: Pairs,
    mined: MinedNegatives,
    settings: MiningSettings,
    tally: MiningTally,
) -> Iterator[Row]:
    """Each row with its own negatives first, then those that were mined, the hardest first.

    Every score is the guide's cosine with the anchor, in place of a score that the row had: scores of two
    scales in one row would say nothing. A positive that is the anchor's own text, and a negative that is this
    text or a known positive, are left out, as `read_pairs` does.

    Args:
        rows: What `read_rows` gives of the source.
        pairs: What `read_pairs` gave of it.
        mined: What was mined for these pairs.
        settings: What it was mined with.
        tally: Counts what becomes of the rows.

    Yields:
        The rows.

    Raises:
        UserError: If no row got a negative.
    """
    known = pairs.known_positives()
    for _, row in rows:
        anchor_id = pairs.texts.id_of(row.anchor.text)
        positives = _scored(row.positives, {anchor_id}, anchor_id, pairs, mined)
        if not positives:
            tally.own_positive += 1
            continue
        new = tuple(Passage(pairs.texts[text_id], score=score) for text_id, score in mined.of(anchor_id))
        if len(new) < settings.num_negatives:
            tally.with_fewer += bool(new)
            tally.with_none += not new
            if settings.too_few == "drop":
                tally.dropped += 1
                continue
        never = {anchor_id, *known.of(anchor_id).tolist()}
        kept = () if settings.replace else _scored(row.negatives, never, anchor_id, pairs, mined)
        tally.rows += 1
        tally.positives.add(positives)
        tally.mined.add(new)
        yield row._replace(positives=positives, negatives=(*kept, *new))
    if not tally.mined.count:
        got = "a negative" if settings.too_few == "keep" else f"{settings.num_negatives} negatives"
        raise UserError(
            f"{pairs.source}: no row got {got}. Take fewer with --num-negatives, loosen the margins, or give "
            "more documents with --corpus."
        )


def _scored(
    passages: Iterable[Passage], never: set[int], anchor_id: int, pairs: Pairs, mined: MinedNegatives
) -> tuple[Passage, ...]:
    found = ((passage, pairs.texts.id_of(passage.text)) for passage in passages)
    return tuple(
        passage._replace(score=mined.score(anchor_id, text_id))
        for passage, text_id in found
        if text_id not in never
    )
