"""What a guide disagrees with leaves, after rounding, whatever the size of blocks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gistembed.build import agreed_rows
from gistembed.guide import GuideVectors
from gistembed.pairs import Passage, Row


def row(query, positive, negative):
    return Row(Passage(query), (Passage(positive),), (Passage(negative),), task="t")


def guide_of(vectors):
    """A guide with a vector for each (role, text)."""

    def encode(asked):
        source, rows = [], {}
        for role, ids in asked.ids.items():
            rows[role] = np.full(len(asked.texts), -1)
            rows[role][ids] = len(source) + np.arange(len(ids))
            source += [vectors[role, asked.texts[text_id]] for text_id in ids.tolist()]
        return GuideVectors(np.array(source, np.float32), rows)

    return encode


@settings(max_examples=50)
@given(seed=st.integers(0, 1000), count=st.integers(1, 30), at_once=st.integers(1, 31))
def test_the_rows_are_those_of_a_loop(seed, count, at_once):
    generator = np.random.default_rng(seed)
    names = [f"text {number}" for number in range(6)]
    vectors = {
        (role, name): generator.standard_normal(3) for role in ("anchor", "document") for name in names
    }
    rows = [row(*generator.choice(names, 3).tolist()) for _ in range(count)]

    def similarity(query, document):
        a, b = (np.float32(vectors[key]).astype(float) for key in (("anchor", query), ("document", document)))
        return round(float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)), 4)

    expected = [
        one
        for one in rows
        if similarity(one.anchor.text, one.positives[0].text)
        >= similarity(one.anchor.text, one.negatives[0].text)
    ]
    left_out = []
    kept = agreed_rows(
        enumerate(rows, 1), guide_of(vectors), str, on_left_out=left_out.append, at_once=at_once
    )
    assert list(kept) == expected
    assert sum(left_out) == len(rows) - len(expected)


def at_angle(cosine):
    return [cosine, float(np.sqrt(1 - cosine**2))]


@pytest.mark.parametrize(
    ("negative", "stays"), [(0.60002, True), (0.60004, True), (0.6001, False), (0.59, True)]
)
def test_similarities_are_compared_at_four_digits(negative, stays):
    """0.60004 is above 0.6, but not at four digits: without rounding the row would leave."""
    vectors = {
        ("anchor", "q"): [1, 0],
        ("document", "p"): at_angle(0.6),
        ("document", "n"): at_angle(negative),
    }
    assert (
        list(agreed_rows([(1, row("q", "p", "n"))], guide_of(vectors), str)) == [row("q", "p", "n")] * stays
    )


def test_a_text_is_placed_by_the_first_row_that_holds_it():
    rows = [(3, row("a", "b", "c")), (5, row("d", "b", "e")), (8, row("a", "e", "b"))]
    places = {}

    def encode(asked):
        texts = [asked.texts[text_id] for text_id in range(len(asked.texts))]
        places.update({text: asked.place_of(text_id) for text_id, text in enumerate(texts)})
        return guide_of({(role, text): [1.0, 0.0] for role in asked.ids for text in texts})(asked)

    assert list(agreed_rows(rows, encode, "record {}".format)) == [one for _, one in rows]
    assert places == {"a": "record 3", "b": "record 3", "c": "record 3", "d": "record 5", "e": "record 5"}
