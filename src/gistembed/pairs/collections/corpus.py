"""Documents and queries by their ids: read once, kept in memory-mapped files, looked up when needed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int64

from gistembed.errors import UserError
from gistembed.pairs.rows.cells import CellError, document_passage, untitled
from gistembed.pairs.rows.row import Passage
from gistembed.pairs.sources.table import Table
from gistembed.pairs.texts import Texts
from gistembed.pairs.wording import quoted


class Named(NamedTuple):
    """A text by its id.

    Attributes:
        place: The line or row that it stands on.
        passage: The text, with id and title.
    """

    place: int
    passage: Passage


@dataclass
class Corpus:
    """Texts by id.

    Attributes:
        table: What they are read from.
    """

    table: Table
    _ids: Texts = field(default_factory=Texts)
    _texts: Texts = field(default_factory=Texts)
    _text_of: list[Int64[np.ndarray, " _"]] = field(default_factory=list)
    _title_of: list[Int64[np.ndarray, " _"]] = field(default_factory=list)
    _place_of: list[Int64[np.ndarray, " _"]] = field(default_factory=list)

    @classmethod
    def read(cls, table: Table, id_column: str, text_column: str, title_column: str | None) -> "Corpus":
        """All documents or queries of a table.

        Args:
            table: The table.
            id_column: Column of ids, each there once.
            text_column: Column of texts.
            title_column: Column of titles, which stand before the texts; it may be missing.

        Raises:
            UserError: If an id or a text is missing or unusable, or an id is there twice.
        """
        corpus = cls(table)
        for block in table.read(lambda names: (id_column, text_column, title_column or id_column), None):
            passages = []
            for place, cells in zip(block.places, zip(*block.cells, strict=True), strict=True):
                try:
                    passages.append(document_passage(cells, (id_column, text_column, title_column)))
                except CellError as problem:
                    raise UserError(f"{table.place(place)}: {problem}") from None
            corpus._add(block.places, passages)
        if not len(corpus):
            raise UserError(f"{table.name}: there are no rows.")
        return corpus

    def __len__(self) -> int:
        """How many there are."""
        return len(self._ids)

    def numbers(self, ids: Sequence[str]) -> Int64[np.ndarray, " ids"]:
        """The number of each id; -1 for those that aren't here."""
        return self._ids.numbers_of(ids)

    def __getitem__(self, number: int) -> Named:
        """A document or query by its number."""
        if len(self._text_of) > 1:
            for arrays in (self._text_of, self._title_of, self._place_of):
                arrays[:] = [np.concatenate(arrays)]
        text = self._texts[self._text_of[0][number]]
        title = text[: self._title_of[0][number]] or None
        return Named(int(self._place_of[0][number]), Passage(text, id=self._ids[number], title=title))

    def numbered_texts(self) -> tuple[Texts, Texts, Int64[np.ndarray, " corpus"]]:
        """All of it at once: the ids by number, a table of texts, and of each number the text there."""
        return self._ids, self._texts, np.concatenate(self._text_of)

    def _add(self, places: Sequence[int], passages: Sequence[Passage]) -> None:
        before = len(self._ids)
        ids = [str(passage.id) for passage in passages]
        numbers = self._ids.add_all(ids)
        if (numbers != np.arange(before, before + len(ids))).any():
            place = next(number for number, found in enumerate(numbers.tolist(), before) if number != found)
            name = quoted(ids[place - before])
            raise UserError(
                f"{self.table.place(places[place - before])}: id {name} is there a second time. "
                "Give each text its own id."
            )
        self._text_of.append(self._texts.add_all([passage.text for passage in passages]))
        self._title_of.append(np.array([len(passage.title or "") for passage in passages], np.int64))
        self._place_of.append(np.asarray(places, np.int64))


HIGHEST_SCORE = 1_000_000
"""Judges give single digits; what is far above is another column."""


class Judgement(NamedTuple):
    """How well a document answers a query, by those who judged it.

    Attributes:
        place: Where it says so.
        query: Id of the query.
        document: Id of the document.
        score: 0 for not at all.
    """

    place: int
    query: str
    document: str
    score: int


COLUMNS = (
    "query_id",
    "query",
    "positive_passages",
    "negative_passages",
    "negative_trusted",
    "positive_score",
)
"""The columns of the tables that are made of queries, documents and judgements."""


def judged_rows(
    queries: Corpus, documents: Corpus, judgements: Iterator[Judgement], source: Table
) -> Iterator[tuple[int, list[object]]]:
    """One row for each query that has a positive; documents that were judged not to answer it are negatives.

    Args:
        queries: The queries.
        documents: The documents.
        judgements: Which documents answer which queries.
        source: What the judgements are read from.

    Yields:
        The place of a query, and its cells by `COLUMNS`.

    Raises:
        UserError: If a judgement is about a query or document that isn't there, or none is above 0.
    """
    found = list(_numbered(queries, documents, judgements, source))
    query, document, score = np.concatenate(found or [np.empty((3, 0), np.int64)], axis=1)
    order = np.argsort(query, kind="stable")
    query, document, score = query[order], document[order], score[order]
    if not (score > 0).any():
        raise UserError(
            f"{source.name}: no document is judged to answer a query, with a score above 0. "
            "Give judgements of which some are."
        )
    starts = np.flatnonzero(np.diff(query, prepend=-1))
    for start, stop in zip(starts.tolist(), [*starts[1:].tolist(), len(query)], strict=True):
        own, scores = document[start:stop], score[start:stop]
        positives = [cell_of(documents[number].passage) for number in own[scores > 0].tolist()]
        negatives = [cell_of(documents[number].passage) for number in own[scores <= 0].tolist()]
        if positives:
            asked = queries[int(query[start])]
            above = scores[scores > 0]
            graded = above.tolist() if (above != 1).any() else None
            texts: list[object] = [asked.passage.id, asked.passage.text, positives, negatives]
            yield asked.place, [*texts, [True] * len(negatives), graded]


def _numbered(
    queries: Corpus, documents: Corpus, judgements: Iterator[Judgement], source: Table
) -> Iterator[Int64[np.ndarray, "3 some"]]:
    while block := list(islice(judgements, 10_000)):
        found = [
            queries.numbers([judgement.query for judgement in block]),
            documents.numbers([judgement.document for judgement in block]),
        ]
        for kind, numbers, corpus in zip(("query", "document"), found, (queries, documents), strict=True):
            if len(missing := np.flatnonzero(numbers < 0)):
                judgement = block[missing[0]]
                name = quoted(judgement.query if kind == "query" else judgement.document)
                raise UserError(
                    f"{source.place(judgement.place)}: there is no {kind} {name} in {corpus.table.name}. "
                    "Add it or drop the line."
                )
        yield np.array([*found, [judgement.score for judgement in block]])


def cell_of(passage: Passage) -> dict[str, Any]:
    """A document as a cell of a row holds it."""
    return {"docid": passage.id, "title": passage.title, "text": untitled(passage)}
