"""The sweep against the loop-written reference, over random batches of every make."""

import math

import pytest
import torch
from hypothesis import assume, given, settings
from tests.loss.loss_batches import loss_batches
from tests.loss.reference import reference

from gistembed import guided_contrastive_loss

_TIE = 1e-6


def run(batch):
    """Loss, gradients by name and metrics of the implementation under test."""
    names = [name for name in ("anchors", "positives", "negatives") if name in batch]
    leaves = {name: batch[name].clone().requires_grad_() for name in names}
    temperature = torch.tensor(batch["temperature"], dtype=torch.float64).to(batch["anchors"].dtype)
    leaves["temperature"] = temperature.requires_grad_()
    output = guided_contrastive_loss(**batch | leaves)
    output.loss.backward()
    return output, {name: leaf.grad for name, leaf in leaves.items()}


def natural_scale(batch, name):
    """The size that a gradient has while the batch is not yet learned; rounding is measured against it."""
    if name == "temperature":
        return 1 / batch["temperature"] ** 2
    anchors = batch["anchors"]
    return 1 / (batch["temperature"] * math.sqrt(len(anchors)) * anchors.norm(dim=1).mean().item())


def gradient_error(batch, name, gradient, expected):
    error = (gradient.double() - expected).norm() / max(expected.norm().item(), natural_scale(batch, name))
    return error.item()


@settings(max_examples=200, deadline=None)
@given(loss_batches(torch.float64))
def test_float64_equals_the_reference(batch):
    expected = reference(**batch)
    assume(expected.closest > 1e-12)
    output, gradients = run(batch)
    assert output.loss.item() == pytest.approx(expected.loss, rel=1e-12, abs=1e-12)
    for name, gradient in gradients.items():
        assert gradient_error(batch, name, gradient, expected.gradients[name]) < 1e-12
    metrics = {name: value.item() for name, value in output.metrics.items()}
    if expected.narrowest < 1e-12:
        metrics["in_batch_accuracy"] = expected.metrics["in_batch_accuracy"]
    assert metrics == pytest.approx(expected.metrics, abs=1e-12)


@settings(max_examples=150, deadline=None)
@given(loss_batches(torch.float32))
def test_float32_equals_the_reference_to_rounding(batch):
    temperature = torch.tensor(batch["temperature"], dtype=torch.float32).item()
    expected = reference(**batch | {"temperature": temperature})
    assume(expected.closest > _TIE)
    output, gradients = run(batch)
    assert output.loss.dtype == torch.float32
    # A score of 1/τ is itself only known to its rounding, however small the loss.
    rounding = 4 * torch.finfo(torch.float32).eps / temperature
    assert output.loss.item() == pytest.approx(expected.loss, rel=5e-6, abs=rounding)
    for name, gradient in gradients.items():
        assert gradient_error(batch, name, gradient, expected.gradients[name]) < 5e-6
    for name in output.metrics.keys() - {"in_batch_accuracy"}:
        assert output.metrics[name].item() == pytest.approx(expected.metrics[name], rel=1e-6)
