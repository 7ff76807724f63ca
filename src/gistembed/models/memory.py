"""Lack of memory, said as the user's own mistake."""

import contextlib
import gc
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gistembed.errors import UserError

if TYPE_CHECKING:
    import torch

# What allocators and libraries below torch say; the first is a CPU's.
_OUT_OF_MEMORY = (
    "can't allocate memory",
    "CUDA error: out of memory",
    "MPS backend out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)


@contextlib.contextmanager
def memory_errors(advice: str) -> Iterator[None]:
    """Lack of memory as the user's own mistake, which it is: there is a setting for it.

    Args:
        advice: What to do.

    Yields:
        Nothing.

    Raises:
        UserError: If memory runs out.
    """
    try:
        yield
    except RuntimeError as error:
        if not ran_out_of_memory(error):
            raise
        raise UserError(f"out of memory; {advice}") from error


def ran_out_of_memory(error: RuntimeError) -> bool:
    """Whether this is how torch says that memory ran out, on an accelerator or on the CPU."""
    import torch

    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in _OUT_OF_MEMORY)


def release_memory(device: "torch.device") -> None:
    """Have what nobody uses any more leave an accelerator; a CPU's memory waits for the next collection.

    Models and optimizers are circles of references: they stay until Python's collector comes by.

    Args:
        device: Where they were.
    """
    if device.type == "cpu":
        return
    import torch

    gc.collect()
    torch.get_device_module(device).empty_cache()
