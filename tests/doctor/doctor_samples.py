"""Rows for the doctor: written down as texts, or real ones without a fault."""

import json
import re

import numpy as np
from hypothesis import strategies as st
from tests.real_text import documentation_pairs

from gistembed.doctor.numbered import Book, NumberedRows
from gistembed.pairs import Texts, offsets_of

Row = tuple[str, list[str], list[str]]


def numbered(rows: list[Row], book: Book | None = None) -> NumberedRows:
    """Rows of (anchor, positives, negatives), numbered without a file.

    A passage written ``7|text`` has the id 7 in the source.
    """
    texts = (book := book or Book(Texts())).texts
    names = Texts()

    def text_ids(passages):
        return np.array([texts.add(re.sub(r"^\d+\|", "", passage)) for passage in passages], np.int64)

    def name_numbers(passages):
        found = [re.match(r"(\d+)\|", passage) for passage in passages]
        return np.array([names.add(match[1]) if match else -1 for match in found], np.int64)

    positives = [passage for _, own, _ in rows for passage in own]
    negatives = [passage for _, _, own in rows for passage in own]
    return NumberedRows(
        book=book,
        source="pairs.csv",
        place_word="line",
        places=np.arange(2, len(rows) + 2),
        anchors=text_ids([anchor for anchor, _, _ in rows]),
        positive_offsets=offsets_of(np.array([len(own) for _, own, _ in rows], np.int64)),
        positives=text_ids(positives),
        negative_offsets=offsets_of(np.array([len(own) for _, _, own in rows], np.int64)),
        negatives=text_ids(negatives),
        positive_names=name_numbers(positives),
        negative_names=name_numbers(negatives),
    )


def real_rows(count: int = 1_000) -> list[Row]:
    """Real rows without a fault: each has the paragraph of another as its negative."""
    pairs = list(dict(documentation_pairs()).items())[:count]
    step = len(pairs) // 2
    return [
        (anchor, [positive], [pairs[(number + step) % len(pairs)][1]])
        for number, (anchor, positive) in enumerate(pairs)
    ]


def write(path, rows: list[Row]):
    """The rows as JSON Lines."""
    lines = [
        json.dumps({"anchor": anchor, "positive": positives, "negative": negatives}, ensure_ascii=False)
        for anchor, positives, negatives in rows
    ]
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def summary(findings):
    """Code, severity, count and total of each finding."""
    return [(one.code, one.severity, one.count, one.of) for one in findings]


# The same few texts in several forms, so that rows collide in all ways.
FORMS = ["a b", "A  b", "a B ", "c", "C", "é", "e\u0301", "d"]


def colliding_rows() -> st.SearchStrategy[list[Row]]:
    """Rows over few texts that differ in case, white space and composition."""
    text = st.sampled_from(FORMS)
    return st.lists(
        st.tuples(text, st.lists(text, min_size=1, max_size=3), st.lists(text, max_size=3)),
        min_size=1,
        max_size=8,
    )
