"""The shape of columns: each check with a case that it must find, and real rows that it must leave alone."""

import pytest
from tests.doctor.doctor_samples import numbered, real_rows, summary

from gistembed.doctor import shape

QUESTIONS = [f"What is the capital of country {number}?" for number in range(40)]
ANSWERS = [
    f"The capital of country {number} is a town on a river. It has a bridge, a market and a school."
    for number in range(40)
]


def rows_of(anchors, positives):
    return numbered([(anchor, [own], []) for anchor, own in zip(anchors, positives, strict=True)])


def test_questions_in_the_place_of_answers():
    (found,) = shape.reversed_columns(rows_of(ANSWERS, QUESTIONS))
    assert summary([found]) == [("reversed-columns", "error", 40, 40)]
    assert found.what == (
        "pairs have a question as the positive but none as the anchor; the median anchor has 2.6 times as "
        "many characters as the median positive"
    )
    assert found.advice == (
        "If the columns are the wrong way round, say so: --columns anchor=NAME,positive=NAME."
    )
    assert shape.reversed_columns(rows_of(QUESTIONS, ANSWERS)) == []


def test_long_anchors_are_a_warning():
    anchors = [answer * 5 for answer in ANSWERS]
    short = [f"town {number} by the river" for number in range(40)]
    assert summary(shape.reversed_columns(rows_of(anchors, short))) == [
        ("reversed-columns", "warning", 40, 40)
    ]


def test_questions_that_are_alike_are_not_reversed():
    """Pairs of duplicate questions have a question on both sides."""
    assert shape.reversed_columns(rows_of(QUESTIONS, [f"{text} Tell me!?" for text in QUESTIONS])) == []


def test_a_few_rows_prove_nothing():
    assert shape.reversed_columns(rows_of(ANSWERS[:19], QUESTIONS[:19])) == []


@pytest.mark.parametrize(
    "text",
    [
        "Is it so?",
        "how to boil an egg",
        "Wie kocht man ein Ei",
        "¿dónde está?",
        "これは何ですか。",
        "这是什么吗",
    ],
)
def test_questions(text):
    assert shape.is_question(text)


@pytest.mark.parametrize(
    "text",
    [
        "How to boil an egg.",
        "When it rains, it pours",
        "Whatever",
        "It is so",
        "What a day!",
        "これは卵です。",
    ],
)
def test_statements(text):
    assert not shape.is_question(text)


def test_placeholders():
    rows = [(f"q{number}", [f"p{number}"], []) for number in range(50)]
    rows[4] = ("NaN", ["p4"], [])
    rows[6] = ("q6", [" — "], [])
    (found,) = shape.extreme_texts(numbered(rows))
    assert summary([found]) == [("placeholder", "warning", 2, 100)]
    assert [(one.place, one.text) for one in found.examples] == [
        ("pairs.csv:6", "anchor: NaN"),
        ("pairs.csv:8", "positive:  — "),
    ]


@pytest.mark.parametrize("text", ["Nancy", "5", "ß", "好", "no", "C", "nano"])
def test_short_texts_that_say_something(text):
    assert shape.extreme_texts(numbered([("q", [text], [])])) == []


def test_texts_far_longer_than_the_others():
    rows = [(f"q{number}", [f"an answer {number}"], []) for number in range(100)]
    rows[9] = ("q9", ["word " * 500], [])
    (found,) = shape.extreme_texts(numbered(rows))
    assert summary([found]) == [("positive-far-longer", "note", 1, 100)]
    assert found.what == "positives are longer than 2,000 characters, while 95 % have at most 12"
    assert found.examples[0].place == "pairs.csv:11"
    assert found.examples[0].text.startswith("2,500 characters: word word")


def test_constant_columns():
    rows = [(f"q{number}", ["Yes"], ["no"]) for number in range(40)]
    assert summary(shape.constant_columns(numbered(rows))) == [
        ("constant-positive", "error", 40, 40),
        ("constant-negative", "warning", 40, 40),
    ]
    rows = [("the same" if number < 25 else f"q{number}", [f"p{number}"], []) for number in range(40)]
    assert summary(shape.constant_columns(numbered(rows))) == [("constant-anchor", "warning", 25, 40)]


@pytest.mark.parametrize(("count", "severity"), [(1, "error"), (2, "warning"), (99, "warning"), (100, None)])
def test_few_pairs(count, severity):
    found = shape.few_pairs(numbered([(f"q{number}", [f"p{number}"], []) for number in range(count)]))
    assert summary(found) == ([("few-pairs", severity, count, count)] if severity else [])


@pytest.mark.parametrize(
    "check", [shape.reversed_columns, shape.extreme_texts, shape.constant_columns, shape.few_pairs]
)
def test_real_rows_have_none(check):
    assert check(numbered(real_rows())) == []
