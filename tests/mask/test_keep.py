"""The guide's rule and its guards, by value and against their definitions."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gistembed.mask import Margin
from gistembed.mask.keep import leaves_by_guide, spare_least_similar, tally_votes


@pytest.mark.parametrize(
    ("strict", "leaves"), [(True, [[0, 1, 0], [1, 1, 0]]), (False, [[1, 1, 0], [1, 1, 1]])]
)
def test_what_is_above_the_limit_leaves(strict, leaves):
    similarities = torch.tensor([[0.5, 0.75, 0.25], [0.0, 1.0, -0.5]])
    assert leaves_by_guide(similarities, torch.tensor([0.5, -0.5]), strict=strict).tolist() == leaves


def test_the_mask_may_take_the_place_of_the_similarities():
    similarities = torch.tensor([[0.5, 0.75]])
    assert leaves_by_guide(similarities, torch.tensor([0.5]), out=similarities) is similarities
    assert similarities.tolist() == [[0, 1]]


@given(
    st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=8),
    st.floats(-1, 1, width=32),
    st.floats(0, 0.5),
    st.floats(0, 0.5),
    st.sampled_from(["absolute", "relative"]),
)
def test_a_larger_margin_never_keeps_more(similarities, threshold, low, more, strategy):
    def leaving(value: float):
        limits = Margin(value, strategy).below(torch.tensor([threshold]))
        return leaves_by_guide(torch.tensor([similarities]), limits)

    assert not (leaving(low + more) < leaving(low)).any()


@pytest.mark.parametrize(
    ("rule", "leaves"), [("any", [1, 1, 1, 0]), ("majority", [1, 1, 0, 0]), ("all", [1, 0, 0, 0])]
)
def test_votes(rule, leaves):
    votes = [torch.tensor([row]) for row in ([1.0, 1, 1, 0], [1.0, 1, 0, 0], [1.0, 0, 0, 0])]
    assert tally_votes(votes, rule).tolist() == [leaves]


@pytest.mark.parametrize(("rule", "leaves"), [("any", [1, 1]), ("majority", [1, 0]), ("all", [1, 0])])
def test_half_of_the_votes_is_no_majority(rule, leaves):
    votes = [torch.tensor([[1.0, 1]]), torch.tensor([[1.0, 0]])]
    assert tally_votes(votes, rule).tolist() == [leaves]


@given(st.data())
def test_the_least_similar_are_spared(data):
    rows, columns = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 6))
    matrix = st.lists(
        st.lists(st.sampled_from([0.0, 0.25, 0.5]), min_size=columns, max_size=columns),
        min_size=rows,
        max_size=rows,
    )
    similarities = data.draw(matrix)
    leaves = [[float(value > 0.25) for value in row] for row in data.draw(matrix)]
    spared = data.draw(st.lists(st.integers(0, columns + 1), min_size=rows, max_size=rows))
    result = spare_least_similar(torch.tensor(leaves), torch.tensor(similarities), torch.tensor(spared))
    for row in range(rows):
        leaving = [column for column in range(columns) if leaves[row][column]]
        # Sorting is stable: among equals the one further left is spared.
        expected = sorted(leaving, key=lambda column: similarities[row][column])[spared[row] :]
        assert result[row].nonzero().flatten().tolist() == sorted(expected)
