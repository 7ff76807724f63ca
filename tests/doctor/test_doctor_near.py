"""Near duplicates, against a loop over all pairs of texts."""

import itertools
import random
import re
from functools import cache

import numpy as np
from tests.doctor.doctor_samples import numbered, real_rows, summary

from gistembed.doctor import near
from gistembed.pairs.same import normal_form

LONG = "The harbour was built in 1887 by fishermen who had lost their boats in the great storm of that winter"


def found_in(rows, on_progress=lambda done: None):
    view = numbered(rows)
    return view, near.near_texts(view, np.arange(len(view.book.strings)), on_progress)


@cache
def shingles(text):
    plain = normal_form(text)
    return {plain[start : start + near.SHINGLE] for start in range(len(plain) - near.SHINGLE + 1)}


def jaccard(one, other):
    return len(shingles(one) & shingles(other)) / len(shingles(one) | shingles(other))


def varied_texts():
    """Real texts, some of them again with a word less, or with two words exchanged."""
    draw = random.Random(5)
    texts = [positive for _, (positive,), _ in real_rows(150)]
    for text in texts[:100]:
        words = text.split()
        del words[draw.randrange(len(words))]
        if draw.random() < 0.5 and len(words) > 2:
            words[0], words[-1] = words[-1], words[0]
        texts.append(" ".join(words))
    return texts


def test_as_a_loop_over_all_pairs():
    texts = varied_texts()
    view, found = found_in([(text, ["x"], []) for text in texts])
    expected = set()
    for one, other in itertools.combinations(view.book.strings, 2):
        long = min(len(one), len(other)) >= near.SHORTEST and normal_form(one) != normal_form(other)
        if long and re.findall(r"\d+", one) == re.findall(r"\d+", other):
            similarity = jaccard(one, other)
            if similarity >= near.SIMILARITY:
                expected.add((one, other))
    assert len(expected) > 50
    groups = dict(zip(view.book.strings, found.groups.tolist(), strict=True))
    # MinHash may miss three in a thousand; what it finds is compared exactly.
    together = {(one, other) for one, other in expected if groups[one] == groups[other] >= 0}
    assert len(together) >= 0.98 * len(expected)
    pairs = {(view.text(one), view.text(other)) for one, other in found.pairs.tolist()}
    assert pairs <= expected
    for (one, other), similarity in zip(found.pairs.tolist(), found.similarities.tolist(), strict=True):
        assert similarity == jaccard(view.text(one), view.text(other))


def test_an_anchor_may_be_like_its_positive():
    """Pairs of duplicate questions are meant to be."""
    view, found = found_in([(LONG, [f"{LONG}!"], []), (f"{LONG}?", ["short"], [])])
    (duplicate,) = near.near_duplicates(view, found)
    assert (duplicate.count, duplicate.of) == (2, 3)
    view, found = found_in([(LONG, [f"{LONG}!"], []), ("q", ["short"], [])])
    assert len(found.pairs) == 1
    assert near.near_duplicates(view, found) == []


def test_another_number_is_another_text():
    view, found = found_in([(LONG, [LONG.replace("1887", "1888")], [])])
    assert near.near_duplicates(view, found) == []


def test_what_it_says():
    view, found = found_in([(LONG, ["short"], []), ("q", [f"{LONG}!"], []), ("r", ["something else"], [])])
    (duplicate,) = near.near_duplicates(view, found)
    assert summary([duplicate]) == [("near-duplicate", "warning", 1, 2)]
    assert duplicate.what == (
        "texts of 40 characters or more are nearly the same as another (85% of their 5-character shingles, "
        "and all numbers)"
    )
    (example,) = duplicate.examples
    assert example.place == "pairs.csv:3"
    assert example.text == f"as pairs.csv:2: {LONG[:59]}… | {LONG[:59]}…"


def test_negatives_nearly_the_same_as_their_positive():
    rows = [
        ("q", [LONG], [f"{LONG}!", LONG.upper(), "another text altogether, and long enough"]),
        ("r", ["x"], []),
    ]
    view, found = found_in(rows)
    close = [one for one in near.near_duplicates(view, found) if one.code == "negative-nearly-positive"]
    assert summary(close) == [("negative-nearly-positive", "warning", 1, 3)]
    assert close[0].examples[0].text == f"{LONG[:59]}…"


def test_short_texts_and_none():
    view, found = found_in([("a short text", ["a short text!"], [])])
    assert (len(found.texts), len(found.pairs), found.groups.tolist()) == (0, 0, [-1, -1])
    assert near.near_duplicates(view, found) == []


def test_progress_counts_all_texts_and_blocks_change_nothing(monkeypatch):
    rows = [(text, ["x"], []) for text in varied_texts()]
    done = []
    _, one_block = found_in(rows)
    monkeypatch.setattr(near, "_BLOCK_CHARACTERS", 1_000)
    monkeypatch.setattr(near, "_BLOCK_TEXTS", 7)
    view, many = found_in(rows, done.append)
    assert sum(done) == len(view.book.strings)
    assert len(done) > 30
    np.testing.assert_array_equal(many.groups, one_block.groups)
    np.testing.assert_array_equal(many.pairs, one_block.pairs)
