"""Reads pairs: every cell checked, every distinct text numbered."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64

from gistembed.errors import UserError
from gistembed.pairs.clean import clean
from gistembed.pairs.grades import GradedRows, Grades, negatives_of
from gistembed.pairs.names import NameCollector
from gistembed.pairs.opening import open_table
from gistembed.pairs.pairs import Pairs, offsets_of, spans
from gistembed.pairs.rows.columns import Columns
from gistembed.pairs.rows.row import Passage, Row
from gistembed.pairs.sources.table import Table
from gistembed.pairs.stream import PlainTexts, plain_texts, read_blocks, rows_of
from gistembed.pairs.texts import Texts
from gistembed.pairs.wording import reasons

if TYPE_CHECKING:
    from gistembed.pairs.opening import Source

Instructions = Literal["ignore", "prefix"]


def read_pairs(
    source: "Source",
    *,
    columns: Mapping[str, Sequence[str]] | None = None,
    texts: Texts | None = None,
    grades: Grades | None = None,
    instructions: Instructions = "ignore",
) -> Pairs:
    """Read the pairs of a file, a folder or a data set; texts stay as they are, character by character.

    A row gives one pair for each of its positives, and each pair has all negatives of the row. Left out and
    counted: pairs whose positive is their anchor, pairs of weight 0, pairs that repeat an earlier one, and
    negatives that are known to belong to their anchor or stand in their pair already.

    Args:
        source: A .jsonl, .ndjson, .json, .csv or .tsv file (also packed: .gz, .zst), a .parquet, .arrow or
            .feather file, a folder that `save_to_disk` of `datasets` wrote, a folder of BEIR, Tevatron or MS
            MARCO, a file of BEIR's judgements, or a data set in memory. Of several splits, ``train`` is read.
        columns: Columns by role, if their names don't tell.
        texts: The table to number the texts in, to share it with other pairs; None makes a new one.
        grades: Which rows of pairs with scores or labels are positives; None where all are.
        instructions: Whether instructions that stand beside texts are put before them, or left out.

    Raises:
        UserError: If anything in the source isn't as it should be; the message names the place.
    """
    table = open_table(source)
    pairs = _read(table, columns, Texts() if texts is None else texts, grades, instructions)
    cleaned = clean(pairs)
    if not len(cleaned):
        raise UserError(f"{pairs.source}: no pairs are left; left out were {reasons(cleaned.dropped)}.")
    return cleaned


def _read(
    table: Table,
    columns: Mapping[str, Sequence[str]] | None,
    texts: Texts,
    grades: Grades | None,
    instructions: Instructions,
) -> Pairs:
    gathered = _Gathered(texts, instructions)
    roles: Columns | None = None
    graded = None if grades is None else GradedRows(grades)
    with closing(read_blocks(table, columns, graded=graded is not None)) as blocks:
        for read in blocks:
            roles = read.reader.columns
            plain = plain_texts(read)
            if plain is not None:
                gathered.add_texts(plain, read.block.places)
                continue
            rows = rows_of(table, iter([read]), None)
            if graded is None:
                gathered.add_rows(list(rows))
                continue
            high, low = graded.split(rows)
            gathered.add_rows(high)
            gathered.add_low(low)
    assert roles is not None, "a table without rows is refused before"
    if graded is None:
        return gathered.pairs(table, roles)
    graded.require_positive(table.name)
    return graded.attach(gathered.pairs(table, roles), *gathered.low())


@dataclass
class _Gathered:
    """What was read so far, as arrays block by block."""

    texts: Texts
    instructions: Instructions
    rows_read: int = 0
    instructed: int = 0
    anchors: list[Int64[np.ndarray, " _"]] = field(default_factory=list)
    positives: list[Int64[np.ndarray, " _"]] = field(default_factory=list)
    negatives: list[Int64[np.ndarray, " _"]] = field(default_factory=list)
    counts: list[Int64[np.ndarray, " _"]] = field(default_factory=list)
    places: list[Int64[np.ndarray, " _"]] = field(default_factory=list)
    tasks: list[Int32[np.ndarray, " _"]] = field(default_factory=list)
    weights: list[Float32[np.ndarray, " _"]] = field(default_factory=list)
    trusted: list[Bool[np.ndarray, " _"]] = field(default_factory=list)
    low_anchors: list[Int64[np.ndarray, " _"]] = field(default_factory=list)
    low_negatives: list[Int64[np.ndarray, " _"]] = field(default_factory=list)
    low_trusted: list[Bool[np.ndarray, " _"]] = field(default_factory=list)
    task_numbers: dict[str, int] = field(default_factory=dict)
    names: NameCollector = field(default_factory=NameCollector)

    def add_texts(self, plain: PlainTexts, places: Sequence[int]) -> None:
        """A block in which nothing stands beside the texts."""
        ids = self.texts.add_all(plain.texts)
        self._add(ids, plain.positives, plain.negatives, np.asarray(places, np.int64))
        pairs = int(plain.positives.sum())
        self.tasks.append(np.full(pairs, self._task(None), np.int32))
        self.weights.append(np.ones(pairs, np.float32))
        self.trusted.append(np.zeros(len(self.negatives[-1]), bool))

    def add_rows(self, rows: Sequence[tuple[int, Row]]) -> None:
        """Rows in which something may stand beside the texts."""
        if not rows:
            return
        flat, ids = self._numbered([row for _, row in rows])
        positives = np.array([len(row.positives) for _, row in rows])
        negatives = np.array([len(row.negatives) for _, row in rows])
        of_row, negatives_at = self._add(ids, positives, negatives, np.array([place for place, _ in rows]))
        tasks = [self._task(row.task) for _, row in rows]
        self.tasks.append(np.array(tasks, np.int32)[of_row])
        weights = [1.0 if row.weight is None else row.weight for _, row in rows]
        self.weights.append(np.array(weights, np.float32)[of_row])
        self.trusted.append(np.array([passage.trusted for passage in flat])[negatives_at])

    def add_low(self, rows: Sequence[Row]) -> None:
        """Rows of which all texts but the anchor are negatives of every pair of the anchor."""
        if not rows:
            return
        flat, ids = self._numbered(rows)
        counts = np.array([len(negatives_of(row)) for row in rows])
        starts = offsets_of(1 + counts)[:-1]
        negatives_at = spans(starts + 1, counts)
        self.low_anchors.append(np.repeat(ids[starts], counts))
        self.low_negatives.append(ids[negatives_at])
        self.low_trusted.append(np.array([passage.trusted for passage in flat])[negatives_at])

    def low(
        self,
    ) -> tuple[Int64[np.ndarray, " low"], Int64[np.ndarray, " low"], Bool[np.ndarray, " low"]]:
        """Anchors, negatives, and whether a person trusts each, of what `add_low` gathered."""
        return _joined(self.low_anchors), _joined(self.low_negatives), _joined(self.low_trusted, np.bool_)

    def pairs(self, table: Table, columns: Columns) -> Pairs:
        """Everything that was gathered, as pairs."""
        tasks = _joined(self.tasks, np.int32)
        weights, trusted = _joined(self.weights, np.float32), _joined(self.trusted, np.bool_)
        return Pairs(
            texts=self.texts,
            source=table.name,
            columns=columns,
            anchors=_joined(self.anchors),
            positives=_joined(self.positives),
            negative_offsets=offsets_of(_joined(self.counts)),
            negative_ids=_joined(self.negatives),
            places=_joined(self.places),
            place_word=table.place_word,
            rows_read=self.rows_read,
            task_names=tuple(self.task_numbers) if self._has_tasks else (),
            tasks=tasks if self._has_tasks else None,
            weights=weights if (weights != 1).any() else None,
            trusted=trusted if trusted.any() else None,
            instructed=self.instructed,
            names=self.names.names(table.name),
        )

    def _numbered(self, rows: Sequence[Row]) -> tuple[list[Passage], Int64[np.ndarray, " texts"]]:
        """The texts of some rows, row after row: anchor, positives, negatives; and their numbers."""
        of_rows = [(row.anchor, *row.positives, *row.negatives) for row in rows]
        flat = [passage for passages in of_rows for passage in passages]
        ids = self.texts.add_all([self._text(passage) for passage in flat])
        self.names.add(flat, ids, list(map(len, of_rows)))
        if self.instructions == "ignore":
            self.instructed += sum(any(passage.instruction for passage in passages) for passages in of_rows)
        return flat, ids

    @property
    def _has_tasks(self) -> bool:
        return any(self.task_numbers)

    def _add(
        self,
        ids: Int64[np.ndarray, " texts"],
        positives: Int64[np.ndarray, " rows"],
        negatives: Int64[np.ndarray, " rows"],
        places: Int64[np.ndarray, " rows"],
    ) -> tuple[Int64[np.ndarray, " pairs"], Int64[np.ndarray, " negatives"]]:
        """Note the pairs of some rows, of which the texts are given row after row.

        Returns:
            The row of each pair, and where the negatives of the pairs stand among the texts.
        """
        starts = offsets_of(1 + positives + negatives)[:-1]
        of_row = np.repeat(np.arange(len(places)), positives)
        negatives_at = spans((starts + 1 + positives)[of_row], negatives[of_row])
        self.anchors.append(ids[starts][of_row])
        self.positives.append(ids[spans(starts + 1, positives)])
        self.negatives.append(ids[negatives_at])
        self.counts.append(negatives[of_row])
        self.places.append(places[of_row])
        self.rows_read += len(places)
        return of_row, negatives_at

    def _task(self, name: str | None) -> int:
        return self.task_numbers.setdefault(name or "", len(self.task_numbers))

    def _text(self, passage: Passage) -> str:
        return numbered_text(passage, self.instructions)


def numbered_text(passage: Passage, instructions: Instructions) -> str:
    """The text under which `read_pairs` numbers a passage.

    Args:
        passage: The passage.
        instructions: See `read_pairs`.
    """
    if instructions == "ignore" or not (instruction := passage.instruction):
        return passage.text
    return instruction + passage.text if instruction[-1:].isspace() else f"{instruction} {passage.text}"


def _joined(blocks: list[Any], dtype: Any = np.int64) -> Any:  # noqa: ANN401 — arrays of one kind
    """The blocks one after another; they are given up, so that both are never whole in memory."""
    joined = np.concatenate([np.empty(0, dtype), *blocks])
    blocks.clear()
    return joined
