"""Encode on a Ray cluster: a Ray Data pipeline of texts, whose workers write to one store."""

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from gistembed.errors import StorageError, UserError
from gistembed.guide.encoding.encode import TextRun, UnusableVectorError
from gistembed.guide.encoding.workers import PIECE_TEXTS, EncodingWorker, WorkerSettings
from gistembed.guide.store.keys import Keys
from gistembed.signals import ends_when_terminated

_ERRORS = {kind.__name__: kind for kind in (UserError, StorageError, UnusableVectorError)}
# So many workers may die with the same texts in hand; Ray by itself would start others for ever.
_MOST_DEATHS = 3
_ANSWER = pa.schema({"encoded": pa.int64(), "error": pa.string(), "arguments": pa.list_(pa.string())})


def encode_on_ray(
    settings: WorkerSettings,
    runs: Sequence[TextRun],
    workers: int | None,
    on_progress: Callable[[int], None] = lambda count: None,
) -> None:
    """Encode texts with workers of a Ray cluster, one GPU for each where the cluster has some.

    The cluster is the one that this process is connected to; if there is none, the one that the environment
    variable RAY_ADDRESS names or that runs on this machine; if there is none, one is started here. A worker
    that dies is replaced, and what it had in hand is encoded again, unless it dies of that.

    Args:
        settings: What to encode with, and where to keep it: a store folder that all machines share.
        runs: The texts.
        workers: How many workers; one for each GPU of the cluster, or each core, by default.
        on_progress: Called with the number of texts encoded since the call before.

    Raises:
        UserError: See `encode_run`; or if Ray isn't there, or workers die again and again.
    """
    require_ray()
    import ray
    from ray.data import ActorPoolStrategy, DataContext

    # Ray takes SIGTERM for itself as it starts, and would end with its own stack.
    with connected(), ends_when_terminated():
        DataContext.get_current().enable_progress_bars = False
        # What it has to say about an error, the error says.
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        resources = ray.cluster_resources()
        gpus = int(resources.get("GPU", 0))
        pieces = [_table(piece) for run in runs for piece in run.pieces(PIECE_TEXTS)]
        texts = ray.data.from_arrow(pieces)
        attempts = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(_Attempts).remote()
        encoded = texts.map_batches(
            _RayWorker,
            fn_constructor_args=(settings, partial(_begin, attempts)),
            batch_size=None,
            batch_format="pyarrow",
            compute=ActorPoolStrategy(size=workers or gpus or int(resources.get("CPU", 1))),
            num_gpus=1 if gpus else 0,
        )
        for row in encoded.iter_rows():
            if row["error"] is not None:
                raise _ERRORS[row["error"]](*row["arguments"])
            on_progress(row["encoded"])


def require_ray() -> None:
    """Make sure that Ray is there.

    Raises:
        UserError: If it isn't installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray.data  # noqa: F401
    except ImportError as error:
        raise UserError("--ray needs the package ray; run `pip install 'gistembed[ray]'`") from error


@contextmanager
def connected() -> Iterator[None]:
    """A connection to the cluster: the one that is there, or one for as long as this lasts."""
    import ray

    if ray.is_initialized():
        yield
        return
    ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()


class _RayWorker:
    """An `EncodingWorker` that takes its texts from a table, and gives back errors instead of raising them.

    What is raised, Ray tells the user at a length of its own, and for an error of the constructor only after
    minutes of trying again.
    """

    def __init__(self, settings: WorkerSettings, begin: Callable[[bytes], int]) -> None:
        self._settings = settings
        self._begin = begin
        self._worker: EncodingWorker | None = None

    def __call__(self, batch: pa.Table) -> pa.Table:
        encoded, error, arguments = 0, None, None
        try:
            run = _run(batch)
            if (deaths := self._begin(run.keys.at(np.array([0])).to_bytes()[0])) >= _MOST_DEATHS:
                raise UserError(
                    f"{deaths} workers of the Ray cluster died with the same texts in hand, perhaps for lack "
                    "of memory; what is committed is kept: start again with fewer workers"
                )
            self._worker = self._worker or EncodingWorker(self._settings)
            encoded = self._worker.encode(run)
        except UserError as problem:
            error, arguments = type(problem).__name__, [str(value) for value in problem.args]
        return pa.Table.from_pydict(
            {"encoded": [encoded], "error": [error], "arguments": [arguments]}, schema=_ANSWER
        )


class _Attempts:
    """Counts how often workers began with some texts, which those that died of them can't."""

    def __init__(self) -> None:
        self._begun: Counter[bytes] = Counter()

    def begin(self, piece: bytes) -> int:
        """How often it was begun before."""
        self._begun[piece] += 1
        return self._begun[piece] - 1


def _begin(attempts: Any, piece: bytes) -> int:  # noqa: ANN401 — Ray's handle of `_Attempts`
    import ray

    return int(ray.get(attempts.begin.remote(piece)))


def _table(run: TextRun) -> pa.Table:
    """A run as a table, which Ray carries between machines."""
    length = run.lengths if run.lengths is not None else np.full(len(run), -1, np.int32)
    return pa.table(
        {
            "role": pa.array([run.role] * len(run)).dictionary_encode(),
            "text": pa.array(run.texts, pa.large_string()),
            "high": run.keys.high,
            "low": run.keys.low,
            "length": length,
        }
    )


def _run(table: pa.Table) -> TextRun:
    """The run of a table that `_table` made."""
    high, low, length = (table[name].to_numpy() for name in ("high", "low", "length"))
    lengths = None if length[0] < 0 else length
    return TextRun(table["role"][0].as_py(), table["text"].to_pylist(), Keys(high, low), lengths)
