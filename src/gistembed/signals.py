"""SIGINT and SIGTERM: whatever runs ends in good order; a training run after the step in hand."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gistembed.errors import Terminated
from gistembed.ranks import ranks

if TYPE_CHECKING:
    from types import FrameType

    Handler = Callable[[int, FrameType | None], None]

_ECHO_SECONDS = 10


class StopRequest:
    """What a training run was asked for.

    Attributes:
        signal: The signal that asked it to stop; None until then.
    """

    def __init__(self) -> None:
        """Nobody has asked yet."""
        self.signal: int | None = None

    def __bool__(self) -> bool:
        """Whether the run should stop."""
        return self.signal is not None

    def heard(self) -> None:
        """Another process was asked: this one stops as it does for SIGTERM, if it wasn't asked itself."""
        self.signal = self.signal or signal.SIGTERM

    @property
    def terminated(self) -> bool:
        """Whether it was SIGTERM that asked."""
        return self.signal == signal.SIGTERM


@contextmanager
def stops_after_step(on_request: Callable[[], None]) -> Iterator[StopRequest]:
    """While this holds, a first Ctrl-C or SIGTERM is noted; a second one of either is raised at once.

    Of processes that train together, a second SIGTERM may be the echo of the first: who tells all of them
    tells their launcher too, which passes it on.

    Args:
        on_request: Called when the first one comes.

    Yields:
        What was asked for. Outside of the main thread, which alone is told of signals, nothing ever is.
    """
    request, process = StopRequest(), os.getpid()
    told = 0.0

    def handle(number: int, frame: "FrameType | None") -> None:
        # Workers of the data loader inherit this; they end with the process that they work for.
        if os.getpid() != process:
            return
        nonlocal told
        if request:
            if number == signal.SIGTERM and ranks() > 1 and time.monotonic() - told < _ECHO_SECONDS:
                return
            raise Terminated if number == signal.SIGTERM else KeyboardInterrupt
        told = time.monotonic()
        request.signal = number
        on_request()

    with _handled({signal.SIGINT: handle, signal.SIGTERM: handle}):
        yield request


@contextmanager
def ends_when_terminated() -> Iterator[None]:
    """While this holds, SIGTERM raises `gistembed.errors.Terminated`, as Ctrl-C raises its own."""

    def handle(number: int, frame: "FrameType | None") -> None:
        raise Terminated

    with _handled({signal.SIGTERM: handle}):
        yield


@contextmanager
def _handled(handlers: "dict[signal.Signals, Handler]") -> Iterator[None]:
    """Other handlers for a while; only in the main thread, where alone they can be set."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
