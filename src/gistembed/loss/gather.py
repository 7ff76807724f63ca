"""One batch out of those of several processes: every text a candidate of every row, each row scored once."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

# Given once for all texts of a batch, row by row; what a rank lacks, all must lack.
_BY_ROW = (
    "anchors",
    "positives",
    "negatives",
    "guide_anchors",
    "guide_positives",
    "guide_negatives",
    "anchor_ids",
    "positive_ids",
    "negative_ids",
    "negative_mask",
    "trusted_negatives",
    "weights",
)


def gather_batch(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `guided_contrastive_loss` for the batch that all processes hold together.

    Embeddings are gathered with their gradients: what other ranks' rows contribute to the gradient of a text
    comes back to the rank that has it. The result wants the loss of this rank's rows only; the losses of all
    ranks add up to that of the whole batch.

    Args:
        arguments: This rank's arguments. Ranks may differ in their number of rows, and in nothing else.

    Returns:
        The same arguments over all ranks' rows, in the order of the ranks, with ``rows`` set.

    Raises:
        ValueError: On every rank, if the ranks' batches are not of one make or an argument can't be gathered.
    """
    for name in ("known_ids", "rows"):
        if arguments.get(name) is not None:
            raise ValueError(f"{name}: can't be gathered from several processes")
    given = {name: arguments[name] for name in _BY_ROW if arguments.get(name) is not None}
    anchors = given["anchors"]
    shapes = torch.tensor(
        [len(anchors), *(-1 if name not in given else _make(given[name]) for name in _BY_ROW)],
        device=anchors.device,
    )
    every = [torch.empty_like(shapes) for _ in range(dist.get_world_size())]
    dist.all_gather(every, shapes)
    for other, one in enumerate(every):
        if not torch.equal(one[1:], every[0][1:]):
            differing = [
                name for name, same in zip(_BY_ROW, one[1:] == every[0][1:], strict=True) if not same
            ]
            raise ValueError(f"{differing[0]}: ranks 0 and {other} hold batches of different make")
    counts = [int(one[0]) for one in every]
    rank = dist.get_rank()
    start = sum(counts[:rank])
    gathered = {name: _Gather.apply(tensor, counts) for name, tensor in given.items()}  # type: ignore[no-untyped-call]
    return {**arguments, **gathered, "rows": slice(start, start + counts[rank])}


def _make(tensor: Tensor) -> int:
    """What a tensor's rows look like, as one number."""
    number = int(tensor.is_floating_point())
    for size in tensor.shape[1:]:
        number = number * 1_000_003 + int(size) + 1
    return number


class _Gather(torch.autograd.Function):
    """Rows of all ranks, one rank's after the other's; gradients are summed over the ranks."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 — torch gives it no type
        local: Tensor,
        counts: list[int],
    ) -> Tensor:
        ctx.counts = counts
        padded = local.new_zeros(max(counts), *local.shape[1:])
        padded[: len(local)] = local
        # Truth values can't be sent by every backend.
        sent = padded.to(torch.uint8) if padded.dtype == torch.bool else padded
        received = [torch.empty_like(sent) for _ in counts]
        dist.all_gather(received, sent)
        parts = [part[:count].to(local.dtype) for part, count in zip(received, counts, strict=True)]
        return torch.cat(parts)

    @staticmethod
    def backward(
        ctx: Any,  # noqa: ANN401
        gradient: Tensor,
    ) -> tuple[Tensor, None]:
        # Not reduce_scatter: not every backend has it, and ranks may hold different numbers of rows.
        gradient = gradient.contiguous().clone()
        dist.all_reduce(gradient)
        rank = dist.get_rank()
        start = sum(ctx.counts[:rank])
        return gradient[start : start + ctx.counts[rank]], None
