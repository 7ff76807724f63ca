"""The record of a run while it goes on: begun, checked when resumed, and on disk after every stage."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from gistembed.describe import data_record, machine, model_record, versions
from gistembed.errors import UserError
from gistembed.folder import RunFolder
from gistembed.prepare.run import PreparedRun
from gistembed.record import RunRecord

# Where and when a run writes, where vectors are kept, who makes them, how fast and for how much, and what is
# computed twice to save memory has no influence on its result.
WITHOUT_INFLUENCE = (
    "out",
    "store",
    "guide_workers",
    "guide_requests_per_minute",
    "guide_price",
    "graph_memory_gb",
    "save_every",
)


def first_record(run: PreparedRun, unfinished: RunRecord | None) -> RunRecord:
    """The record before the first stage: a new one, or the unfinished one if it is of this very run.

    Args:
        run: The run as it is about to start.
        unfinished: What an earlier attempt left; None for a fresh run.

    Raises:
        UserError: If the earlier attempt had other settings, data or models.
    """
    config = run.config.model_dump(mode="json", exclude={"data", "eval", "retention"})
    retention = run.tasks["retention"].pairs
    config |= {
        "data": run.pairs.source,
        "eval": run.eval_pairs.source if run.eval_pairs is not None else None,
        "retention": retention.source if run.config.retention is not None else None,
    }
    inputs = inputs_of(run)
    if unfinished is not None:
        _check_same(run, config, inputs, unfinished)
        return unfinished.model_copy(
            update={"status": "running", "versions": versions(), "machine": machine()}
        )
    return RunRecord(
        status="running",
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        config=config,
        inputs=inputs,
        versions=versions(),
        machine=machine(),
        train_data=data_record(run.pairs),
        eval_data=data_record(run.eval_pairs) if run.eval_pairs is not None else None,
        split=run.split,
        student=model_record(run.student, run.tokens.lengths),
        adaptation=run.adaptation,
        findings=list(run.findings),
        warnings=run.warnings,
    )


def inputs_of(run: PreparedRun) -> dict[str, str]:
    """Digests of all that a run is made from besides its settings, by name.

    Args:
        run: The run as it is about to start.
    """
    inputs = {
        "pairs": run.pairs.digest(),
        "evaluation pairs": run.tasks["held-out"].pairs.digest(),
        "retention pairs": run.tasks["retention"].pairs.digest(),
        "student": run.student.identity,
    }
    for number, guide in enumerate(run.guides, 1):
        inputs["guide" if number == 1 else f"guide {number}"] = guide.identity
    return inputs


def _check_same(
    run: PreparedRun, config: dict[str, object], inputs: dict[str, str], unfinished: RunRecord
) -> None:
    begun = f"--resume: the run in {run.config.out} was begun"
    for name, value in config.items():
        before = unfinished.config.get(name)
        if before != value and name not in WITHOUT_INFLUENCE:
            raise UserError(
                f"{begun} with {name} = {before!r}, not {value!r}; use the same settings, or another --out"
            )
    for name, digest in inputs.items():
        if unfinished.inputs.get(name) != digest:
            raise UserError(f"{begun} with another {name}; go on with the same, or choose another --out")


class Journal:
    """Adds to a run's record; what is added is on disk when `add` returns.

    Attributes:
        record: The record so far.
    """

    def __init__(self, folder: RunFolder, record: RunRecord) -> None:
        """Write the first record.

        Args:
            folder: Where the run writes.
            record: See `first_record`.
        """
        self.record = record
        self._folder = folder
        self.add()

    def add(self, **changes: object) -> None:
        """Change fields of the record and write it."""
        self.record = self.record.model_copy(update=changes)
        self._folder.write_record(self.record)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the time of a stage to what earlier attempts spent on it.

        Args:
            stage: What is being done.

        Yields:
            Nothing.
        """
        started = time.perf_counter()
        try:
            yield
        finally:
            seconds = self.seconds(stage) + time.perf_counter() - started
            self.add(timings=self.record.timings | {stage: round(seconds, 3)})

    def seconds(self, stage: str) -> float:
        """Time spent on a stage so far."""
        return self.record.timings.get(stage, 0.0)
