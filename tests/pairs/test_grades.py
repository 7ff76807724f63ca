"""Pairs with scores: each positive row with the negatives of its anchor, and what is left out."""

import json
from collections import Counter
from pathlib import Path

import pytest
from pairs_samples import as_rows

from gistembed.errors import UserError
from gistembed.pairs import Grades, read_pairs, read_rows
from gistembed.pairs.grades import BETWEEN, WITHOUT_POSITIVE

GRADES = Grades(4.0, 1.0)
HEAD = "query,positive,negative,weight,score\n"


def write(text):
    path = Path("graded.csv")
    path.write_text(text)
    return path


def texts_of(rows):
    return [
        (row.anchor.text, [one.text for one in row.positives], [one.text for one in row.negatives])
        for _, row in rows
    ]


def test_both_readings_say_the_same_of_each_row():
    """Grouped by anchor, p2 lost its weight and its negative; both readings lost the one of the low row."""
    source = write(f"{HEAD}q,low,own,5,0\nq,p1,n1,1,5\nq,p2,n2,3,4\nr,s,,1,9\n")
    expected = [("q", ["p1"], ["n1", "low", "own"]), ("q", ["p2"], ["n2", "low", "own"]), ("r", ["s"], [])]
    rows = list(read_rows(source, grades=GRADES))
    assert texts_of(rows) == expected
    assert [(place, row.weight) for place, row in rows] == [(3, 1), (4, 3), (5, 1)]
    pairs = read_pairs(source, grades=GRADES)
    assert as_rows(pairs) == [(anchor, positive, own) for anchor, (positive,), own in expected]
    assert (pairs.places.tolist(), pairs.weights.tolist()) == ([3, 4, 5], [1, 3, 1])
    assert (pairs.rows_read, pairs.dropped) == (4, {})


def test_what_is_left_out_is_counted_in_both_readings():
    source = write(f"{HEAD}q,p,,1,5\nq,m,,1,2\nq,m,,1,\nr,s,t,1,0\n")
    left_out = Counter()
    assert texts_of(read_rows(source, grades=GRADES, left_out=left_out)) == [("q", ["p"], [])]
    assert left_out == {BETWEEN: 2, WITHOUT_POSITIVE: 2}
    pairs = read_pairs(source, grades=GRADES)
    assert (pairs.rows_read, pairs.dropped) == (4, left_out)


def test_what_scores_low_is_numbered_as_the_rest_is():
    """With instructions before them its anchors were others, so that all negatives were lost; its ids too."""
    lines = [
        {"query": "q", "instruction": "Find:", "pos": "p", "pos_id": "d1", "score": 5},
        {"query": "q", "instruction": "Find:", "pos": "n", "pos_id": "d2", "score": 0},
    ]
    Path("graded.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    pairs = read_pairs("graded.jsonl", grades=GRADES, instructions="prefix")
    assert as_rows(pairs) == [("Find: q", "p", ["n"])]
    names = pairs.names["document"].by_id
    assert {name: pairs.texts[text] for name, text in names.items()} == {"d1": "p", "d2": "n"}
    ignoring = read_pairs("graded.jsonl", grades=GRADES)
    assert (as_rows(ignoring), ignoring.instructed) == ([("q", "p", ["n"])], 2)


def test_what_several_rows_say_of_an_anchor_it_has_once():
    """Written as rows of their own, the negatives of two rows of an anchor doubled with each copy."""
    low = [("n", False), ("m", False), ("n", True), ("m", False)]
    lines = [{"query": "q", "pos": f"p{score}", "score": score} for score in (4, 5)]
    lines += [
        {"query": "q", "pos": "l", "neg": [text], "trusted": [trusted], "score": 0} for text, trusted in low
    ]
    Path("graded.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for _, row in read_rows("graded.jsonl", grades=GRADES):
        assert sorted((one.text, one.trusted) for one in row.negatives) == [
            ("l", False),
            ("m", False),
            ("n", True),
        ]
    pairs = read_pairs("graded.jsonl", grades=GRADES)
    negatives = pairs.texts.of(pairs.negative_ids)
    assert sorted(zip(negatives, pairs.trusted.tolist(), strict=True)) == [
        *[("l", False)] * 2,
        *[("m", False)] * 2,
        *[("n", True)] * 2,
    ]
    assert pairs.dropped == {}


def test_a_negative_of_a_low_row_stays_trusted():
    lines = [
        {"query": "q", "pos": "p", "score": 5},
        {"query": "q", "pos": "n", "neg": ["m"], "trusted": [True], "score": 0},
    ]
    Path("graded.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    pairs = read_pairs("graded.jsonl", grades=GRADES)
    assert as_rows(pairs) == [("q", "p", ["n", "m"])]
    assert pairs.trusted.tolist() == [False, True]


def test_a_blank_grade_is_none():
    """The row was a positive by its `positive_score`, which is no grade."""
    source = write("query,positive,positive_score,score\nq,p,9,\nr,s,1,5\n")
    ((place, row),) = read_rows(source, grades=GRADES)
    assert (place, row.positives[0].score, row.grade) == (3, 5, 5)
    assert read_pairs(source, grades=GRADES).dropped == {BETWEEN: 1}
    roles = {"anchor": ["query"], "positive": ["positive"], "positive_score": ["positive_score"]}
    first, _ = read_rows(source, columns=roles | {"score": ["score"]})
    assert (first[1].positives[0].score, first[1].grade) == (9, None)


@pytest.mark.parametrize(
    ("scores", "problem"),
    [
        (
            [3.5, 0, ""],
            "no row has a score of 4 or more (--min-score); the highest is 3.5. Choose a lower one.",
        ),
        (["", ""], "no row has a score. Fill the column of scores."),
    ],
)
@pytest.mark.parametrize("read", [read_pairs, lambda *how, **more: list(read_rows(*how, **more))])
def test_no_row_scores_high_enough(scores, problem, read):
    """`convert` said only that there were no rows to write."""
    source = write("query,positive,score\n" + "".join(f"q,p{n},{one}\n" for n, one in enumerate(scores)))
    with pytest.raises(UserError) as error:
        read(source, grades=GRADES)
    assert str(error.value) == f"graded.csv: {problem}"


def test_convert_says_what_is_left_out(run):
    write("query,positive,score\nq,p,5\nq,m,2\nr,s,0\n")
    options = ("--min-score", 4, "--max-score", 1)
    assert run("data", "convert", "graded.csv", "out.jsonl", *options) == (
        0,
        f"1 row in out.jsonl\nleft out: {BETWEEN} (1), {WITHOUT_POSITIVE} (1)\n",
        "",
    )
    code, out, _ = run("data", "convert", "graded.csv", "again.jsonl", *options, "--json")
    assert code == 0
    assert json.loads(out)["left_out"] == {BETWEEN: 1, WITHOUT_POSITIVE: 1}
    assert run("data", "convert", "graded.csv", "none.jsonl", "--min-score", 6) == (
        2,
        "",
        "gistembed: graded.csv: no row has a score of 6 or more (--min-score); the highest is 5. "
        "Choose a lower one.\n",
    )
