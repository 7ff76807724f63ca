"""What becomes of the rows of a source when negatives are mined for them."""

from dataclasses import replace

import numpy as np
import pytest
from tests.pairs.pairs_samples import pairs_of

from gistembed.errors import UserError
from gistembed.guide import GuideVectors
from gistembed.mine import MiningSettings, MiningTally, mine_negatives, mined_rows
from gistembed.pairs import Grades, Names, Passage, Row, read_pairs, read_rows

# Cosine with "q" is the first number; "r" is an anchor that only has documents at right angles.
VECTORS = {
    "q": [1.0, 0.0],
    "r": [0.0, 1.0],
    "best": [0.8, 0.6],
    "good": [0.6, -0.8],
    "near": [0.28, -0.96],
    "far": [-0.6, -0.8],
}


def row_of(anchor, positives, negatives=(), **more):
    return Row(Passage(anchor), tuple(map(Passage, positives)), tuple(map(Passage, negatives)), **more)


def mined_for(rows, **options):
    """The pairs of some rows, what is mined for them, and with which settings."""
    pairs = pairs_of(
        [
            (row.anchor.text, positive.text, [negative.text for negative in row.negatives])
            for row in rows
            for positive in row.positives
        ]
    )
    vectors = np.array([VECTORS[pairs.texts[i]] for i in range(len(pairs.texts))], np.float32)
    every = np.arange(len(pairs.texts))
    settings = MiningSettings(**options)
    guide = GuideVectors(vectors, {"anchor": every, "document": every})
    return pairs, mine_negatives(pairs, guide, settings), settings


def mine(rows, **options):
    """Rows after mining, and the tally."""
    rows = [row if isinstance(row, Row) else row_of(*row) for row in rows]
    pairs, mined, settings = mined_for(rows, **options)
    tally = MiningTally()
    made = list(mined_rows(enumerate(rows, 1), pairs, mined, settings, tally))
    return made, tally


def scored(passages):
    return [(passage.text, pytest.approx(passage.score, abs=1e-6)) for passage in passages]


def test_negatives_are_added_behind_those_that_are_there():
    (first, second), tally = mine([("q", ["best"], ["far"]), ("r", ["near"], ["good"])], num_negatives=1)
    assert scored(first.positives) == [("best", 0.8)]
    assert scored(first.negatives) == [("far", -0.6), ("good", 0.6)]
    assert scored(second.negatives) == [("good", -0.8), ("best", 0.6)]
    assert (tally.rows, tally.with_fewer, tally.with_none, tally.dropped) == (2, 0, 0, 0)
    assert tally.positives.value == pytest.approx((0.8 - 0.96) / 2)
    assert tally.mined.value == pytest.approx(0.6)


def test_replaced_negatives_are_documents_again():
    (first, _), _ = mine([("q", ["best"], ["far"]), ("r", ["near"], ["good"])], num_negatives=3, replace=True)
    assert scored(first.negatives) == [("good", 0.6), ("near", 0.28), ("far", -0.6)]


def test_the_least_similar_positive_counts_and_rows_stay_whole():
    """Against "best" alone "good" would be a negative; "near", known in another row, never is one."""
    rows = [("q", ["best", "near"], ["far"]), ("r", ["good"], [])]
    (first, second), tally = mine(rows, num_negatives=2, absolute_margin=0.0)
    assert scored(first.positives) == [("best", 0.8), ("near", 0.28)]
    assert scored(first.negatives) == [("far", -0.6)]
    assert scored(second.negatives) == [("far", -0.8), ("near", -0.96)]
    assert (tally.rows, tally.with_fewer, tally.with_none, tally.dropped) == (2, 0, 1, 0)


def test_rows_with_too_few_are_dropped_and_counted():
    rows = [("q", ["best"]), ("r", ["near"]), ("q", ["best"]), ("r", ["good"])]
    made, tally = mine(rows, num_negatives=2, too_few="drop")
    assert [row.anchor.text for row in made] == ["q", "q"]
    assert (tally.rows, tally.with_fewer, tally.with_none, tally.dropped) == (2, 2, 0, 2)
    assert (tally.positives.count, tally.mined.count) == (2, 4)


def test_what_reading_leaves_out_is_left_out():
    """The anchor as its own positive or negative, and a negative that is a known positive."""
    rows = [("q", ["q"]), ("q", ["best", "q"], ["q", "good", "best", "far"]), ("q", ["good"])]
    made, tally = mine([*rows, ("r", ["near"])], num_negatives=1)
    assert tally.own_positive == 1
    assert scored(made[0].positives) == [("best", 0.8)]
    assert scored(made[0].negatives) == [("far", -0.6), ("near", 0.28)]


def test_everything_else_of_a_row_stays():
    row = row_of("q", ["best"], ["far"], task="t", weight=0.5, extra={"note": 1})
    trusted = row._replace(negatives=(Passage("far", id="7", trusted=True, score=9.0),))
    (made, _), _ = mine([trusted, ("r", ["good"])], num_negatives=1)
    assert made._replace(positives=(), negatives=()) == row._replace(positives=(), negatives=())
    assert made.negatives[0]._replace(score=None) == Passage("far", id="7", trusted=True)
    assert made.negatives[0].score == pytest.approx(-0.6)


@pytest.mark.parametrize(("too_few", "got"), [("keep", "a negative"), ("drop", "2 negatives")])
def test_nothing_found_is_an_error(too_few, got):
    with pytest.raises(UserError) as error:
        mine([("q", ["best"]), ("r", ["good"])], num_negatives=2, too_few=too_few, max_cosine=-0.99)
    assert str(error.value) == (
        f"test: no row got {got}. Take fewer with --num-negatives, loosen the margins, or give more "
        "documents with --corpus."
    )


def test_rows_of_weight_0_are_no_pairs():
    """No pair has the anchor "far": a lookup that takes what is nearest gives it another's negatives."""
    rows = [row_of("q", ["best"]), row_of("r", ["good"]), row_of("far", ["near"], weight=0.0)]
    pairs, mined, settings = mined_for(rows[:2])
    tally = MiningTally()
    made = list(mined_rows(enumerate(rows, 1), pairs, mined, settings, tally))
    assert [row.anchor.text for row in made] == ["q", "r"]
    assert (tally.rows, tally.weightless) == (2, 1)


@pytest.mark.parametrize(
    "rows",
    [
        [row_of("q", ["best"], ["far"])],
        [row_of("q", ["best"], ["far"]), row_of("near", ["good"])],
        [row_of("q", ["best"], ["far"]), row_of("r", ["best"])],
        [row_of("q", ["best"], ["good"]), row_of("r", ["good"])],
        [row_of("q", ["best"], ["far"]), row_of("r", ["good"]), row_of("new", ["good"])],
    ],
    ids=["a row is gone", "no anchor of ours", "another positive", "another negative", "a new text"],
)
def test_a_source_that_changes_meanwhile(rows):
    pairs, mined, settings = mined_for([row_of("q", ["best"], ["far"]), row_of("r", ["good"])])
    with pytest.raises(UserError) as error:
        list(mined_rows(enumerate(rows, 1), pairs, mined, settings, MiningTally()))
    assert str(error.value) == "test: the source changed while it was read; run the command again"


def test_what_is_mined_has_the_id_of_its_source():
    """An id that the corpus gives another text than the pairs do is not taken from it."""
    rows = [row_of("q", ["best"], ["far"]), row_of("r", ["good"])]
    pairs, mined, settings = mined_for(rows, num_negatives=2, replace=True)
    number = {pairs.texts[text_id]: text_id for text_id in range(len(pairs.texts))}
    named = replace(pairs, names={"document": Names(("d1",), np.array([number["good"]]), "test")})
    corpus = replace(
        pairs, names={"document": Names(("d1", "d2"), np.array([number["best"], number["far"]]), "c")}
    )
    made = list(mined_rows(enumerate(rows, 1), named, mined, settings, MiningTally(), corpus=corpus))
    assert [[(one.text, one.id) for one in row.negatives] for row in made] == [
        [("good", "d1"), ("far", "d2")],
        [("best", None), ("far", "d2")],
    ]


@pytest.mark.parametrize("weights", [(0, 1), (1, 0)])
def test_graded_rows_of_one_anchor_have_their_own_weights(tmp_path, weights):
    """As one row with the weight of the first, the source seemed to have changed while it was read."""
    data = tmp_path / "graded.csv"
    lines = [f"q,best,5,{weights[0]}", f"q,good,5,{weights[1]}", "q,far,0,1", "r,near,5,1"]
    data.write_text("\n".join(["query,positive,score,weight", *lines]))
    grades = Grades(4.0, 1.0)
    pairs = read_pairs(data, grades=grades)
    vectors = np.array([VECTORS[text] for text in pairs.texts.of(np.arange(len(pairs.texts)))], np.float32)
    every = np.arange(len(vectors))
    chosen = MiningSettings(num_negatives=3)
    mined = mine_negatives(pairs, GuideVectors(vectors, {"anchor": every, "document": every}), chosen)
    tally = MiningTally()
    q, r = mined_rows(read_rows(data, grades=grades), pairs, mined, chosen, tally)
    assert [one.text for one in q.positives] == ["good" if weights[1] else "best"]
    # What the row of weight 0 says is known all the same, so that it is no negative of q.
    assert [one.text for one in q.negatives] == ["far", "near"]
    assert [one.text for one in r.positives] == ["near"]
    assert (tally.rows, tally.weightless) == (2, 1)
