"""The sweep against the loop-written reference, over random batches of every make."""

import pytest
import torch
from hypothesis import given, seed, settings
from tests.loss.checks import check_float32, check_float64
from tests.loss.loss_batches import loss_batches


@settings(max_examples=200)
@given(loss_batches(torch.float64))
def test_float64_equals_the_reference(batch):
    check_float64(batch)


@settings(max_examples=150)
@given(loss_batches(torch.float32))
def test_float32_equals_the_reference_to_rounding(batch):
    check_float32(batch)


@pytest.mark.torture
@pytest.mark.parametrize("part", range(8))
@pytest.mark.parametrize(
    ("dtype", "check"), [(torch.float64, check_float64), (torch.float32, check_float32)], ids=["64", "32"]
)
def test_ten_thousand_batches_equal_the_reference(dtype, check, part):
    """10,000 batches, in parts that can run side by side."""

    @seed(part)
    @settings(max_examples=625, database=None)
    @given(loss_batches(dtype))
    def run(batch):
        check(batch)

    run()
