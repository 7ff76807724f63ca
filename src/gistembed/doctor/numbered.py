"""Rows as arrays of text ids, as they stand in the source: nothing cleaned away, broken rows set aside."""

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64

from gistembed.pairs import (
    Grades,
    Pairs,
    Passage,
    Problem,
    Row,
    Texts,
    offsets_of,
    open_table,
    read_rows,
    same_texts,
)
from gistembed.pairs.pairs import Origin
from gistembed.pairs.wording import PlaceWord, located, one_line
from gistembed.record import FindingExample

if TYPE_CHECKING:
    from gistembed.pairs.opening import Source

EXAMPLES = 3


class Book:
    """The distinct texts of all rows at hand, with what several checks ask of each.

    Ask only once all rows are read: what was worked out doesn't grow with the texts.
    """

    def __init__(self, texts: Texts) -> None:
        """A book of these texts, which may still grow."""
        self.texts = texts

    @cached_property
    def strings(self) -> list[str]:
        """The texts, by id."""
        return self.texts.of(np.arange(len(self.texts)))

    @cached_property
    def lengths(self) -> Int64[np.ndarray, " texts"]:
        """Characters of each text."""
        return np.fromiter(map(len, self.strings), np.int64, len(self.strings))

    @cached_property
    def forms(self) -> Int64[np.ndarray, " texts"]:
        """A number for each text; equal numbers mean texts of one normal form."""
        return same_texts(self.texts)


@dataclass(frozen=True, eq=False)
class NumberedRows:
    """Rows as text ids.

    Attributes:
        book: The texts that the ids point into; it may hold texts of other rows too.
        source: Where the rows came from, as messages name it.
        place_word: Whether places are lines or rows.
        places: Line or row of the source (from 1) of each row.
        anchors: Text id of each row's anchor.
        positive_offsets: The positives of row ``i``, each of which makes a pair with its anchor, are
            ``positives[positive_offsets[i] : positive_offsets[i + 1]]``.
        positives: Text ids of all positives, row after row.
        negative_offsets: The same for negatives.
        negatives: Text ids of all negatives, row after row.
        positive_names: For each positive, a number for its id in the source; -1 if it has none.
        negative_names: The same for negatives.
        problems: The first few rows that can't be read.
        unreadable: How many rows can't be read.
        weights: How much each row counts in the loss; None where all count alike.
        trusted: Whether a person says of each negative that it is one; None where nobody says so.
        origins: The sources, where there are several; ``source`` then names them all.
        origin: Number of the source of each row.
    """

    book: Book
    source: str
    place_word: PlaceWord
    places: Int64[np.ndarray, " rows"]
    anchors: Int64[np.ndarray, " rows"]
    positive_offsets: Int64[np.ndarray, " rows+1"]
    positives: Int64[np.ndarray, " pairs"]
    negative_offsets: Int64[np.ndarray, " rows+1"]
    negatives: Int64[np.ndarray, " negatives"]
    positive_names: Int64[np.ndarray, " pairs"]
    negative_names: Int64[np.ndarray, " negatives"]
    problems: tuple[Problem, ...] = ()
    unreadable: int = 0
    weights: Float32[np.ndarray, " rows"] | None = None
    trusted: Bool[np.ndarray, " negatives"] | None = None
    origins: tuple[Origin, ...] = ()
    origin: Int32[np.ndarray, " rows"] | None = None

    def __len__(self) -> int:
        """How many rows could be read."""
        return len(self.anchors)

    @cached_property
    def pair_rows(self) -> Int64[np.ndarray, " pairs"]:
        """The row of each pair."""
        return np.repeat(np.arange(len(self)), np.diff(self.positive_offsets))

    @cached_property
    def negative_rows(self) -> Int64[np.ndarray, " negatives"]:
        """The row of each negative."""
        return np.repeat(np.arange(len(self)), np.diff(self.negative_offsets))

    @cached_property
    def pair_anchors(self) -> Int64[np.ndarray, " pairs"]:
        """Text id of the anchor of each pair."""
        anchors: Int64[np.ndarray, " pairs"] = self.anchors[self.pair_rows]
        return anchors

    @cached_property
    def text_ids(self) -> Int64[np.ndarray, " texts"]:
        """Ids of the distinct texts, sorted."""
        return np.unique(np.concatenate([self.anchors, self.positives, self.negatives]))

    def by_role(self) -> Iterator[tuple[str, Int64[np.ndarray, " texts"], Int64[np.ndarray, " texts"]]]:
        """For anchors, positives and negatives: what they are, their text ids, and the row of each."""
        yield "anchor", self.anchors, np.arange(len(self))
        yield "positive", self.positives, self.pair_rows
        yield "negative", self.negatives, self.negative_rows

    def text(self, text_id: int) -> str:
        """The text with this id."""
        return self.book.strings[text_id]

    def place(self, row: int) -> str:
        """Where a row stands: ``pairs.csv:118`` or ``pairs.parquet: row 118``."""
        whole: NumberedRows | Origin = self if self.origin is None else self.origins[int(self.origin[row])]
        return located(whole.source, whole.place_word, int(self.places[row]))

    def examples(self, found: Iterable[tuple[int, str]]) -> tuple[FindingExample, ...]:
        """The first few of these rows, each with what there is to see in it."""
        return tuple(
            FindingExample(place=self.place(row), text=text) for row, text in islice(found, EXAMPLES)
        )

    def problem_examples(self) -> tuple[FindingExample, ...]:
        """The first few rows that can't be read, each with what is wrong."""
        return tuple(
            FindingExample(place=located(self.source, self.place_word, problem.place), text=problem.text)
            for problem in self.problems
        )

    def pair_examples(self, pairs: Bool[np.ndarray, " pairs"]) -> tuple[FindingExample, ...]:
        """The first few of these pairs."""
        return self.examples(
            (int(self.pair_rows[pair]), self.shown_pair(pair))
            for pair in np.flatnonzero(pairs)[:EXAMPLES].tolist()
        )

    def shown_pair(self, pair: int) -> str:
        """One pair, cut short."""
        anchor, positive = int(self.pair_anchors[pair]), int(self.positives[pair])
        return f"{shown(self.text(anchor))} → {shown(self.text(positive))}"

    def first_rows(self) -> Int64[np.ndarray, " texts"]:
        """For each text, the first row that holds it; -1 if none does."""
        ids = np.concatenate([self.anchors, self.positives, self.negatives])
        rows = np.concatenate([np.arange(len(self)), self.pair_rows, self.negative_rows])
        first = np.full(len(self.book.strings), len(self), np.int64)
        np.minimum.at(first, ids, rows)
        first[first == len(self)] = -1
        return first

    def sample(self, limit: int) -> "NumberedRows":
        """At most so many rows, drawn at random but always the same ones."""
        if len(self) <= limit:
            return self
        drawn = np.zeros(len(self), bool)
        drawn[np.random.default_rng(0).permutation(len(self))[:limit]] = True
        pairs, negatives = drawn[self.pair_rows], drawn[self.negative_rows]
        return replace(
            self,
            places=self.places[drawn],
            origin=None if self.origin is None else self.origin[drawn],
            anchors=self.anchors[drawn],
            positive_offsets=offsets_of(np.diff(self.positive_offsets)[drawn]),
            positives=self.positives[pairs],
            negative_offsets=offsets_of(np.diff(self.negative_offsets)[drawn]),
            negatives=self.negatives[negatives],
            positive_names=self.positive_names[pairs],
            negative_names=self.negative_names[negatives],
            weights=None if self.weights is None else self.weights[drawn],
            trusted=None if self.trusted is None else self.trusted[negatives],
        )


@dataclass(frozen=True)
class Reading:
    """How rows are read.

    Attributes:
        columns: Columns by role, if their names don't tell.
        grades: Which rows of pairs with scores or labels are positives; None where all are.
    """

    columns: Mapping[str, Sequence[str]] | None = None
    grades: Grades | None = None

    def rows(self, source: "Source", on_problem: Callable[[Problem], None]) -> Iterator[tuple[int, Row]]:
        """Place and row of each row that can be read.

        Args:
            source: See `gistembed.pairs.read_rows`.
            on_problem: Told of the others.

        Raises:
            UserError: If the source as a whole can't be read.
        """
        return read_rows(source, columns=self.columns, grades=self.grades, on_problem=on_problem)


PLAIN = Reading()
"""Columns are known by their names, and every row is a pair."""


def read_numbered(source: "Source", book: Book, reading: Reading) -> NumberedRows:
    """Read the rows of a source and number their texts; rows that can't be read are counted.

    Args:
        source: See `gistembed.pairs.read_rows`.
        book: Where the texts are numbered.
        reading: How they are read.

    Raises:
        UserError: If the source as a whole can't be read.
    """
    problems: list[Problem] = []
    unreadable = 0

    def on_problem(problem: Problem) -> None:
        nonlocal unreadable
        unreadable += 1
        if len(problems) < EXAMPLES:
            problems.append(problem)

    texts, names = book.texts, Texts()
    places, anchors, positive_counts, negative_counts = (array("q") for _ in range(4))
    positives, negatives, positive_names, negative_names = (array("q") for _ in range(4))
    weights, trusted = array("f"), array("b")
    table = open_table(source)
    for place, row in reading.rows(table, on_problem):
        places.append(place)
        anchors.append(texts.add(row.anchor.text))
        positive_counts.append(len(row.positives))
        negative_counts.append(len(row.negatives))
        weights.append(1.0 if row.weight is None else row.weight)
        for passage in row.positives:
            positives.append(texts.add(passage.text))
            positive_names.append(_name_number(passage, names))
        for passage in row.negatives:
            negatives.append(texts.add(passage.text))
            negative_names.append(_name_number(passage, names))
            trusted.append(passage.trusted)
    return NumberedRows(
        book=book,
        source=table.name,
        place_word=table.place_word,
        places=np.array(places, np.int64),
        anchors=np.array(anchors, np.int64),
        positive_offsets=offsets_of(np.array(positive_counts, np.int64)),
        positives=np.array(positives, np.int64),
        negative_offsets=offsets_of(np.array(negative_counts, np.int64)),
        negatives=np.array(negatives, np.int64),
        positive_names=np.array(positive_names, np.int64),
        negative_names=np.array(negative_names, np.int64),
        problems=tuple(problems),
        unreadable=unreadable,
        weights=np.array(weights, np.float32),
        trusted=np.array(trusted, bool),
    )


def numbered_pairs(pairs: Pairs, book: Book) -> NumberedRows:
    """Pairs that were read already, each as a row of its own.

    Args:
        pairs: The pairs.
        book: A book of their texts.
    """
    return NumberedRows(
        book=book,
        source=pairs.source,
        place_word=pairs.place_word,
        places=pairs.places,
        anchors=pairs.anchors,
        positive_offsets=np.arange(len(pairs) + 1),
        positives=pairs.positives,
        negative_offsets=pairs.negative_offsets,
        negatives=pairs.negative_ids,
        positive_names=np.full(len(pairs), -1),
        negative_names=np.full(len(pairs.negative_ids), -1),
        weights=pairs.weights,
        trusted=pairs.trusted,
        origins=pairs.origins,
        origin=pairs.origin,
    )


def shown(text: str, length: int = 60) -> str:
    """A text on one line, cut short."""
    line = one_line(text[: length + 1])
    return line if len(line) <= length else line[: length - 1] + "…"


def _name_number(passage: Passage, names: Texts) -> int:
    return -1 if passage.id is None else names.add(passage.id)
