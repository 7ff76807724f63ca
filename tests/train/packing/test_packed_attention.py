"""Attention without padding, against the formula in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gistembed.train.packing.attention import Sight, attend_within

lengths = st.lists(st.integers(0, 7), min_size=1, max_size=6).filter(any)
sights = st.builds(Sight, st.floats(0.1, 1), causal=st.booleans(), window=st.none() | st.integers(1, 8))


def reference(query, key, value, lengths, sight):
    """Text by text, head by head, token by token, from the definition of attention."""
    result = np.zeros_like(value)
    start = 0
    for length in lengths:
        for head in range(query.shape[1]):
            q, k, v = (x[start : start + length, head] for x in (query, key, value))
            for i in range(length):
                seen = [
                    j
                    for j in range(length)
                    if (sight.window is None or abs(i - j) < sight.window) and (j <= i or not sight.causal)
                ]
                scores = np.exp(k[seen] @ q[i] * sight.scale)
                result[start + i, head] = scores @ v[seen] / scores.sum()
        start += length
    return result


def starts_of(lengths, device="cpu"):
    return torch.tensor(np.cumsum([0, *lengths]), dtype=torch.int32, device=device)


@given(lengths, st.integers(1, 3), st.integers(1, 5), sights, st.integers(0, 9))
def test_it_is_softmax_attention_within_each_text(lengths, heads, dim, sight, seed):
    inputs = np.random.default_rng(seed).standard_normal((3, sum(lengths), heads, dim))
    found = attend_within(*torch.from_numpy(inputs), starts_of(lengths), max(lengths), sight)
    np.testing.assert_allclose(found.numpy(), reference(*inputs, lengths, sight), atol=1e-12)


def test_gradients_stay_within_their_text():
    """The gradient of the first text's output is 0 in the second text's inputs, and not in its own."""
    inputs = torch.randn(3, 7, 2, 4, dtype=torch.float64, requires_grad=True)
    attend_within(*inputs, starts_of([3, 4]), 4, Sight(0.5))[:3].square().sum().backward()
    assert (inputs.grad[:, :3] != 0).all()
    assert (inputs.grad[:, 3:] == 0).all()


def test_gradients_are_right():
    starts = starts_of([3, 0, 3, 2])
    inputs = [torch.randn(8, 2, 4, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    for sight in (Sight(0.5), Sight(0.5, causal=True), Sight(0.5, window=2)):
        assert torch.autograd.gradcheck(
            lambda *x, sight=sight: attend_within(*x, starts, 3, sight), inputs, fast_mode=True
        )


def test_dropout_leaves_out_weights():
    ones = torch.ones(3, 2000, 1, 8)
    found = attend_within(*ones, starts_of([1] * 2000), 1, Sight(1.0, dropout=0.25))[:, 0, 0]
    assert found.unique().tolist() == pytest.approx([0, 4 / 3])
    assert float((found == 0).float().mean()) == pytest.approx(0.25, abs=0.05)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("dim", [8, 12])
def test_kernels_take_what_they_are_given(dtype, causal, dim):
    """Without a GPU only names, types and shapes of the call can be checked."""
    inputs = [torch.empty(9, 2, dim, dtype=dtype, device="meta", requires_grad=True) for _ in range(3)]
    sight = Sight(0.3, causal=causal, dropout=0.1)
    found = attend_within(*inputs, starts_of([4, 5], "meta"), 5, sight)
    assert (found.shape, found.dtype, found.requires_grad) == (inputs[0].shape, dtype, True)


@pytest.mark.parametrize("causal", [False, True])
def test_the_kernel_of_16_bits_has_windows_and_a_backward_pass(causal):
    inputs = [torch.empty(9, 2, 8, dtype=torch.bfloat16, device="meta", requires_grad=True) for _ in range(3)]
    sight = Sight(0.3, causal=causal, window=3)
    attend_within(*inputs, starts_of([4, 5], "meta"), 5, sight).sum().backward()
    assert all(one.grad.shape == one.shape for one in inputs)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("sight", [Sight(0.3), Sight(0.3, causal=True), Sight(0.3, window=3)])
def test_kernels_give_what_the_formula_gives(dtype, sight):
    """Values and gradients on a GPU, against float64 on the CPU."""
    lengths = [4, 70, 1, 33]
    exact = [torch.randn(sum(lengths), 2, 40, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    wanted = attend_within(*exact, starts_of(lengths), 70, sight)
    wanted.square().sum().backward()
    rounded = [one.detach().to("cuda", dtype).requires_grad_() for one in exact]
    found = attend_within(*rounded, starts_of(lengths, "cuda"), 70, sight)
    found.float().square().sum().backward()
    tolerance = 1e-4 if dtype == torch.float32 else 0.03
    assert float((found.double().cpu() - wanted).norm() / wanted.norm()) < tolerance
    for one, right in zip(rounded, exact, strict=True):
        assert float((one.grad.double().cpu() - right.grad).norm() / right.grad.norm()) < tolerance
