"""The trainer's log as the points that a run's record keeps."""

from collections.abc import Mapping, Sequence

from gistembed.record import StepRecord

_FIXED = {"step", "epoch", "loss", "learning_rate", "grad_norm"}


def step_records(log: Sequence[Mapping[str, float]]) -> list[StepRecord]:
    """The logged points in order; entries without a loss are of something else.

    Args:
        log: The trainer's log.
    """
    return [
        StepRecord(
            step=int(entry["step"]),
            epoch=entry["epoch"],
            loss=entry["loss"],
            learning_rate=entry["learning_rate"],
            # In one order, whether they come from this process or from a checkpoint.
            metrics={name: value for name, value in sorted(entry.items()) if name not in _FIXED},
        )
        for entry in log
        if "loss" in entry
    ]
