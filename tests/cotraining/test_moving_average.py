"""The moving average of weights, by value."""

import pytest
import torch
from tests.tiny_models import save_bert

from gistembed.cotraining.average import move_average
from gistembed.models import load_model


@pytest.fixture
def two(tmp_path):
    """Two transformers of other weights: their positions are whole numbers."""
    return [
        load_model(str(save_bert(tmp_path / str(seed), seed=seed)), option="--student") for seed in (1, 2)
    ]


@pytest.mark.parametrize("decay", [0.0, 0.25, 1.0])
def test_every_weight_moves_by_the_share_that_does_not_stay(two, decay):
    average, model = two
    before = {name: value.clone() for name, value in average.model.state_dict().items()}
    move_average(average, model, decay)
    for name, value in model.model.state_dict().items():
        expected = decay * before[name] + (1 - decay) * value if value.is_floating_point() else value
        torch.testing.assert_close(average.model.state_dict()[name], expected, rtol=0, atol=1e-7)


def test_all_that_stays_is_exact(two):
    """A guide that stays for good is the very same."""
    average, model = two
    before = {name: value.clone() for name, value in average.model.state_dict().items()}
    move_average(average, model, 1.0)
    assert all(torch.equal(value, before[name]) for name, value in average.model.state_dict().items())
