"""Texts that are longer than a model reads."""

import numpy as np
from tests.doctor.doctor_samples import numbered, summary
from tests.tiny_models import MAX_LENGTH

from gistembed.doctor import limits
from gistembed.models import load_model

PROMPT = "query: "


def test_texts_that_are_cut_off(bert_folder):
    """The tiny model reads one token for each letter, two special ones, and its prompt before an anchor."""
    model = load_model(bert_folder, option="--student")
    room = MAX_LENGTH - 2
    prompt = len(PROMPT.replace(" ", ""))
    rows = numbered(
        [("a" * (room - prompt), ["b" * room], ["c" * (room + 1)]), ("d" * (room - prompt + 1), ["e"], [])]
    )
    done = []
    counts = limits.count_tokens(rows, model, "student", done.append)
    tokens = {rows.text(int(i)): int(n) for i, n in zip(counts.ids, counts.tokens, strict=True)}
    assert {text[0]: length for text, length in tokens.items()} == {
        "a": 24,
        "b": 24,
        "c": 25,
        "d": 25,
        "e": 3,
    }
    assert (sum(done), counts.limit, counts.who) == (5, MAX_LENGTH, "student")
    (found,) = limits.cut_texts(rows, counts)
    assert summary([found]) == [("cut-by-student", "warning", 2, 5)]
    assert found.what == ("texts are longer than the 24 tokens that the student reads; the longest has 25")
    assert [(one.place, one.text) for one in found.examples] == [
        ("pairs.csv:3", "25 tokens: ddddddddddddddddd"),
        ("pairs.csv:2", "25 tokens: ccccccccccccccccccccccc"),
    ]


def test_a_text_in_both_roles_counts_in_both(bert_folder):
    model = load_model(bert_folder, option="--student")
    counts = limits.count_tokens(numbered([("same", ["same"], [])]), model, "guide", lambda done: None)
    assert counts.ids.tolist() == [0, 0]
    assert counts.tokens.tolist() == [4 + 2 + 6, 4 + 2]


def test_texts_that_fit(bert_folder):
    model = load_model(bert_folder, option="--student")
    rows = numbered([("a", ["b"], [])])
    assert limits.cut_texts(rows, limits.count_tokens(rows, model, "student", lambda done: None)) == []


def test_a_model_without_a_limit_cuts_nothing_off(static_folder):
    model = load_model(static_folder, option="--student")
    assert limits.count_tokens(numbered([("a", ["b"], [])]), model, "student", lambda done: None) is None


def test_many_texts_are_drawn_from(bert_folder, monkeypatch):
    monkeypatch.setattr(limits, "COUNTED_TEXTS", 10)
    model = load_model(bert_folder, option="--student")
    rows = numbered([(f"q{number}", [f"p{number}"], []) for number in range(30)])
    counts = limits.count_tokens(rows, model, "student", lambda done: None)
    assert len(np.intersect1d(counts.ids, rows.anchors)) == 10
    assert len(np.intersect1d(counts.ids, rows.positives)) == 10
