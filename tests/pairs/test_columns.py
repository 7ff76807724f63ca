"""Roles are found by name only, and a doubt is an error."""

import pytest

from gistembed.errors import UserError
from gistembed.pairs import Columns, parse_columns, resolve_columns

# ruff: noqa: E501  (each case is one line: the input and the whole message)

USAGE = "--columns anchor=NAME,positive=NAME[,negative=NAME]"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["anchor", "positive"], Columns("anchor", ("positive",), (), ())),
        (["positive", "anchor"], Columns("anchor", ("positive",), (), ())),
        (["id", "Question ", " ANSWER"], Columns("Question ", (" ANSWER",), (), ("id",))),
        (["query", "pos", "neg"], Columns("query", ("pos",), ("neg",), ())),
        (["sentence_1", "sentence2"], Columns("sentence_1", ("sentence2",), (), ())),
        (["query", "positive", "negative_10", "negative_2"], Columns("query", ("positive",), ("negative_2", "negative_10"), ())),
        (["q", "doc", "neg1", "neg", "hard_negative"], Columns("q", ("doc",), ("neg", "hard_negative", "neg1"), ())),
        (["text1", "text2", "Hard Negative 1"], Columns("text1", ("text2",), ("Hard Negative 1",), ())),
        (["premise", "hypothesis", "negative_score"], Columns("premise", ("hypothesis",), (), ("negative_score",))),
    ],
)  # fmt: skip
def test_roles_are_found_by_name(names, expected):
    assert resolve_columns(names, "pairs.csv") == expected


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["left", "right"],
            f"no column is known as the anchor. The columns are 'left', 'right'; name one 'anchor', or say which to use with {USAGE}.",
        ),
        (
            [],
            f"no column is known as the anchor. There are no columns; name one 'anchor', or say which to use with {USAGE}.",
        ),
        (
            ["query", "text"],
            f"no column is known as the positive. The columns are 'query', 'text'; name one 'positive', or say which to use with {USAGE}.",
        ),
        (
            ["query", "question", "answer"],
            "columns 'query', 'question' could each be the anchor. "
            f"The columns are 'query', 'question', 'answer'; rename all but one, or say which to use with {USAGE}.",
        ),
        (
            ["q", "pos", "answer", "doc"],
            "columns 'pos', 'answer', 'doc' could each be the positive. "
            f"The columns are 'q', 'pos', 'answer', 'doc'; rename all but one, or say which to use with {USAGE}.",
        ),
        (
            ["sentence1", "sentence2", "Label"],
            "column 'Label' suggests that not every row is a positive pair. "
            "Say from which value on it is with --min-score, "
            "or use all rows with --columns anchor=sentence1,positive=sentence2",
        ),
        (
            ["similarity_score", "anchor", "positive", "neg_1"],
            "column 'similarity_score' suggests that not every row is a positive pair. "
            "Say from which value on it is with --min-score, "
            "or use all rows with --columns anchor=anchor,positive=positive,negative=neg_1",
        ),
        (
            ["Sentence 1", "hypothesis", "label", *[f"hard_negative_{number}" for number in range(1, 5)]],
            "column 'label' suggests that not every row is a positive pair. "
            "Say from which value on it is with --min-score, or use all rows with --columns "
            "'anchor=Sentence 1,positive=hypothesis,negative=hard_negative_1,negative=hard_negative_2,"
            "negative=hard_negative_3,negative=hard_negative_4'",
        ),
        (
            ["q", "pos", "weight", "sample_weight"],
            "columns 'weight', 'sample_weight' could each be the weight. "
            "The columns are 'q', 'pos', 'weight', 'sample_weight'; rename all but one, or say which to use with "
            "--columns …,weight=NAME.",
        ),
        (
            ["q", "pos", "neg_1", "neg_2", "neg_score_1", "neg_score_2", "negative_score_2"],
            "columns 'neg_score_2', 'negative_score_2' could each be the negative_score. "
            "The columns are 'q', 'pos', 'neg_1', 'neg_2', 'neg_score_1', 'neg_score_2', 'negative_score_2'; "
            "rename all but one, or say which to use with --columns …,negative_score=NAME.",
        ),
    ],
)
def test_doubtful_names_are_an_error(names, message):
    with pytest.raises(UserError) as error:
        resolve_columns(names, "pairs.csv")
    assert str(error.value) == f"pairs.csv: {message}"


def test_no_column_is_left_to_be_the_score():
    """It said that there are no columns."""
    override = {"anchor": ["a"], "positive": ["b"]}
    with pytest.raises(UserError) as error:
        resolve_columns(["a", "b"], "p.csv", override, graded=True)
    assert str(error.value) == (
        "p.csv: no column is known as the score. The columns are 'a', 'b'; name one 'score', or say which to "
        "use with --columns …,score=NAME."
    )


def test_a_number_that_no_text_has_tells_no_role():
    """Such a column kept the one without a number from its role."""
    columns = resolve_columns(
        ["q", "pos", "neg_1", "weight", "weight_2", "neg_score_1", "neg_score_7"], "p.csv"
    )
    assert columns.more == {"weight": ("weight",), "negative_score": ("neg_score_1",)}
    assert columns.ignored == ("weight_2", "neg_score_7")


def test_long_lists_of_columns_are_cut():
    """A hundred columns with names of 1,000 characters still make one readable line."""
    names = [f"{number}" + "x" * 1000 for number in range(100)]
    with pytest.raises(UserError) as error:
        resolve_columns(names, "pairs.csv")
    assert " and 80 more; name one 'anchor', or say which" in str(error.value)
    assert len(str(error.value)) < 20 * 62 + 200


def test_named_columns_are_used_exactly():
    """Neither the label nor the column called 'negative' is looked at once the user has spoken."""
    names = ["label", "a", "b", "c", "negative"]
    override = {"anchor": ["c"], "positive": ["a", "b"]}
    assert resolve_columns(names, "pairs.csv", override) == Columns(
        "c", ("a", "b"), (), ("label", "negative")
    )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"anchor": ["x"], "positive": ["a"]}, "pairs.csv: there is no column 'x'. The columns are 'q', 'a'."),
        ({"anchor": ["q"], "positive": ["a"], "negative": ["n\n"]}, "pairs.csv: there is no column 'n\\n'. The columns are 'q', 'a'."),
        ({"anchor": ["q"], "positive": []}, f"--columns: no column is named as the positive; write {USAGE}."),
        ({"anchor": ["q", "a"], "positive": ["a"]}, f"--columns: the anchor is one column, not 'q', 'a'; write {USAGE}."),
        ({"anchor": ["q"], "positive": ["q"]}, f"--columns: column 'q' is named twice; write {USAGE}."),
        ({"anchor": ["q"], "positive": ["a"], "label": ["a"]}, f"--columns: 'label' is not a role; write {USAGE}."),
    ],
)  # fmt: skip
def test_named_columns_must_fit(override, message):
    with pytest.raises(UserError) as error:
        resolve_columns(["q", "a"], "pairs.csv", override)
    assert str(error.value) == message


def test_named_columns_of_a_source_without_columns():
    with pytest.raises(UserError) as error:
        resolve_columns([], "pairs.jsonl", {"anchor": ["q"], "positive": ["a"]})
    assert str(error.value) == "pairs.jsonl: there is no column 'q'. There are no columns."


def test_parse_columns():
    assert parse_columns("anchor = q,positive=a=b, negative=n1,negative=n 2") == {
        "anchor": ("q",),
        "positive": ("a=b",),
        "negative": ("n1", "n 2"),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is not of the form ROLE=NAME"),
        ("anchor=q,", "'' is not of the form ROLE=NAME"),
        ("anchor=q,positive", "'positive' is not of the form ROLE=NAME"),
        ("anchor=", "'anchor=' is not of the form ROLE=NAME"),
        ("query=q,positive=a", "'query' is not a role"),
        ("positive=a", "no column is named as the anchor"),
        ("anchor=q", "no column is named as the positive"),
        ("anchor=q,anchor=r,positive=a", "the anchor is one column, not 'q', 'r'"),
        ("anchor=q,positive=a,negative=a", "column 'a' is named twice"),
    ],
)
def test_malformed_columns_option(text, message):
    with pytest.raises(UserError) as error:
        parse_columns(text)
    assert str(error.value) == f"--columns: {message}; write {USAGE}."
