"""Rows as their source has them, with the negatives that were mined."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from gistembed.errors import UserError
from gistembed.mine.mining import MinedNegatives
from gistembed.mine.settings import MiningSettings
from gistembed.pairs import Pairs, Passage, Row
from gistembed.pairs.wording import counted, source_changed


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
        weightless: Rows left out because their weight is 0.
        positives: Cosine of the anchors with their positives, in the rows that were made.
        mined: Cosine of the anchors with what was mined for them, in these rows.
        renamed: New names, by old ones, of further columns that have another name where they were written.
    """

    rows: int = 0
    with_fewer: int = 0
    with_none: int = 0
    dropped: int = 0
    own_positive: int = 0
    weightless: int = 0
    positives: Mean = field(default_factory=Mean)
    mined: Mean = field(default_factory=Mean)
    renamed: dict[str, str] = field(default_factory=dict)


def mined_rows(
    rows: Iterable[tuple[int, Row]],
    pairs: Pairs,
    mined: MinedNegatives,
    settings: MiningSettings,
    tally: MiningTally,
    *,
    corpus: Pairs | None = None,
) -> Iterator[Row]:
    """Each row with its own negatives first, then those that were mined, the hardest first.

    Every score is the guide's cosine with the anchor, in place of a score that the row had: scores of two
    scales in one row would say nothing. A positive that is the anchor's own text, a negative that is this
    text or a known positive, and rows whose weight is 0 are left out, as `read_pairs` does. What is mined
    has the id that its source gives it.

    Args:
        rows: What `read_rows` gives of the source.
        pairs: What `read_pairs` gave of it.
        mined: What was mined for these pairs.
        settings: What it was mined with.
        tally: Counts what becomes of the rows.
        corpus: Further documents that were mined.

    Yields:
        The rows.

    Raises:
        UserError: If the rows aren't those of the pairs, or no row got a negative.
    """
    maker = _RowMaker(pairs, mined, settings, tally, _ids_of_texts([pairs, *([corpus] if corpus else [])]))
    for _, row in rows:
        try:
            made = maker.made(row)
        except KeyError:
            # A text or a pair that the first reading didn't find.
            raise source_changed(pairs.source) from None
        if made is not None:
            yield made
    if len(maker.seen) < len(mined.anchors):
        raise source_changed(pairs.source)
    if not tally.mined.count:
        got = "a negative" if settings.too_few == "keep" else counted(settings.num_negatives, "negative")
        raise UserError(
            f"{pairs.source}: no row got {got}. Take fewer with --num-negatives, loosen the margins, or give "
            "more documents with --corpus."
        )


def _ids_of_texts(parts: Iterable[Pairs]) -> dict[int, str]:
    """The id of each document that has one; an id that an earlier part gives another text is passed over."""
    text_of: dict[str, int] = {}
    id_of: dict[int, str] = {}
    for part in parts:
        if (names := part.names.get("document")) is None:
            continue
        for name, text_id in zip(names.ids, names.text_ids.tolist(), strict=True):
            if text_of.setdefault(name, text_id) == text_id:
                id_of.setdefault(text_id, name)
    return id_of


class _RowMaker:
    """Makes rows, counts them, and notes whose they were."""

    def __init__(
        self,
        pairs: Pairs,
        mined: MinedNegatives,
        settings: MiningSettings,
        tally: MiningTally,
        ids: Mapping[int, str],
    ) -> None:
        self._texts, self._known, self._ids = pairs.texts, pairs.known_positives(), ids
        self._mined, self._settings, self._tally = mined, settings, tally
        self.seen: set[int] = set()

    def made(self, row: Row) -> Row | None:
        """The row with what was mined for it; None if it is left out.

        Raises:
            KeyError: If the pairs don't hold it.
        """
        settings, tally = self._settings, self._tally
        if row.weight == 0:
            tally.weightless += 1
            return None
        anchor_id = self._texts.id_of(row.anchor.text)
        positives = self._scored(row.positives, anchor_id, {anchor_id})
        if not positives:
            tally.own_positive += 1
            return None
        self.seen.add(anchor_id)
        new = tuple(
            Passage(self._texts[text_id], id=self._ids.get(text_id), score=score)
            for text_id, score in self._mined.of(anchor_id)
        )
        if len(new) < settings.num_negatives:
            tally.with_fewer += bool(new)
            tally.with_none += not new
            if settings.too_few == "drop":
                tally.dropped += 1
                return None
        never = {anchor_id, *self._known.of(anchor_id).tolist()}
        kept = () if settings.replace else self._scored(row.negatives, anchor_id, never)
        tally.rows += 1
        tally.positives.add(positives)
        tally.mined.add(new)
        return row._replace(positives=positives, negatives=(*kept, *new))

    def _scored(self, passages: Iterable[Passage], anchor_id: int, never: set[int]) -> tuple[Passage, ...]:
        found = ((passage, self._texts.id_of(passage.text)) for passage in passages)
        return tuple(
            passage._replace(score=self._mined.score(anchor_id, text_id))
            for passage, text_id in found
            if text_id not in never
        )
