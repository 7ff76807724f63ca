"""How each format lays out a row: as one record or several, and what it has no place for."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import xxhash

from gistembed.pairs.rows.cells import untitled
from gistembed.pairs.rows.row import Passage, Row
from gistembed.pairs.writing.shape import FIELDS, Shape

Record = dict[str, Any]

_OTHERS = ("task", "weight")
_IN_OBJECTS = ("id", "title", "score")


class Layout(ABC):
    """The records of one format.

    Attributes:
        flat: Whether each value is one text or number, so that it fits into a cell of CSV.
        holds: What it has a place for besides texts, by the names of `Shape`; ``column`` for further columns,
            ``positive key`` for further keys of objects. All else is left out.
    """

    flat = False
    holds: frozenset[str] = frozenset()

    @abstractmethod
    def records(self, row: Row, shape: Shape) -> Iterator[Record]:
        """The records of a row.

        Args:
            row: The row.
            shape: What all rows hold.
        """

    def lost(self, row: Row) -> Iterator[str]:
        """What this format can't say of a row, in words, besides what it doesn't hold."""
        return iter(())


def _every(*roles: str, fields: Sequence[str] = FIELDS) -> set[str]:
    return {f"{role} {name}" for role in roles for name in fields}


class Lists(Layout):
    """Our own: ``anchor``, ``positive``, ``negative`` and what stands beside them; several are a list."""

    holds = frozenset(
        {*_every("anchor", "positive", "negative"), *_OTHERS, "column", "positive key", "negative key"}
        - {"anchor title", "anchor score", "anchor trusted", "positive trusted"}
    )

    def records(self, row: Row, shape: Shape) -> Iterator[Record]:
        """One record for each row."""
        record: Record = {"anchor": row.anchor.text}
        for role, passages, most in (
            ("positive", row.positives, shape.positives),
            ("negative", row.negatives, shape.negatives),
        ):
            if most:
                cell_of = _object if role in shape.objects else untitled
                record[role] = _list_or_one([cell_of(passage) for passage in passages], most)
        for name in FIELDS:
            for role, passages, most in (
                ("anchor", (row.anchor,), 1),
                ("positive", row.positives, shape.positives),
                ("negative", row.negatives, shape.negatives),
            ):
                inside = role in shape.objects and name in _IN_OBJECTS
                if self._has(role, name, shape) and not inside:
                    record[f"{role}_{name}"] = _list_or_one([getattr(one, name) for one in passages], most)
        yield record | _others(row, shape)

    def _has(self, role: str, name: str, shape: Shape) -> bool:
        """Whether what may stand beside texts is written."""
        return f"{role} {name}" in self.holds and shape.held[f"{role} {name}"] > 0


class Columns(Lists):
    """The same for CSV: a record for each positive, and a numbered column for each negative."""

    flat = True
    holds = Lists.holds - {"positive key", "negative key"}

    def records(self, row: Row, shape: Shape) -> Iterator[Record]:
        """One record for each positive."""
        for positive in row.positives:
            record: Record = {"anchor": row.anchor.text, "positive": untitled(positive)}
            named = (
                [f"_{number}" for number in range(1, shape.negatives + 1)] if shape.negatives > 1 else [""]
            )
            negatives = [*row.negatives, *[None] * (shape.negatives - len(row.negatives))]
            columns = list(zip(named, negatives, strict=True)) if shape.negatives else []
            record |= {f"negative{end}": None if one is None else untitled(one) for end, one in columns}
            for name in FIELDS:
                for role, passage in (("anchor", row.anchor), ("positive", positive)):
                    if self._has(role, name, shape):
                        record[f"{role}_{name}"] = getattr(passage, name)
                if self._has("negative", name, shape):
                    record |= {f"negative_{name}{end}": getattr(one, name, None) for end, one in columns}
            yield record | _others(row, shape)


class SentenceTransformers(Layout):
    """``anchor``, ``positive``, ``negative_1`` and so on, in this order, for sentence-transformers."""

    flat = True

    def records(self, row: Row, shape: Shape) -> Iterator[Record]:
        """One record for each positive."""
        for positive in row.positives:
            record: Record = {"anchor": row.anchor.text, "positive": positive.text}
            for number in range(shape.negatives):
                name = f"negative_{number + 1}" if shape.negatives > 1 else "negative"
                record[name] = row.negatives[number].text if number < len(row.negatives) else None
            yield record


class FlagEmbedding(Layout):
    """``query``, ``pos``, ``neg``, their scores and ``prompt``, for FlagEmbedding."""

    holds = frozenset(
        {"anchor instruction", "anchor id", "positive id", "negative id", "positive score", "negative score"}
        | {"negative trusted", *_OTHERS, "column"}
    )

    def records(self, row: Row, shape: Shape) -> Iterator[Record]:
        """One record for each row."""
        record: Record = {
            "query": row.anchor.text,
            "pos": [passage.text for passage in row.positives],
            "neg": [passage.text for passage in row.negatives],
        }
        for held, key, values in (
            ("positive score", "pos_scores", [passage.score for passage in row.positives]),
            ("negative score", "neg_scores", [passage.score for passage in row.negatives]),
            ("positive id", "pos_id", [passage.id for passage in row.positives]),
            ("negative id", "neg_id", [passage.id for passage in row.negatives]),
            ("negative trusted", "neg_trusted", [passage.trusted for passage in row.negatives]),
            ("anchor instruction", "prompt", row.anchor.instruction),
            ("anchor id", "query_id", row.anchor.id),
        ):
            if shape.held[held]:
                record[key] = values
        yield record | _others(row, shape)


class Medi(Layout):
    """``query``, ``pos``, ``neg`` as ``[instruction, text]``, and ``task_name``, as MEDI ships it."""

    holds = frozenset({*_every("anchor", "positive", "negative", fields=("instruction",)), "task"})

    def records(self, row: Row, shape: Shape) -> Iterator[Record]:
        """One record for each positive, with the first negative."""
        for positive in row.positives:
            record: Record = {"query": _instructed(row.anchor), "pos": _instructed(positive)}
            if row.negatives:
                record["neg"] = _instructed(row.negatives[0])
            if row.task is not None:
                record["task_name"] = row.task
            yield record

    def lost(self, row: Row) -> Iterator[str]:
        """Negatives after the first."""
        if len(row.negatives) > 1:
            yield "negatives after the first"


class FlatMedi(Medi):
    """The same with ``query_instruct``, ``pos_instruct`` and ``neg_instruct`` in columns of their own."""

    flat = True

    def records(self, row: Row, shape: Shape) -> Iterator[Record]:
        """One record for each positive, with the first negative."""
        for positive in row.positives:
            negative = row.negatives[0] if row.negatives else None
            record: Record = {
                "query": row.anchor.text,
                "pos": positive.text,
                "query_instruct": row.anchor.instruction,
                "pos_instruct": positive.instruction,
            }
            if shape.negatives:
                record["neg"] = negative and negative.text
                record["neg_instruct"] = negative and negative.instruction
            if shape.held["task"]:
                record["task_name"] = row.task
            yield record


class Tevatron(Layout):
    """``query_id``, ``query`` and passages with ``docid``, ``title``, ``text`` and more, for Tevatron."""

    holds = frozenset(
        {*_every("positive", "negative", fields=("id", "title", "score", "key")), "anchor id"}
        | {*_OTHERS, "column"}
    )

    def records(self, row: Row, shape: Shape) -> Iterator[Record]:
        """One record for each row."""
        record: Record = {
            "query_id": named(row.anchor),
            "query": row.anchor.text,
            "positive_passages": [_document(passage) for passage in row.positives],
            "negative_passages": [_document(passage) for passage in row.negatives],
        }
        yield record | _others(row, shape)


class Labelled(Layout):
    """``sentence1``, ``sentence2`` and ``label``: 1 for a positive, 0 for a negative."""

    flat = True
    holds = frozenset({"column"})

    def records(self, row: Row, shape: Shape) -> Iterator[Record]:
        """One record for each positive and each negative."""
        for label, passages in ((1, row.positives), (0, row.negatives)):
            for passage in passages:
                yield {"sentence1": row.anchor.text, "sentence2": passage.text, "label": label, **row.extra}


class Triples(Layout):
    """Query, positive and negative parted by tabs, without a line that names them, as MS MARCO ships them."""

    flat = True

    def records(self, row: Row, shape: Shape) -> Iterator[Record]:
        """One record for each positive and each negative."""
        for positive in row.positives:
            for negative in row.negatives:
                yield {"query": row.anchor.text, "positive": positive.text, "negative": negative.text}

    def lost(self, row: Row) -> Iterator[str]:
        """Rows without a negative, and which negatives are of one row."""
        if not row.negatives:
            yield "pairs without a negative"
        if len(row.negatives) > 1:
            yield "which negatives belong to one pair"
        if any(
            sign in passage.text
            for sign in "\t\r\n"
            for passage in (row.anchor, *row.positives, *row.negatives)
        ):
            yield "tabs and line ends in texts"


def named(passage: Passage) -> str:
    """The id of a text, or one made of its hash: equal texts have equal ids."""
    return xxhash.xxh3_64_hexdigest(passage.text.encode()) if passage.id is None else passage.id


def _object(passage: Passage) -> Record:
    """A text as an object, with the keys that it came with."""
    known = {"docid": passage.id, "title": passage.title, "text": untitled(passage), "score": passage.score}
    return {key: value for key, value in known.items() if value is not None} | dict(passage.extra or {})


def _document(passage: Passage) -> Record:
    return _object(passage._replace(id=named(passage), title=passage.title or ""))


def _instructed(passage: Passage) -> list[str]:
    return [passage.instruction or "", passage.text]


def _list_or_one(values: list[Any], most: int) -> Any:  # noqa: ANN401
    if most > 1:
        return values
    return values[0] if values else None


def _others(row: Row, shape: Shape) -> Record:
    record: Record = {}
    if shape.held["task"]:
        record["task"] = row.task
    if shape.held["weight"]:
        record["weight"] = row.weight
    return record | dict(row.extra)
