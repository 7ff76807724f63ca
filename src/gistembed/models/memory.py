"""Lack of memory, said as the user's own mistake."""

import contextlib
from collections.abc import Iterator

from gistembed.errors import UserError


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

    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
