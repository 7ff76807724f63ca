"""The text ids of a batch, known positives among them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tests.pairs.pairs_samples import pairs_of, rows_of_texts

from gistembed.batches import batch_ids


def known_of(pairs, ids):
    parts = np.split(ids.known, ids.known_offsets[1:-1])
    return [[pairs.texts[i] for i in part] for part in parts]


def texts_of(pairs, ids):
    return [[pairs.texts[i] for i in row if i >= 0] for row in ids.tolist()]


def test_known_positives_are_those_that_the_batch_holds():
    """``a`` has the positives b, c and d; d is in no row of this batch."""
    pairs = pairs_of([("a", "b", []), ("e", "c", ["b"]), ("a", "c", []), ("a", "d", [])])
    ids = batch_ids(pairs, pairs.known_positives(), np.array([0, 1]))
    assert texts_of(pairs, ids.anchors[:, None]) == [["a"], ["e"]]
    assert texts_of(pairs, ids.positives[:, None]) == [["b"], ["c"]]
    assert texts_of(pairs, ids.negatives) == [[], ["b"]]
    assert known_of(pairs, ids) == [["b", "c"], ["c"]]
    assert ids.negatives.tolist()[0] == [-1]


@given(rows_of_texts(), st.data())
def test_ids_equal_their_definition(rows, data):
    pairs = pairs_of(rows)
    chosen = data.draw(st.lists(st.sampled_from(range(len(rows))), min_size=1, unique=True))
    ids = batch_ids(pairs, pairs.known_positives(), np.array(chosen))
    batch = [rows[row] for row in chosen]
    present = {text for anchor, positive, negatives in batch for text in (anchor, positive, *negatives)}
    assert texts_of(pairs, ids.anchors[:, None]) == [[row[0]] for row in batch]
    assert texts_of(pairs, ids.positives[:, None]) == [[row[1]] for row in batch]
    assert texts_of(pairs, ids.negatives) == [row[2] for row in batch]
    assert [set(known) for known in known_of(pairs, ids)] == [
        {positive for anchor, positive, _ in rows if anchor == row[0]} & present for row in batch
    ]
