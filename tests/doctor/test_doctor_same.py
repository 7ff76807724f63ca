"""Repeats and contradictions, against loops over the texts."""

import unicodedata
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from tests.doctor.doctor_samples import colliding_rows, numbered, real_rows, summary

from gistembed.doctor import same


def plain(text):
    return unicodedata.normalize("NFC", " ".join(text.casefold().split()))


def by_code(findings):
    return {one.code: one for one in findings}


def counts(findings):
    return {one.code: one.count for one in findings}


@given(colliding_rows())
def test_contradicting_negatives(rows):
    known = {(plain(anchor), plain(positive)) for anchor, own, _ in rows for positive in own}
    expected = {"negative-is-anchor": 0, "negative-is-positive": 0, "conflicting-rows": 0}
    for anchor, positives, negatives in rows:
        for negative in map(plain, negatives):
            if negative == plain(anchor):
                expected["negative-is-anchor"] += 1
            elif negative in map(plain, positives):
                expected["negative-is-positive"] += 1
            elif (plain(anchor), negative) in known:
                expected["conflicting-rows"] += 1
    found = counts(same.contradicting_negatives(numbered(rows)))
    assert found == {code: count for code, count in expected.items() if count}


@given(colliding_rows())
def test_repeated_pairs(rows):
    seen, expected = set(), {"repeated-pair": 0, "repeated-negative": 0}
    for anchor, positives, negatives in rows:
        others = list(map(plain, negatives))
        for positive in positives:
            pair = (plain(anchor), plain(positive), frozenset(others))
            expected["repeated-pair"] += pair in seen
            seen.add(pair)
        expected["repeated-negative"] += len(others) - len(set(others))
    found = counts(same.repeated_pairs(numbered(rows)))
    assert found == {code: count for code, count in expected.items() if count}


@given(colliding_rows())
def test_same_as_anchor(rows):
    expected = sum(plain(anchor) == plain(positive) for anchor, own, _ in rows for positive in own)
    found = same.same_as_anchor(numbered(rows))
    assert sum(one.count for one in found) == expected


@given(colliding_rows())
def test_earlier_pair_is_the_first_of_those_looked_at(rows):
    view = numbered(rows)
    looked = np.arange(len(view.positives)) % 2 == 0
    pairs = [(anchor, positive, set(negatives)) for anchor, own, negatives in rows for positive in own]
    expected = []
    for number, pair in enumerate(pairs):
        earlier = [other for other in range(0, number, 2) if pairs[other] == pair]
        expected.append(earlier[0] if earlier and number % 2 == 0 else -1)
    assert same.earlier_pair(view, np.arange(len(view.book.strings)), looked).tolist() == expected


def test_what_a_contradiction_says():
    rows = [("q", ["1|the  Sky", "r"], ["7|the sky", "the sea"]), ("Q", ["s"], ["R", "q"])]
    found = by_code(same.contradicting_negatives(numbered(rows)))
    assert list(found) == ["negative-is-anchor", "negative-is-positive", "conflicting-rows"]
    positive = found["negative-is-positive"]
    assert (positive.count, positive.of, positive.share, positive.severity) == (1, 4, 0.25, "error")
    assert positive.fixable
    assert positive.what == (
        "negatives are a positive of the same row (all but for case, white space and Unicode composition, "
        "1 under another id)"
    )
    assert positive.advice == (
        "The loss pulls and pushes the same text at once; `gistembed data doctor --fix` takes them out."
    )
    assert [(one.place, one.text) for one in positive.examples] == [("pairs.csv:2", "q: the sky")]
    assert [(one.place, one.text) for one in found["conflicting-rows"].examples] == [("pairs.csv:3", "Q: R")]


@pytest.mark.parametrize(("negative", "renamed"), [("1|x", False), ("2|x", True), ("x", False)])
def test_under_another_id(negative, renamed):
    (found,) = same.contradicting_negatives(numbered([("q", ["1|x"], [negative])]))
    assert ("1 under another id" in found.what) is renamed


def test_below_one_per_cent_a_contradiction_is_a_warning():
    rows = [(f"q{i}", [f"p{i}"], [f"n{i}"]) for i in range(200)]
    rows[7][2][0] = "p7"
    assert summary(same.contradicting_negatives(numbered(rows))) == [
        ("negative-is-positive", "warning", 1, 200)
    ]
    rows[8][2][0] = "p8"
    assert summary(same.contradicting_negatives(numbered(rows))) == [
        ("negative-is-positive", "error", 2, 200)
    ]


def test_a_repeat_names_both_places():
    found = by_code(same.repeated_pairs(numbered([("q", ["p"], []), ("r", ["s"], []), ("q", ["P"], [])])))
    (example,) = found["repeated-pair"].examples
    assert (example.place, example.text) == ("pairs.csv:4", "as pairs.csv:2: q → P")


def test_the_same_pair_with_other_negatives_is_no_repeat():
    """One row for each negative is how triplets are written."""
    rows = [("q", ["p"], [f"n{number}"]) for number in range(5)]
    assert same.repeated_pairs(numbered(rows)) == []


def test_the_same_pair_with_another_weight_or_trust_is_no_repeat():
    """Reading keeps both, so that neither may be called a repeat, or be mended away."""
    rows = numbered([("q", ["p"], ["n", "N"])] * 2)
    assert counts(same.repeated_pairs(rows)) == {"repeated-pair": 1, "repeated-negative": 2}
    trusting = np.array([False, True, False, False])
    assert counts(same.repeated_pairs(replace(rows, trusted=trusting))) == {"repeated-negative": 2}
    weights = np.array([1, 2], np.float32)
    assert counts(same.repeated_pairs(replace(rows, weights=weights))) == {"repeated-negative": 2}


def test_hubs():
    rows = [(f"q{i}", ["the hub" if i < 12 else f"p{i}"], []) for i in range(1_000)]
    (found,) = same.hubs(numbered(rows))
    assert summary([found]) == [("hub", "note", 12, 1_000)]
    assert found.examples[0].text == "positive of 12 pairs: the hub"
    rows = [(f"q{i}", ["the hub" if i < 9 else f"p{i}"], []) for i in range(1_000)]
    assert same.hubs(numbered(rows)) == []


def test_a_document_with_a_dozen_questions_is_no_hub_in_a_large_set():
    rows = [(f"q{i}", [f"p{i // 12}"], []) for i in range(3_000)]
    assert same.hubs(numbered(rows)) == []


def test_ids_with_several_texts():
    rows = [("q", ["1|x"], ["2|y"]), ("r", ["1|z"], ["2|y"])]
    (found,) = same.ids_with_several_texts(numbered(rows))
    assert summary([found]) == [("id-with-several-texts", "warning", 1, 2)]
    assert [(one.place, one.text) for one in found.examples] == [("pairs.csv:3", "x | z")]
    assert same.ids_with_several_texts(numbered([("q", ["1|x"], ["2|x"])])) == []


@pytest.mark.parametrize(
    "check",
    [
        same.contradicting_negatives,
        same.same_as_anchor,
        same.repeated_pairs,
        same.hubs,
        same.ids_with_several_texts,
    ],
)
def test_real_rows_have_none(check):
    assert check(numbered(real_rows())) == []
