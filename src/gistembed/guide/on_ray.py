"""Encode on a Ray cluster: a Ray Data pipeline of texts, whose workers write to one store."""

import logging
import os
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from gistembed.errors import StorageError, UserError
from gistembed.guide.encode import TextRun, UnusableVectorError
from gistembed.guide.keys import Keys
from gistembed.guide.workers import PIECE_TEXTS, EncodingWorker, WorkerSettings

_ERRORS = {kind.__name__: kind for kind in (UserError, StorageError, UnusableVectorError)}
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
    that dies is replaced, and what it had in hand is encoded again.

    Args:
        settings: What to encode with, and where to keep it: a store folder that all machines share.
        runs: The texts.
        workers: How many workers; one for each GPU of the cluster, or each core, by default.
        on_progress: Called with the number of texts encoded since the call before.

    Raises:
        UserError: See `encode_run`; or if Ray isn't there.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        from ray.data import ActorPoolStrategy, DataContext
    except ImportError as error:
        raise UserError("--ray needs the package ray; run `pip install 'gistembed[ray]'`") from error
    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    resources = ray.cluster_resources()
    gpus = int(resources.get("GPU", 0))
    pieces = [_table(piece) for run in runs for piece in run.pieces(PIECE_TEXTS)]
    texts = ray.data.from_arrow(pieces)
    encoded = texts.map_batches(
        _RayWorker,
        fn_constructor_args=(settings,),
        batch_size=None,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(size=workers or gpus or int(resources.get("CPU", 1))),
        num_gpus=1 if gpus else 0,
    )
    for row in encoded.iter_rows():
        if row["error"] is not None:
            raise _ERRORS[row["error"]](*row["arguments"])
        on_progress(row["encoded"])


class _RayWorker:
    """An `EncodingWorker` that takes its texts from a table, and gives back errors instead of raising them.

    What is raised, Ray tells the user at a length of its own, and for an error of the constructor only after
    minutes of trying again.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._worker: EncodingWorker | None = None

    def __call__(self, batch: pa.Table) -> pa.Table:
        encoded, error, arguments = 0, None, None
        try:
            self._worker = self._worker or EncodingWorker(self._settings)
            encoded = self._worker.encode(_run(batch))
        except UserError as problem:
            error, arguments = type(problem).__name__, [str(value) for value in problem.args]
        return pa.Table.from_pydict(
            {"encoded": [encoded], "error": [error], "arguments": [arguments]}, schema=_ANSWER
        )


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
