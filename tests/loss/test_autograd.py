"""What automatic differentiation and automatic mixed precision make of the loss."""

import pytest
import torch

from gistembed import MaskPolicy, guided_contrastive_loss
from gistembed.loss.sweep import _Room
from gistembed.loss.view import View


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


@pytest.mark.parametrize(
    "policy", [MaskPolicy(margin=0.05), MaskPolicy(contrast_reverse=True)], ids=["", "pa"]
)
def test_shares_of_the_rows_add_up(policy):
    """So ranks that each take their own rows of a gathered batch have one batch's loss and gradients."""
    arguments = batch(torch.float64) | {"weights": torch.arange(7.0, dtype=torch.float64), "policy": policy}
    whole = loss_and_gradients(arguments)
    parts = [
        loss_and_gradients(arguments | {"rows": rows}) for rows in (slice(0, 2), slice(2, 3), slice(3, 7))
    ]
    summed = [sum(values) for values in zip(*parts, strict=True)]
    torch.testing.assert_close(summed, whole, rtol=1e-12, atol=1e-12)


def test_dims_add_up_and_share_the_mask():
    """Cut and normalised by hand, with the mask of the guide, the losses add up to that of one call."""
    arguments = batch(torch.float64)
    together = loss_and_gradients(arguments | {"dims": [6, 2, 4], "dim_weights": [1.0, 0.5, 2.0]})
    names = ("anchors", "positives", "negatives")
    summed = [torch.zeros_like(value) for value in together]
    for dim, weight in ((6, 1.0), (2, 0.5), (4, 2.0)):
        cut = {name: arguments[name][..., :dim] for name in names}
        loss, *gradients = loss_and_gradients(arguments | cut)
        summed[0] += weight * loss
        for total, gradient in zip(summed[1:], gradients, strict=True):
            total[..., :dim] += weight * gradient
    torch.testing.assert_close(together, summed, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("action", ["drop", "soften", "promote"])
def test_gradcheck_of_every_action(action):
    """The guide's word is a constant, and extra weight is too: the slopes are those of finite differences."""
    policy = MaskPolicy(margin=0.05, action=action, softness=0.1 if action == "soften" else None)
    arguments = batch(torch.float64, rows=4) | {"policy": policy, "chunk_rows": 3}
    names = ("anchors", "positives", "negatives", "temperature")
    values = [torch.as_tensor(arguments[name], dtype=torch.float64).requires_grad_() for name in names]
    assert torch.autograd.gradcheck(
        lambda *inputs: guided_contrastive_loss(**arguments | dict(zip(names, inputs, strict=True))).loss,
        values,
    )


def test_what_memory_held_before_does_not_show(monkeypatch):
    """Chunks reuse memory that nobody has cleared."""
    shaped = _Room.shaped

    def poisoned(self, rows, columns):
        return shaped(self, rows, columns).fill_(torch.nan)

    arguments = batch() | {"policy": MaskPolicy(action="promote"), "chunk_rows": 3}
    clean = loss_and_gradients(arguments)
    monkeypatch.setattr(_Room, "shaped", poisoned)
    torch.testing.assert_close(loss_and_gradients(arguments), clean, rtol=0, atol=0)


def test_without_gradients_none_are_made(monkeypatch):
    arguments = batch()
    expected = loss_and_gradients(arguments)[0]
    monkeypatch.delattr(View, "add_gradients")
    learned = {name: arguments[name].requires_grad_() for name in ("anchors", "positives")}
    temperature = torch.tensor(arguments["temperature"], requires_grad=True)
    with torch.no_grad():
        loss = guided_contrastive_loss(**arguments | learned | {"temperature": temperature}).loss
    assert not loss.requires_grad
    torch.testing.assert_close(loss, expected)


def test_a_temperature_of_one_element_is_learned():
    arguments = batch()
    gradients = []
    for shape in ((), (1,)):
        temperature = torch.full(shape, 0.1, requires_grad=True)
        guided_contrastive_loss(**arguments | {"temperature": temperature}).loss.backward()
        assert temperature.grad.shape == shape
        gradients.append(temperature.grad.item())
    assert gradients[0] == gradients[1] != 0


@pytest.mark.parametrize("guide_dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_guide_and_student_may_differ_in_precision(dtype, guide_dtype):
    """The guide is compared in its own precision, float32 at least: here nothing lies near a limit."""
    arguments = batch(dtype)
    mixed = {
        name: value.to(guide_dtype) if name.startswith("guide") else value
        for name, value in arguments.items()
    }
    torch.testing.assert_close(loss_and_gradients(mixed), loss_and_gradients(arguments))
