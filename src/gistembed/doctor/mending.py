"""A copy of the rows without what can be taken out safely, and a list of every change."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from jaxtyping import Bool

from gistembed.doctor.numbered import PLAIN, Book, NumberedRows, Reading, read_numbered
from gistembed.doctor.same import contradictions, earlier_pair, repeated_negatives
from gistembed.errors import UserError
from gistembed.files import whole_file
from gistembed.pairs import Passage, Problem, Row, Texts, check_new, check_out, write_rows
from gistembed.pairs.wording import located, source_changed

if TYPE_CHECKING:
    from gistembed.pairs.opening import Source


@dataclass(frozen=True)
class Mended:
    """What mending did.

    Attributes:
        path: The copy.
        changes_path: The list of changes, one JSON object on each line: ``place``, ``what`` (the code of
            the finding), ``role``, ``anchor``, ``before``, ``after`` (null: the text is gone), ``why``.
        rows: Rows in the copy.
        rows_read: Rows of the source, those that can't be read included; of graded ones, the positive pairs.
        changes: Changes by code.
        renamed: New names, by the old ones, of further columns that have another name in the copy.
    """

    path: Path
    changes_path: Path
    rows: int
    rows_read: int
    changes: Mapping[str, int]
    renamed: Mapping[str, str]


def check_fix(out: Path) -> None:
    """Refuse a place for the copy before any work is done.

    Args:
        out: Where the copy is to go.

    Raises:
        UserError: If it, or the list of changes beside it, can't be written.
    """
    check_out(out, option="--fix")
    check_new(_changes_path(out), option="--fix")


def mend(source: "Source", out: Path, reading: Reading = PLAIN) -> Mended:
    """Write the rows without what the findings call fixable; texts themselves are never changed.

    Left out are rows that can't be read; positives that are their anchor; negatives that are their anchor or
    a known positive of it, in whichever row; pairs that repeat an earlier one with the same negatives; and
    negatives that stand twice in a row. Texts count as the same if only case, white space or Unicode
    composition tell them apart. A row that loses its last positive is left out.

    Args:
        source: See `gistembed.pairs.read_rows`.
        out: Where the copy goes; the list of changes goes beside it.
        reading: How its rows are read.

    Raises:
        UserError: If the source can't be read, the place is taken, or no row would be left.
        OSError: If the disk refuses; nothing is left behind.
    """
    check_fix(out)
    rows = read_numbered(source, Book(Texts()), reading)
    leaves = _leaving(rows)
    if all(leaves.positives):
        raise UserError(f"--fix {out}: no row would be left; nothing was written")
    changes: dict[str, int] = {}
    renamed: dict[str, str] = {}
    changes_path = _changes_path(out)
    written = False
    # Short of a crash between two renames, there are both files or none.
    try:
        with whole_file(changes_path) as file:
            log = _Log(rows, file, changes)
            mended = _mended_rows(source, reading, rows, leaves, log)
            count = write_rows(mended, out, on_renamed=renamed.__setitem__)
            written = True
    except BaseException:
        # What stands there otherwise is another's: it came after the place was checked.
        if written:
            out.unlink(missing_ok=True)
        raise
    return Mended(out, changes_path, count, len(rows) + rows.unreadable, changes, renamed)


@dataclass(frozen=True, eq=False)
class _Leaving:
    """What leaves: for each positive and negative the code of the reason, "" if it stays."""

    positives: list[str]
    negatives: list[str]


def _leaving(rows: NumberedRows) -> _Leaving:
    forms = rows.book.forms
    contradicting = contradictions(rows, forms)
    twice = repeated_negatives(rows, contradicting.any)
    same = forms[rows.pair_anchors] == forms[rows.positives]
    repeated = earlier_pair(rows, forms, ~same, ~(contradicting.any | twice)) >= 0
    return _Leaving(
        positives=_codes({"positive-is-anchor": same, "repeated-pair": repeated}),
        negatives=_codes(
            {
                "negative-is-anchor": contradicting.anchor,
                "negative-is-positive": contradicting.positive,
                "conflicting-rows": contradicting.elsewhere,
                "repeated-negative": twice,
            }
        ),
    )


def _codes(reasons: Mapping[str, Bool[np.ndarray, " texts"]]) -> list[str]:
    """The code of the reason for each text; the reasons exclude each other."""
    codes: list[str] = np.select(list(reasons.values()), list(reasons), "").tolist()
    return codes


_REASONS = {
    "positive-is-anchor": "the positive is the anchor",
    "repeated-pair": "the pair repeats an earlier one with the same negatives",
    "negative-is-anchor": "the negative is the anchor",
    "negative-is-positive": "the negative is a positive of the row",
    "conflicting-rows": "the negative is a positive of the anchor in another row",
    "repeated-negative": "the negative stands twice in the row",
}


class _Log:
    """Writes down changes and counts them."""

    def __init__(self, rows: NumberedRows, file: BinaryIO, counts: dict[str, int]) -> None:
        self._rows = rows
        self._file = file
        self._counts = counts

    def add(
        self, place: int, what: str, role: str, why: str, anchor: str | None = None, before: str | None = None
    ) -> None:
        """One text or one whole row is left out."""
        change = {
            "place": located(self._rows.source, self._rows.place_word, place),
            "what": what,
            "role": role,
            "anchor": anchor,
            "before": before,
            "after": None,
            "why": why,
        }
        self._file.write(json.dumps(change, ensure_ascii=False).encode() + b"\n")
        self._counts[what] = self._counts.get(what, 0) + 1

    def unreadable(self, problem: Problem) -> None:
        """A row that can't be read is left out."""
        self.add(problem.place, "unreadable-row", "row", problem.text)


def _mended_rows(
    source: "Source", reading: Reading, rows: NumberedRows, leaves: _Leaving, log: _Log
) -> Iterator[Row]:
    """The rows of the source once more, so that all that they say is kept, without what leaves."""
    numbered = _codes_by_row(rows, leaves)
    for place, row in reading.rows(source, log.unreadable):
        texts = [passage.text for passage in (row.anchor, *row.positives, *row.negatives)]
        where, texts_before, positives, negatives = next(numbered, (-1, [], [], []))
        if (where, texts_before, len(positives)) != (place, texts, len(row.positives)):
            raise source_changed(rows.source)
        for role, passages, codes in (
            ("positive", row.positives, positives),
            ("negative", row.negatives, negatives),
        ):
            for passage, code in zip(passages, codes, strict=True):
                if code:
                    log.add(place, code, role, _REASONS[code], row.anchor.text, passage.text)
        if kept := _staying(row.positives, positives):
            yield row._replace(positives=kept, negatives=_staying(row.negatives, negatives))
        else:
            log.add(place, "no-positive-left", "row", "the row has lost its last positive", row.anchor.text)
    if next(numbered, None) is not None:
        raise source_changed(rows.source)


def _codes_by_row(
    rows: NumberedRows, leaves: _Leaving
) -> Iterator[tuple[int, list[str], list[str], list[str]]]:
    """For each row its place, its texts, and the codes of its positives and negatives."""
    for row, (place, anchor) in enumerate(zip(rows.places.tolist(), rows.anchors.tolist(), strict=True)):
        positives = slice(*rows.positive_offsets[row : row + 2].tolist())
        negatives = slice(*rows.negative_offsets[row : row + 2].tolist())
        ids = [anchor, *rows.positives[positives].tolist(), *rows.negatives[negatives].tolist()]
        yield place, list(map(rows.text, ids)), leaves.positives[positives], leaves.negatives[negatives]


def _staying(passages: tuple[Passage, ...], codes: Sequence[str]) -> tuple[Passage, ...]:
    return tuple(passage for passage, code in zip(passages, codes, strict=True) if not code)


def _changes_path(out: Path) -> Path:
    return out.with_name(out.name + ".changes.jsonl")
