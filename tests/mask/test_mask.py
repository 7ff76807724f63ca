"""Who stays: the rule by identity against a loop, the rule by the guide by value."""

import jaxtyping
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gistembed.mask import Margin, MaskPolicy, eligible_mask, keep_mask

_IDS = st.integers(-1, 6)


@pytest.fixture
def _as_installed():
    """Users run without the type checker of these tests, which would get in first."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@st.composite
def row_and_candidate_ids(draw):
    """Few ids, so that both sides hold padding, duplicates and each other's texts."""
    known = draw(st.integers(0, 4))
    rows = draw(st.lists(st.lists(_IDS, min_size=known, max_size=known), min_size=1, max_size=5))
    return rows, draw(st.lists(_IDS, max_size=9))


@given(row_and_candidate_ids())
def test_eligible_mask_equals_its_definition(case):
    row_ids, candidate_ids = case
    eligible = eligible_mask(torch.tensor(row_ids, dtype=torch.int64), torch.tensor(candidate_ids).long())
    assert eligible.tolist() == [
        [id_ >= 0 and id_ not in known for id_ in candidate_ids] for known in row_ids
    ]


def test_eligible_mask_by_value():
    """Padding knows nothing: a -1 among the row's ids must not take anything out but padding itself."""
    eligible = eligible_mask(torch.tensor([[4, 7, -1], [2, 2, 9]]), torch.tensor([7, 2, -1, 7, 5]))
    assert eligible.tolist() == [[False, True, False, False, True], [True, False, False, True, True]]


def test_keep_mask_by_value():
    """Only what is strictly above the limit leaves, and the guide cannot bring back what is not eligible."""
    eligible = torch.tensor([[True, True, True, False], [True, True, True, True]])
    similarities = torch.tensor([[0.5, 0.75, 0.25, 0.0], [-0.5, -0.25, 1.0, 0.0]])
    thresholds = torch.tensor([0.5, -0.25])
    assert keep_mask(eligible, similarities, thresholds, Margin()).tolist() == [
        [True, False, True, False],
        [True, True, False, False],
    ]
    assert keep_mask(eligible, similarities, thresholds, Margin(0.25)).tolist() == [
        [False, False, True, False],
        [True, False, False, False],
    ]
    assert keep_mask(eligible, similarities, thresholds, Margin(-0.25)).tolist() == [
        [True, True, True, False],
        [True, True, False, True],
    ]


def test_a_similarity_that_is_not_a_number_does_not_stay():
    kept = keep_mask(torch.ones(1, 1, dtype=torch.bool), torch.tensor([[torch.nan]]), torch.ones(1), Margin())
    assert not kept.any()


@pytest.mark.parametrize(
    ("margin", "limits"),
    [
        (Margin(), [0.5, 0.0, -0.5]),
        (Margin(0.25), [0.25, -0.25, -0.75]),
        (Margin(-0.25), [0.75, 0.25, -0.25]),
        (Margin(0.25, "relative"), [0.375, 0.0, -0.625]),
        (Margin(-0.25, "relative"), [0.625, 0.0, -0.375]),
    ],
)
def test_limits(margin, limits):
    """A relative margin moves positive and negative thresholds the same way; with t·(1 − m) it would not."""
    assert margin.below(torch.tensor([0.5, 0.0, -0.5])).tolist() == limits


@given(
    st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=8),
    st.floats(-1, 1, width=32),
    st.floats(0, 0.5),
    st.floats(0, 0.5),
    st.sampled_from(["absolute", "relative"]),
)
def test_a_larger_margin_never_keeps_more(similarities, threshold, low, more, strategy):
    def kept(value: float):
        candidates = torch.tensor([similarities])
        margin = Margin(value, strategy)
        return keep_mask(torch.ones_like(candidates).bool(), candidates, torch.tensor([threshold]), margin)

    assert not (kept(low + more) & ~kept(low)).any()


def test_blocks_stand_in_the_order_of_their_columns():
    assert MaskPolicy().blocks(negatives=True) == ("ap", "aa", "pp", "an")
    assert MaskPolicy().blocks(negatives=False) == ("ap", "aa", "pp")
    assert MaskPolicy(contrast_anchors=False).blocks(negatives=True) == ("ap", "pp", "an")
    assert MaskPolicy(contrast_positives=False).blocks(negatives=False) == ("ap", "aa")


def test_margins_by_block():
    assert MaskPolicy(margin=0.1, margin_strategy="relative").margin_of("pp") == Margin(0.1, "relative")
    named = MaskPolicy(margin={"an": 0.2})
    assert [named.margin_of(block).value for block in ("ap", "aa", "pp", "an")] == [0.0, 0.0, 0.0, 0.2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"margin": float("nan")}, "margin: nan for block ap is not a finite number"),
        ({"margin": {"pp": float("inf")}}, "margin: inf for block pp is not a finite number"),
        ({"margin": {"qq": 0.1}}, "margin: unknown block 'qq'; the blocks are ap, aa, pp, an"),
        (
            {"margin_strategy": "percent"},
            "margin_strategy: 'percent' is unknown; choose one of absolute, relative",
        ),
    ],
    ids=["number", "by block", "block", "strategy"],
)
@pytest.mark.usefixtures("_as_installed")
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        MaskPolicy(**arguments)
