"""The processes that train together: who this one is, and how they wait for each other.

`torchrun`, `accelerate launch` and Ray Train say so in the environment; a process that nothing of the kind
started is alone.
"""

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

_Said = TypeVar("_Said")

# The others wait while one encodes, scores or saves; if it dies, the launcher ends them.
_PATIENCE = timedelta(days=2)


def rank() -> int:
    """The number of this process, from 0."""
    return int(os.environ.get("RANK", "0")) if ranks() > 1 else 0


def ranks() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def idle_gpus() -> int:
    """How many GPUs a process that is alone sees and does not train on."""
    import torch

    return max(0, torch.cuda.device_count() - 1) if ranks() == 1 else 0


def ranks_here() -> int:
    """How many of them run on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if ranks() > 1 else 1


def is_first() -> bool:
    """Whether this process is the one that writes, and does what need not be done twice."""
    return rank() == 0


def meet() -> None:
    """Make sure that the processes can talk to each other; does nothing for one that is alone."""
    import torch
    import torch.distributed as dist

    if ranks() == 1 or dist.is_initialized():
        return
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    # What is said here is said by CPUs: on GPUs those who wait would take time from the one who works.
    dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo", timeout=_PATIENCE)


def wait_for_all() -> None:
    """Go on when all processes have come here."""
    any_of_all(False)


def any_of_all(mine: bool) -> bool:
    """Whether it is true in any of the processes; all of them have to ask.

    Args:
        mine: Whether it is true in this one.
    """
    if ranks() == 1:
        return mine
    import torch
    import torch.distributed as dist

    meet()
    said = torch.tensor([int(mine)])
    dist.all_reduce(said, dist.ReduceOp.MAX)
    return bool(said.item())


def all_say(mine: _Said) -> list[_Said]:
    """What each of the processes says, in their order; all of them have to say something.

    Args:
        mine: What this one says; something that can be pickled.
    """
    if ranks() == 1:
        return [mine]
    import torch.distributed as dist

    meet()
    said: list[Any] = [None] * ranks()
    dist.all_gather_object(said, mine)
    return said


def first_says(number: Callable[[], float]) -> float:
    """What the first process finds, in all processes, which all have to ask.

    Args:
        number: Called in the first process only.
    """
    return all_say(number() if is_first() else 0.0)[0]
