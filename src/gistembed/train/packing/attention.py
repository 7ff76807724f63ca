"""Attention within each of several texts that stand one after the other, without padding."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int32
from torch import Tensor

SIXTEEN_BITS = (torch.float16, torch.bfloat16)
"""What FlashAttention computes in."""

# Kernels take heads of a multiple of so many numbers.
_HEAD_STEP = 8


@dataclass(frozen=True)
class Sight:
    """How a token sees those of its own text.

    Attributes:
        scale: What products of queries and keys are multiplied by before the softmax.
        causal: Whether it sees none that come after it.
        window: It sees only those that are less than so many places away; None for all.
        dropout: Share of the softmax's weights that are left out at random.
    """

    scale: float
    causal: bool = False
    window: int | None = None
    dropout: float = 0.0


Kernel = Callable[[Tensor, Tensor, Tensor, Tensor, int, Sight], Tensor]


def attend_within(
    query: Float[Tensor, "tokens heads dim"],
    key: Float[Tensor, "tokens heads dim"],
    value: Float[Tensor, "tokens heads dim"],
    starts: Int32[Tensor, " texts_and_one"],
    longest: int,
    sight: Sight,
) -> Float[Tensor, "tokens heads dim"]:
    """Softmax attention in which a token sees those of its own text.

    On CUDA a kernel of PyTorch does all texts at once: FlashAttention in 16 bits, the memory-efficient one in
    float32, if there is no window. Elsewhere texts of one length that stand together are done together.

    Args:
        query: Queries.
        key: Keys.
        value: Values.
        starts: Where each text starts, and where the last one ends.
        longest: Tokens of the longest text.
        sight: How a token sees those of its text.
    """
    kernel = _kernel(query, sight)
    if kernel is None:
        return _by_length(query, key, value, starts, sight)
    dim = query.shape[-1]
    if dim % _HEAD_STEP:
        query, key, value = (F.pad(x, (0, -dim % _HEAD_STEP)) for x in (query, key, value))
    return kernel(query, key, value, starts, longest, sight)[..., :dim]


def _kernel(query: Tensor, sight: Sight) -> Kernel | None:
    """What does all texts at once; None if nothing does."""
    # Tensors without content take the same way as those on CUDA: calls can be tried without a GPU.
    if query.device.type not in ("cuda", "meta"):
        return None
    if query.dtype in SIXTEEN_BITS:
        return _flash
    return _efficient if query.dtype == torch.float32 and sight.window is None else None


# PyTorch's own way to these two kernels, by nested tensors, takes longer on the CPU than small layers take on
# a GPU; its public function for texts of unlike lengths has no dropout.


def _flash(
    query: Tensor, key: Tensor, value: Tensor, starts: Tensor, longest: int, sight: Sight
) -> Float[Tensor, "tokens heads dim"]:
    reach = None if sight.window is None else sight.window - 1
    attended: Tensor = torch.ops.aten._flash_attention_forward(
        query,
        key,
        value,
        starts,
        starts,
        longest,
        longest,
        sight.dropout,
        sight.causal,
        False,
        scale=sight.scale,
        window_size_left=reach,
        window_size_right=0 if sight.causal and reach is not None else reach,
    )[0]
    return attended


def _efficient(
    query: Tensor, key: Tensor, value: Tensor, starts: Tensor, longest: int, sight: Sight
) -> Float[Tensor, "tokens heads dim"]:
    attended: Tensor = torch.ops.aten._efficient_attention_forward(
        query[None],
        key[None],
        value[None],
        None,
        starts,
        starts,
        longest,
        longest,
        sight.dropout,
        int(sight.causal),
        compute_log_sumexp=torch.is_grad_enabled(),
        scale=sight.scale,
    )[0][0]
    return attended


def _by_length(
    query: Tensor, key: Tensor, value: Tensor, starts: Tensor, sight: Sight
) -> Float[Tensor, "tokens heads dim"]:
    attended, end = [], 0
    for length, texts in itertools.groupby(starts.diff().tolist()):
        start, end = end, end + length * sum(1 for _ in texts)
        if not length:
            continue
        q, k, v = (
            x[start:end].reshape(-1, length, *x.shape[1:]).transpose(1, 2) for x in (query, key, value)
        )
        mask = None if sight.window is None else _seen(length, sight.window, sight.causal, query.device)
        done = F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=mask,
            dropout_p=sight.dropout,
            is_causal=sight.causal and mask is None,
            scale=sight.scale,
        )
        attended.append(done.transpose(1, 2).flatten(0, 1))
    return torch.cat(attended)


def _seen(length: int, window: int, causal: bool, device: torch.device) -> Bool[Tensor, "tokens tokens"]:
    """Which tokens each token of a text sees."""
    places = torch.arange(length, device=device)
    before = places[:, None] - places
    seen = before.abs() < window
    return seen & (before >= 0) if causal else seen
