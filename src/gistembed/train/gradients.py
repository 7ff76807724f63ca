"""One exchange of gradients for each optimizer step."""

from collections.abc import Iterable, Iterator

import torch
import torch.distributed as dist
from torch import Tensor, nn

# Numbers sent at once: enough to keep the network busy, few enough not to double the memory of a large model.
_BUCKET = 16_000_000


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace the gradients by their means over all processes.

    One that a process lacks counts as 0; one that all lack stays away, so that the optimizer passes it over.

    Not by the wrapper of `torch.nn.parallel`: that one exchanges gradients for every forward pass, and a
    batch takes as many of them as it has micro-batches.

    Args:
        parameters: The same ones in every process.
    """
    for bucket in _buckets(parameter for parameter in parameters if parameter.requires_grad):
        there = bucket[0].new_tensor([parameter.grad is not None for parameter in bucket])
        flat = torch.cat([*(_gradient(parameter).flatten() for parameter in bucket), there])
        dist.all_reduce(flat)
        start = 0
        for parameter, anywhere in zip(bucket, flat[-len(bucket) :].tolist(), strict=True):
            stop = start + parameter.numel()
            if anywhere:
                parameter.grad = (flat[start:stop] / dist.get_world_size()).view_as(parameter)
            start = stop


def _gradient(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def _buckets(parameters: Iterable[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    """Parameters of one dtype each, in their order, so that every process makes the same buckets."""
    bucket: list[nn.Parameter] = []
    for parameter in parameters:
        full = sum(p.numel() for p in bucket) + parameter.numel() > _BUCKET
        if bucket and (full or parameter.dtype != bucket[0].dtype):
            yield bucket
            bucket = []
        bucket.append(parameter)
    if bucket:
        yield bucket
