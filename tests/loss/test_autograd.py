"""What automatic differentiation and automatic mixed precision make of the loss."""

import pytest
import torch

from gistembed import MaskPolicy, guided_contrastive_loss


def batch(dtype: torch.dtype = torch.float32, rows: int = 7):
    """A batch with guide and ragged negatives, seeded."""
    generator = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    return {
        "anchors": normal(rows, 6),
        "positives": normal(rows, 6),
        "negatives": normal(rows, 2, 6),
        "guide_anchors": normal(rows, 4),
        "guide_positives": normal(rows, 4),
        "guide_negatives": normal(rows, 2, 4),
        "negative_mask": torch.arange(2 * rows).reshape(rows, 2) % 3 > 0,
        "temperature": 0.1,
        "policy": MaskPolicy(margin=0.05),
    }


def loss_and_gradients(arguments):
    names = ("anchors", "positives", "negatives")
    leaves = {name: arguments[name].clone().requires_grad_() for name in names}
    loss = guided_contrastive_loss(**arguments | leaves).loss
    return [loss.detach(), *torch.autograd.grad(loss, list(leaves.values()))]


@pytest.mark.parametrize("chunk_rows", [None, 1, 3])
def test_gradcheck(chunk_rows):
    arguments = batch(torch.float64, rows=4) | {"chunk_rows": chunk_rows}
    names = ("anchors", "positives", "negatives", "temperature")
    values = [torch.as_tensor(arguments[name], dtype=torch.float64).requires_grad_() for name in names]
    assert torch.autograd.gradcheck(
        lambda *inputs: guided_contrastive_loss(**arguments | dict(zip(names, inputs, strict=True))).loss,
        values,
    )


@pytest.mark.parametrize("chunk_rows", range(1, 9))
def test_chunks_change_nothing(chunk_rows):
    whole = loss_and_gradients(batch(torch.float64) | {"chunk_rows": 7})
    chunked = loss_and_gradients(batch(torch.float64) | {"chunk_rows": chunk_rows})
    torch.testing.assert_close(chunked, whole, rtol=1e-12, atol=1e-12)


def test_the_same_batch_gives_the_same_bits():
    first, second = (loss_and_gradients(batch()) for _ in range(2))
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_a_scaled_loss_has_scaled_gradients():
    arguments = batch(torch.float64)
    anchors = arguments["anchors"].requires_grad_()
    loss = guided_contrastive_loss(**arguments).loss
    (plain,) = torch.autograd.grad(loss, anchors, retain_graph=True)
    (scaled,) = torch.autograd.grad(-3 * loss, anchors)
    torch.testing.assert_close(scaled, -3 * plain, rtol=1e-12, atol=1e-12)


def test_a_second_derivative_is_refused():
    """Taken through the normalisation alone it would be a wrong number, silently."""
    arguments = batch()
    anchors = arguments["anchors"].requires_grad_()
    loss = guided_contrastive_loss(**arguments).loss
    message = (
        "^guided_contrastive_loss has no second derivative: gradients are made in the forward pass; "
        "call backward without create_graph$"
    )
    with pytest.raises(RuntimeError, match=message):
        torch.autograd.grad(loss, anchors, create_graph=True)


def test_the_guide_and_the_weights_get_no_gradient():
    arguments = batch()
    guide = arguments["guide_anchors"].requires_grad_()
    weights = torch.ones(7, requires_grad=True)
    anchors = arguments["anchors"].requires_grad_()
    loss = guided_contrastive_loss(**arguments, weights=weights).loss
    assert torch.autograd.grad(loss, [guide, weights, anchors], allow_unused=True)[:2] == (None, None)


def test_autocast_leaves_float32_inputs_alone():
    """In bfloat16 a score of 10 would be known to 1/32 only."""
    plain = loss_and_gradients(batch())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = loss_and_gradients(batch())
    torch.testing.assert_close(inside, plain, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_inputs_are_scored_in_float32(dtype):
    half = batch(dtype)
    full = {
        name: value.float() if torch.is_tensor(value) and value.is_floating_point() else value
        for name, value in half.items()
    }
    loss, *gradients = loss_and_gradients(half)
    expected_loss, *expected = loss_and_gradients(full)
    assert loss.dtype == torch.float32
    assert loss == expected_loss
    torch.testing.assert_close(gradients, [gradient.to(dtype) for gradient in expected], rtol=0, atol=0)


def test_half_precision_weights_are_summed_in_float32():
    """A sum of 300 ones in bfloat16 would stop at 256."""
    rows = 300
    vectors = torch.randn(rows, 4, generator=torch.Generator().manual_seed(0))
    plain = guided_contrastive_loss(vectors, vectors.roll(1, 1))
    weighted = guided_contrastive_loss(
        vectors, vectors.roll(1, 1), weights=torch.ones(rows, dtype=torch.bfloat16)
    )
    assert weighted.loss.item() == pytest.approx(plain.loss.item(), rel=1e-6)


def test_padded_negatives_get_a_gradient_of_zero_whatever_they_hold():
    arguments = batch()
    absent = ~arguments["negative_mask"]
    for name in ("negatives", "guide_negatives"):
        arguments[name][absent] = torch.nan
    loss, *gradients = loss_and_gradients(arguments)
    assert torch.isfinite(loss)
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    assert not gradients[2][absent].any()
