"""Labels inside texts, and evaluation data inside training data."""

import numpy as np
import pytest
from tests.doctor.doctor_samples import numbered, real_rows, summary

from gistembed.doctor import leak, near
from gistembed.doctor.numbered import Book
from gistembed.pairs import Texts


def titled(count, of=100):
    return [
        (
            f"title of document {number}",
            [f"{f'title of document {number}: ' if number < count else ''}the body of it, number {number}"],
            [],
        )
        for number in range(of)
    ]


def test_anchors_inside_positives():
    (found,) = leak.contained_texts(numbered(titled(30)))
    assert summary([found]) == [("anchor-in-positive", "warning", 30, 100)]
    assert found.what == "positives hold their anchor letter by letter"
    assert summary(leak.contained_texts(numbered(titled(10)))) == [("anchor-in-positive", "note", 10, 100)]
    assert leak.contained_texts(numbered(titled(9))) == []


def test_positives_inside_anchors():
    rows = [(positive, [anchor], []) for anchor, (positive,), _ in titled(50)]
    assert summary(leak.contained_texts(numbered(rows))) == [("positive-in-anchor", "warning", 50, 100)]


def test_a_short_anchor_stands_in_a_text_by_chance():
    rows = [("photosynthesis", [f"what photosynthesis does, part {number}"], []) for number in range(100)]
    assert leak.contained_texts(numbered(rows)) == []


def labelled(positive, negative):
    return numbered(
        [
            (f"q{number}", [positive.format(f"p{number}")], [negative.format(f"n{number}")])
            for number in range(60)
        ]
    )


@pytest.mark.parametrize(
    ("positive", "negative", "what"),
    [
        ("Answer: {}", "{} so", "positives hold the word 'answer:', but only 0 of 60 negatives do"),
        ("Answer: {}", "{}", "positives hold the word 'answer:', but only 0 of 60 negatives do"),
        ("{}", "{} [FALSE]", "negatives end with ']', but only 0 of 60 positives do"),
        ("{}.", "{}", "positives end with '.', but only 0 of 60 negatives do"),
    ],
)
def test_a_word_that_tells_positives_from_negatives(positive, negative, what):
    found = leak.labels(labelled(positive, negative))
    (label,) = [one for one in found if one.code == "label-in-text"]
    assert (label.severity, label.count, label.of, label.what) == ("error", 60, 60, what)
    assert [(one.place, one.text) for one in label.examples] == [
        ("pairs.csv:2", f"positives: {positive.format('p0')}"),
        ("pairs.csv:2", f"negatives: {negative.format('n0')}"),
    ]


def test_a_label_in_both_is_a_note():
    found = leak.labels(labelled("passage: {}", "passage: {}"))
    assert summary(found) == [("label-before-positive", "note", 60, 60)]
    assert found[0].what == "positives begin with 'passage:'"


def test_overlap():
    book = Book(Texts())
    rows = numbered([(f"q{number}", [f"p{number}"], []) for number in range(20)], book)
    evaluation = numbered(
        [("Q1", ["p1"], []), ("q2", ["new"], []), ("fresh", ["p3", "other"], []), ("x", ["y"], [])], book
    )
    anchors, positives = leak.overlap(rows, evaluation, None)
    assert summary([anchors, positives]) == [
        ("evaluation-anchor-in-training", "error", 2, 4),
        ("evaluation-positive-in-training", "note", 2, 5),
    ]
    assert anchors.what == (
        "evaluation anchors are anchors of the training data too (1 with a positive in common)"
    )
    assert [(one.place, one.text) for one in anchors.examples] == [
        ("pairs.csv:2", "Q1"),
        ("pairs.csv:3", "q2"),
    ]
    assert [one.text for one in positives.examples] == ["Q1 → p1", "fresh → p3"]


def test_nearly_the_same_anchor():
    book = Book(Texts())
    long = "What should a person know before buying an old wooden house by the sea in the north"
    rows = numbered([(f"{long}?", ["p"], []), ("q", ["p2"], [])], book)
    evaluation = numbered([(f"{long} !?", ["e"], []), (f"{long}?", ["f"], []), ("z", ["g"], [])], book)
    found = near.near_texts(rows, np.arange(len(book.strings)), lambda done: None)
    assert near.near_duplicates(rows, found) == []
    assert summary(leak.overlap(rows, evaluation, found)) == [
        ("evaluation-anchor-in-training", "error", 1, 3),
        ("evaluation-anchor-near-training", "warning", 1, 3),
    ]


def test_data_that_share_nothing():
    book = Book(Texts())
    rows = real_rows()
    train, evaluation = numbered(rows[:400], book), numbered(rows[500:900], book)
    assert leak.overlap(train, evaluation, None) == []
    assert leak.overlap(train, numbered([], book), None) == []


@pytest.mark.parametrize("check", [leak.contained_texts, leak.labels])
def test_real_rows_have_none(check):
    assert check(numbered(real_rows())) == []
