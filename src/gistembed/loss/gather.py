"""One batch out of those of several processes: every text a candidate of every row, each row scored once."""

from collections.abc import Mapping, Sequence
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


_REFUSED = ("known_ids", "rows")
_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64, torch.bool)


def averaged_over_ranks(parameter: Tensor) -> Tensor:
    """A parameter that no wrapper synchronises; its gradient becomes the mean over all processes.

    Args:
        parameter: The same on every rank.
    """
    averaged: Tensor = _Averaged.apply(parameter)  # type: ignore[no-untyped-call]
    return averaged


def gather_rows(local: Tensor, counts: Sequence[int]) -> Tensor:
    """The rows of all processes, one process's after the other's; gradients are summed over the processes.

    Args:
        local: This process's rows.
        counts: How many rows each process has.
    """
    gathered: Tensor = _Gather.apply(local, list(counts))  # type: ignore[no-untyped-call]
    return gathered


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
    given = {name: arguments[name] for name in _BY_ROW if arguments.get(name) is not None}
    refused = [
        name
        for name, value in arguments.items()
        if (name in _REFUSED and value is not None) or (name in given and not isinstance(value, Tensor))
    ]
    anchors = given["anchors"]
    # What is wrong on one rank must be an error on all, or the others would wait for it.
    makes = [-1 if name not in given or refused else _make(given[name]) for name in _BY_ROW]
    mine = torch.tensor([len(anchors), int(bool(refused)), *makes], device=anchors.device)
    every = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(every, mine)
    table = torch.stack(every).tolist()
    for other, (rows, has_refused, *made) in enumerate(table):
        if has_refused:
            what = f"{refused[0]}: " if refused else ""
            raise ValueError(f"{what}rank {other} holds what can't be gathered from several processes")
        if not rows:
            raise ValueError(f"anchors: rank {other} holds no rows")
        for name, its, first in zip(_BY_ROW, made, table[0][2:], strict=True):
            if its != first:
                raise ValueError(f"{name}: ranks 0 and {other} hold batches of different make")
    counts = [rows for rows, *_ in table]
    rank = dist.get_rank()
    start = sum(counts[:rank])
    gathered = {name: gather_rows(tensor, counts) for name, tensor in given.items()}
    return {**arguments, **gathered, "rows": slice(start, start + counts[rank])}


def _make(tensor: Tensor) -> int:
    """What a tensor's rows look like, as one number."""
    number = _DTYPES.index(tensor.dtype) if tensor.dtype in _DTYPES else len(_DTYPES)
    for size in tensor.shape[1:]:
        number = number * 1_000_003 + int(size) + 1
    return number


class _Averaged(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 — torch gives it no type
        parameter: Tensor,
    ) -> Tensor:
        return parameter.clone()

    @staticmethod
    def backward(
        ctx: Any,  # noqa: ANN401
        gradient: Tensor,
    ) -> Tensor:
        gradient = gradient.contiguous().clone()
        dist.all_reduce(gradient)
        return gradient / dist.get_world_size()


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
