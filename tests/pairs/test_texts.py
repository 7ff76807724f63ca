"""Each distinct text has one id."""

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from gistembed.pairs import Texts


@given(st.lists(st.text(max_size=3)))
def test_ids_number_distinct_texts_in_order(texts):
    table = Texts()
    ids = [table.add(text) for text in texts]
    distinct = list(dict.fromkeys(texts))
    assert ids == [distinct.index(text) for text in texts]
    assert [table[text_id] for text_id in range(len(table))] == distinct


def test_near_equal_texts_are_distinct():
    table = Texts()
    assert [table.add(text) for text in ["a", "A", " a", "a\n", "é", "e\u0301"]] == list(range(6))


@pytest.mark.parametrize("text_id", [-1, 1])
def test_an_unknown_id_is_an_error(text_id):
    """-1 pads arrays of ids elsewhere; it must not quietly mean the last text."""
    table = Texts()
    table.add("a")
    with pytest.raises(IndexError):
        table[text_id]


def test_hashes_and_digest():
    table = Texts()
    table.add("é")
    table.add("")
    hashes = [xxhash.xxh3_128_digest("é".encode()), xxhash.xxh3_128_digest(b"")]
    assert [row.tobytes() for row in table.hashes()] == hashes
    assert table.digest() == xxhash.xxh3_128_hexdigest(b"".join(hashes))
    assert Texts().hashes().shape == (0, 16)
