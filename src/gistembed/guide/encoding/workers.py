"""Encode with several processes, each with a guide and files of its own in the store."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gistembed.errors import UserError
from gistembed.guide.encoding.encode import TextRun, encode_run
from gistembed.guide.scorers.opening import GuideSettings, guide_identity, open_guide
from gistembed.guide.store.identity import GuideIdentity
from gistembed.guide.store.store import GuideStore
from gistembed.guide.store.writer import StoreWriter

if TYPE_CHECKING:
    from ctypes import c_bool
    from multiprocessing.sharedctypes import Synchronized

PIECE_TEXTS = 1024
"""Texts that a worker takes at a time: what is lost with it, and how coarse the progress is."""


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker has to know, in any process on any machine.

    Attributes:
        guide: The guide.
        root: The store folder, by a path that all workers share.
        identity: The guide as it is known where the work is planned.
        name: What to call it, for people.
    """

    guide: GuideSettings
    root: Path
    identity: GuideIdentity
    name: str


class EncodingWorker:
    """A guide that is loaded, and a place in the store for what it gives."""

    def __init__(self, settings: WorkerSettings, device: str | None = None) -> None:
        """Load the guide.

        Args:
            settings: What to encode with, and where to keep it.
            device: Where the model runs, as torch names it; an accelerator if there is one, by default.

        Raises:
            UserError: If the guide can't be had here, or is another one.
        """
        self._guide = open_guide(settings.guide, device=device)
        wanted = settings.identity
        if guide_identity(self._guide, settings.guide, wanted.dtype) != wanted:
            raise UserError(
                f"--guide {settings.guide.name}: a worker finds another model under this name; "
                "give a folder that all of them share"
            )
        store = GuideStore(settings.root, wanted, settings.name, self._guide.facts, only=())
        self._writer = StoreWriter(store)

    def encode(self, run: TextRun) -> int:
        """Encode and commit some texts; how many.

        Args:
            run: The texts.

        Raises:
            UserError: See `encode_run`.
        """
        encode_run(self._guide, self._writer, run)
        return len(run)


def encode_in_processes(
    settings: WorkerSettings,
    runs: Sequence[TextRun],
    workers: int,
    on_progress: Callable[[int], None] = lambda count: None,
) -> None:
    """Encode texts with several processes on this machine, one GPU for each where there are some.

    Args:
        settings: What to encode with, and where to keep it.
        runs: The texts.
        workers: How many processes.
        on_progress: Called with the number of texts encoded since the call before.

    Raises:
        UserError: See `encode_run`; or if a process dies.
    """
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from concurrent.futures.process import BrokenProcessPool

    context = multiprocessing.get_context("spawn")
    # Without a lock, which a process that is killed could take with it.
    ended = context.Value("b", False, lock=False)
    pool = ProcessPoolExecutor(workers, context, _begin, (settings, workers, context.Value("i", 0), ended))
    try:
        with _deaf():
            under_way = [
                pool.submit(_encode_piece, piece) for run in runs for piece in run.pieces(PIECE_TEXTS)
            ]
        for done in as_completed(under_way):
            on_progress(done.result())
    except BrokenProcessPool as error:
        raise UserError(
            f"one of {workers} processes that encode has died, perhaps for lack of memory; what is committed "
            "is kept: start again with fewer of them"
        ) from error
    finally:
        # A few pieces are on their way to the workers and can't be cancelled any more.
        ended.value = True
        pool.shutdown(cancel_futures=True)


@contextmanager
def _deaf() -> Iterator[None]:
    """Without Ctrl-C, which processes that are started meanwhile don't hear either before they ask for it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


# What a worker process holds; in all others it stays as it is here.
_settings: WorkerSettings | None = None
_device: str | None = None
_worker: EncodingWorker | None = None
_ended: "c_bool | None" = None


def _begin(settings: WorkerSettings, workers: int, numbers: "Synchronized[int]", ended: "c_bool") -> None:
    """What a worker process does first."""
    import torch

    global _settings, _device, _ended
    _settings, _ended = settings, ended
    # Between two pieces there is nothing to interrupt: the process that leads ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_leader, daemon=True).start()
    with numbers.get_lock():
        number = numbers.value
        numbers.value += 1
    if gpus := torch.cuda.device_count():
        _device = f"cuda:{number % gpus}"
    else:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))


def _end_with_leader() -> None:
    """A process that leads and is killed ends nobody; without it, this one would wait for pieces for ever."""
    leader = multiprocessing.parent_process()
    assert leader is not None, "a worker process was started by another"
    leader.join()
    os._exit(1)


def _encode_piece(piece: TextRun) -> int:
    global _worker
    assert _settings is not None, "a worker process begins before it encodes"
    assert _ended is not None, "a worker process begins before it encodes"
    if _ended.value:
        return 0
    try:
        with _interruptible():
            # Here and not at the beginning: only what a piece raises reaches the user.
            _worker = _worker or EncodingWorker(_settings, _device)
            return _worker.encode(piece)
    except KeyboardInterrupt:
        # The process that leads may be slower, and the next piece is waiting here.
        _ended.value = True
        raise


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C ends the piece in hand; what it has encoded is committed."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
