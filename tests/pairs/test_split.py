"""No text on both sides, whatever the pairs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pairs_samples import pairs_of, rows_of_texts

from gistembed.errors import UserError
from gistembed.pairs import Texts, hold_out, without_texts


@given(rows_of_texts(texts=60, max_size=40), st.floats(0.01, 0.9), st.integers(1, 30), st.integers(0, 9))
def test_no_text_is_on_both_sides(rows, share, most, seed):
    pairs = pairs_of(rows)
    try:
        split = hold_out(pairs, share=share, most=most, seed=seed)
    except UserError:
        return
    train, held_out = (set(pairs.take(side).text_ids().tolist()) for side in (split.train, split.held_out))
    assert not train & held_out
    every = np.concatenate([split.train, split.held_out, split.dropped])
    assert sorted(every.tolist()) == list(range(len(rows)))
    assert len(split.train) >= 2
    assert len(split.held_out) >= 2
    assert 2 * len(split.dropped) <= len(rows)
    assert split.method == "cut" or not len(split.dropped)
    again = hold_out(pairs, share=share, most=most, seed=seed)
    assert again.held_out.tolist() == split.held_out.tolist()
    assert again.train.tolist() == split.train.tolist()


def test_whole_groups_are_held_out():
    """100 groups of two pairs: 10 % are 20 pairs in 10 whole groups."""
    rows = [(f"a{number // 2}", f"p{number}", []) for number in range(200)]
    split = hold_out(pairs_of(rows), share=0.1, seed=3)
    assert (split.method, split.components, split.largest) == ("components", 100, 2)
    assert len(split.held_out) == 20
    assert split.held_out[::2].tolist() == (split.held_out[1::2] - 1).tolist()
    assert len(split.train) == 180
    assert hold_out(pairs_of(rows), share=0.1, seed=4).held_out.tolist() != split.held_out.tolist()


@pytest.mark.parametrize(("most", "size"), [(1000, 30), (7, 7), (1, 2)])
def test_target_is_the_smaller_of_share_and_most_and_at_least_two(most, size):
    rows = [(f"a{number}", f"p{number}", []) for number in range(300)]
    assert len(hold_out(pairs_of(rows), share=0.1, most=most, seed=0).held_out) == size


def test_a_group_that_is_too_large_is_left_in_training():
    """One group holds 80 of 100 pairs; drawing it would leave hardly anything to train on."""
    rows = [("shared" if number < 80 else f"a{number}", f"p{number}", []) for number in range(100)]
    for seed in range(20):
        split = hold_out(pairs_of(rows), share=0.1, seed=seed)
        assert (split.method, split.largest, len(split.held_out)) == ("components", 80, 10)
        assert split.held_out.min() >= 80


def test_a_shared_negative_ties_pairs_together():
    rows = [(f"a{number}", f"p{number}", [f"n{number // 10}"]) for number in range(100)]
    split = hold_out(pairs_of(rows), share=0.1, seed=0)
    assert (split.components, split.largest, len(split.held_out)) == (10, 10, 10)
    assert len(set((split.held_out // 10).tolist())) == 1


def test_one_giant_group_is_cut():
    """A chain, each pair sharing a text with the next: a held-out pair costs at most its two neighbours."""
    rows = [(f"t{number}", f"t{number + 1}", []) for number in range(1000)]
    split = hold_out(pairs_of(rows), share=0.1, seed=0)
    assert (split.method, split.components, split.largest) == ("cut", 1, 1000)
    assert len(split.held_out) == 100
    neighbours = {int(row) + step for row in split.held_out for step in (-1, 1)} - set(
        split.held_out.tolist()
    )
    assert set(split.dropped.tolist()) == neighbours & set(range(1000))


@pytest.mark.parametrize(
    ("rows", "how_many", "why"),
    [
        (
            [("hub", f"p{number}", []) for number in range(100)],
            "100 pairs",
            "; 100 are tied together by texts they share",
        ),
        ([(f"a{number}", f"p{number}", []) for number in range(3)], "3 pairs", ""),
        ([("a", "p", [])], "1 pair", ""),
        ([], "0 pairs", ""),
    ],
)
def test_pairs_that_cannot_be_split(rows, how_many, why):
    with pytest.raises(UserError) as error:
        hold_out(pairs_of(rows), seed=0)
    assert str(error.value) == (
        f"test: of {how_many}, too few can be held out for evaluation without a text that the rest holds too"
        f"{why}. Give evaluation pairs of their own with --eval FILE."
    )


def test_texts_of_other_pairs_are_no_group():
    texts = Texts()
    pairs_of([("x", "y", ["z"])], texts)
    rows = [(f"a{number}", f"p{number}", []) for number in range(10)]
    assert hold_out(pairs_of(rows, texts), seed=0).components == 10


def test_without_texts():
    texts = Texts()
    pairs = pairs_of([("a", "b", []), ("c", "d", ["e", "a"]), ("f", "a", []), ("c", "d", ["e"])], texts)
    assert without_texts(pairs, np.array([texts.add("a")])).tolist() == [3]
    assert without_texts(pairs, np.array([texts.add("new")])).tolist() == [0, 1, 2, 3]
    assert without_texts(pairs, np.array([], np.int64)).tolist() == [0, 1, 2, 3]


def test_a_whole_group_is_taken_even_if_it_is_twice_the_target():
    """Five anchors with ten positives each: cutting single pairs out would drop nearly everything."""
    rows = [(f"a{number // 10}", f"p{number}", []) for number in range(50)]
    split = hold_out(pairs_of(rows), share=0.1, seed=0)
    assert (split.method, len(split.held_out), len(split.train)) == ("components", 10, 40)
