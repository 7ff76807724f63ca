"""Writes rows as a folder of BEIR: corpus, queries and judgements."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from gistembed.errors import UserError
from gistembed.files import whole_folder
from gistembed.pairs.collections.corpus import HIGHEST_SCORE
from gistembed.pairs.rows.cells import untitled
from gistembed.pairs.rows.row import Passage, Row
from gistembed.pairs.texts import Texts
from gistembed.pairs.wording import quoted
from gistembed.pairs.writing.layouts import named

HOLDS = frozenset(
    {"anchor id", "positive id", "negative id", "positive title", "negative title"}
    | {"positive score", "negative trusted"}
)


def lost(row: Row) -> Iterator[str]:
    """What BEIR can't say of a row, in words, besides what it doesn't hold.

    Args:
        row: The row.
    """
    if any(one.score is not None and _grade(one.score) is None for one in row.positives):
        yield f"scores of positives that aren't whole numbers from 1 to {HIGHEST_SCORE:,}"
    if any(not passage.trusted for passage in row.negatives):
        yield "negatives that nobody judged"


def write_beir(rows: Callable[[], Iterator[Row]], folder: Path) -> None:
    """Write a folder with ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/train.tsv``.

    Texts without an id get one that is made of their hash. A negative is a document that was judged with 0; a
    positive without a grade, or with one that BEIR can't write, is judged with 1.

    Args:
        rows: Gives the rows, from the first on at each call.
        folder: The folder; it is there whole or not at all.

    Raises:
        UserError: If an id names two texts.
        OSError: If the disk refuses.
    """
    with whole_folder(folder) as partial:
        (partial / "qrels").mkdir()
        with (
            (partial / "corpus.jsonl").open("w", encoding="utf-8", newline="\n") as corpus,
            (partial / "queries.jsonl").open("w", encoding="utf-8", newline="\n") as queries,
            (partial / "qrels" / "train.tsv").open("w", encoding="utf-8", newline="\n") as judged,
        ):
            documents, asked = _Once("document"), _Once("query")
            judged.write("query-id\tcorpus-id\tscore\n")
            for row in rows():
                if asked.is_new(row.anchor):
                    queries.write(_json({"_id": named(row.anchor), "text": row.anchor.text}))
                judgements = [(one, _grade(one.score) or 1) for one in row.positives]
                judgements += [(one, 0) for one in row.negatives]
                for passage, score in judgements:
                    if documents.is_new(passage):
                        record = {
                            "_id": named(passage),
                            "title": passage.title or "",
                            "text": untitled(passage),
                        }
                        corpus.write(_json(record))
                    judged.write(f"{_cell(named(row.anchor))}\t{_cell(named(passage))}\t{score}\n")


def _grade(score: float | None) -> int | None:
    """The score as a judge of BEIR gives it to a document that answers; None if none could be meant."""
    if score is None or not 1 <= score <= HIGHEST_SCORE or score != int(score):
        return None
    return int(score)


class _Once:
    """Knows which ids were written, and with which text."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._ids = Texts()
        self._texts: list[bytes] = []

    def is_new(self, passage: Passage) -> bool:
        import xxhash

        digest = xxhash.xxh3_128_digest(passage.text.encode())
        number = self._ids.add(named(passage))
        if number < len(self._texts):
            if self._texts[number] != digest:
                name = quoted(named(passage))
                raise UserError(f"{self._kind} id {name} names two different texts; give each its own id")
            return False
        self._texts.append(digest)
        return True


def _json(record: dict[str, str]) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"


def _cell(name: str) -> str:
    return f'"{name.replace(chr(34), chr(34) * 2)}"' if any(sign in name for sign in '\t\r\n"') else name
