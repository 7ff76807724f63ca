"""Planted faults: which rows have them, and what tells them."""

import pytest
from experiments.harness.planting import halves, plant

_FOUND = [(f"title {i}", f"{i}a {i}b {i}c {i}d") for i in range(8)]


def test_without_faults_every_negative_is_of_a_spare_abstract():
    planted = plant(_FOUND)
    assert planted.rows == [
        {"anchor": "title 0", "positive": "0a 0b", "negative": "4a 4b"},
        {"anchor": "title 1", "positive": "1c 1d", "negative": "4c 4d"},
        {"anchor": "title 2", "positive": "2a 2b", "negative": "5a 5b"},
        {"anchor": "title 3", "positive": "3c 3d", "negative": "5c 5d"},
    ]


def test_a_false_negative_is_the_other_half_of_the_own_abstract():
    planted = plant(_FOUND, false_negatives=0.5)
    assert [row["negative"] for row in planted.rows] == ["0c 0d", "1a 1b", "5a 5b", "5c 5d"]
    assert [row["positive"] for row in planted.rows] == ["0a 0b", "1c 1d", "2a 2b", "3c 3d"]


def test_a_wrong_positive_is_that_of_another_row():
    planted = plant(_FOUND, wrong_positives=0.75)
    assert [row["positive"] for row in planted.rows] == ["1c 1d", "2a 2b", "0a 0b", "3c 3d"]
    assert [row["negative"] for row in planted.rows] == ["4a 4b", "4c 4d", "5a 5b", "5c 5d"]


def test_labels_join_what_is_of_one_abstract_and_leave_spare_ones_out():
    labels = plant(_FOUND, false_negatives=0.5).labels
    assert labels["title 1"] == labels["1a 1b"] == labels["1c 1d"] == ["1"]
    assert len(labels) == 12


@pytest.mark.parametrize(
    ("words", "expected"), [(40, ("a b", "c d e")), (2, ("a b", "c d")), (1, ("a", "c"))]
)
def test_each_half_keeps_its_first_words(words, expected):
    assert halves("a b c d e", words) == expected
