"""What the loss must fulfil on any batch, against the loop-written reference."""

import math

import pytest
import torch
from hypothesis import assume
from tests.loss.reference import reference

from gistembed import guided_contrastive_loss

_TIE = 1e-6


def run(batch, **more):
    """Loss, gradients by name and metrics of the implementation under test."""
    names = [name for name in ("anchors", "positives", "negatives") if name in batch]
    leaves = {name: batch[name].clone().requires_grad_() for name in names}
    temperature = torch.tensor(batch["temperature"], dtype=torch.float64).to(batch["anchors"].dtype)
    leaves["temperature"] = temperature.requires_grad_()
    output = guided_contrastive_loss(**batch | leaves | more)
    output.loss.backward()
    return output, {name: leaf.grad for name, leaf in leaves.items()}


def natural_scale(batch, name):
    """The size that a gradient has while the batch is not yet learned; rounding is measured against it."""
    views = sum(batch.get("dim_weights") or [1.0] * len(batch.get("dims") or [1]))
    if name == "temperature":
        return views / batch["temperature"] ** 2
    anchors = batch["anchors"]
    return views / (batch["temperature"] * math.sqrt(len(anchors)) * anchors.norm(dim=1).mean().item())


def gradient_error(batch, name, gradient, expected):
    """Error of a gradient by its size, or by its natural size where it all but vanishes."""
    error = (gradient.double() - expected).norm() / max(expected.norm().item(), natural_scale(batch, name))
    return error.item()


def check_float64(batch):
    """Loss, gradients and metrics to the last digits."""
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


def check_float32(batch, **more):
    """The same to rounding, and no decision of the mask differs outside the band of ties."""
    temperature = torch.tensor(batch["temperature"], dtype=torch.float32).item()
    expected = reference(**batch | {"temperature": temperature})
    assume(expected.closest > _TIE)
    output, gradients = run(batch, **more)
    assert output.loss.dtype == torch.float32
    # A score of 1/τ is itself only known to its rounding, however small the loss.
    views = sum(batch.get("dim_weights") or [1.0] * len(batch.get("dims") or [1]))
    hardness = 1 + batch.get("hardness_strength", 0) * temperature
    rounding = 4 * views * hardness * torch.finfo(torch.float32).eps / temperature
    assert output.loss.item() == pytest.approx(expected.loss, rel=5e-6, abs=rounding)
    for name, gradient in gradients.items():
        assert gradient_error(batch, name, gradient, expected.gradients[name]) < 5e-6
    metrics = {name: value.item() for name, value in output.metrics.items()}
    if expected.narrowest < _TIE:
        metrics["in_batch_accuracy"] = expected.metrics["in_batch_accuracy"]
    assert metrics == pytest.approx(expected.metrics, rel=1e-6)
