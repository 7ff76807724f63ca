"""Pairs as ids: taking rows, relations and digests, by value."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from pairs_samples import as_rows, pairs_of, rows_of_texts

from gistembed.pairs import Texts, read_pairs

ROWS = [("a", "b", ["c", "d"]), ("e", "b", []), ("a", "c", ["b"]), ("e", "b", ["a"])]


@given(rows_of_texts(), st.data())
def test_take_gives_the_rows_asked_for(rows, data):
    pairs = pairs_of(rows)
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1)))
    taken = pairs.take(np.array(chosen, np.int64))
    assert as_rows(taken) == [rows[row] for row in chosen]
    assert [taken.place(row) for row in range(len(chosen))] == [f"test:{row + 1}" for row in chosen]


def test_known_positives_are_those_of_the_text_as_an_anchor():
    pairs = pairs_of(ROWS)
    relations = pairs.known_positives()
    known = {pairs.texts[text]: {pairs.texts[i] for i in relations.of(text)} for text in pairs.text_ids()}
    assert known == {"a": {"b", "c"}, "b": set(), "c": set(), "d": set(), "e": {"b"}}
    assert len(relations.ids) == 3


def test_text_ids_count_every_role_once():
    pairs = pairs_of(ROWS)
    assert pairs.text_ids().tolist() == [0, 1, 2, 3, 4]
    assert {pairs.texts[text_id] for text_id in pairs.take(np.array([1])).text_ids()} == {"b", "e"}


def test_digest_depends_on_texts_and_not_on_numbers():
    texts = Texts()
    for text in "edcba":
        texts.add(text)
    assert pairs_of(ROWS, texts).digest() == pairs_of(ROWS).digest()


@given(rows_of_texts(), rows_of_texts())
def test_digests_are_equal_only_if_the_pairs_are(left, right):
    assert (pairs_of(left).digest() == pairs_of(right).digest()) == (left == right)


def test_moving_a_negative_to_the_next_pair_changes_the_digest():
    """Without the offsets both would hash the same run of texts."""
    left = [("a", "b", ["c"]), ("a", "d", [])]
    right = [("a", "b", []), ("a", "d", ["c"])]
    assert pairs_of(left).digest() != pairs_of(right).digest()


def test_digest_is_pinned(tmp_path):
    """The same data must have the same digest on every machine and in every later version."""
    path = tmp_path / "pairs.csv"
    path.write_text("anchor,positive,negative\na,b,c\nd,é,\n", encoding="utf-8")
    assert read_pairs(path).digest() == "8fa7d67e9fd4de7cda43a52fd1e72583"
