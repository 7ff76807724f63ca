"""Mined hard negatives as rows, and the share of them that is false."""

import numpy as np
from datasets import Dataset
from experiments.harness.mining import false_share, mined_rows

from gistembed.mine import MinedNegatives, Nearest
from gistembed.pairs import read_pairs


def test_each_row_has_what_was_mined_for_its_anchor():
    pairs = read_pairs(Dataset.from_dict({"anchor": ["a", "b"], "positive": ["p", "q"]}))
    a, b, p, q = (pairs.texts.id_of(text) for text in "abpq")
    order = np.argsort([a, b])
    anchors, negatives = np.array([a, b])[order], np.array([[q], [-1]])[order]
    nothing = np.array([], np.int64)
    mined = MinedNegatives(
        anchors,
        Nearest(negatives, np.zeros((2, 1), np.float32)),
        nothing,
        nothing.astype(np.float32),
        len(pairs.texts),
    )
    assert p != q
    assert mined_rows(pairs, mined) == [
        {"anchor": "a", "positive": "p", "negative": ["q"]},
        {"anchor": "b", "positive": "q"},
    ]


def test_a_negative_is_false_if_it_shares_a_label_with_its_anchor():
    rows = [
        {"anchor": "a", "positive": "p", "negative": ["x", "y"]},
        {"anchor": "b", "positive": "q", "negative": ["x"]},
        {"anchor": "b", "positive": "q"},
    ]
    labels = {"a": ["1", "2"], "b": ["3"], "x": ["2", "4"], "y": ["3"]}
    assert false_share(rows, labels) == 1 / 3
