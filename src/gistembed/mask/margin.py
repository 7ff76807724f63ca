"""How far below a row's threshold a candidate already leaves, constant or moving over the steps of a run."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from jaxtyping import Float
from torch import Tensor

from gistembed.terms import MarginStrategy

ScheduleShape = Literal["linear", "cosine"]


@dataclass(frozen=True)
class Margin:
    """How far below a row's threshold a candidate already leaves.

    Attributes:
        value: Distance below the threshold; negative values let candidates above it stay.
        strategy: ``absolute`` subtracts ``value``; ``relative`` subtracts ``value`` times
            the threshold's size.
    """

    value: float = 0.0
    strategy: MarginStrategy = "absolute"

    def below(self, thresholds: Float[Tensor, " rows"]) -> Float[Tensor, " rows"]:
        """The guide similarity above which a candidate leaves.

        absolute: ``t - value``; relative: ``t - |t| * value``, so that a positive value lowers the limit
        for negative thresholds too.
        """
        if self.strategy == "relative":
            return thresholds - thresholds.abs() * self.value
        return thresholds - self.value


@dataclass(frozen=True)
class MarginSchedule:
    """A margin that moves from one value to another over the first steps of a run, and then stays.

    With x = min(step / steps, 1): ``linear`` gives ``start + (end - start) · x``, ``cosine`` gives
    ``start + (end - start) · (1 - cos πx) / 2``.

    Attributes:
        start: The margin at step 0.
        end: The margin from step ``steps`` on.
        steps: Optimizer steps between the two.
        shape: ``linear`` or ``cosine``.

    Raises:
        ValueError: If a value is not finite, there is no step between them, or the shape is unknown.
    """

    start: float
    end: float
    steps: int
    shape: ScheduleShape = "linear"

    def __post_init__(self) -> None:
        """Refuse schedules that could only be mistakes."""
        if not (math.isfinite(self.start) and math.isfinite(self.end)):
            raise ValueError(f"margin: a schedule from {self.start} to {self.end} is not finite")
        if self.steps < 1:
            raise ValueError(f"margin: a schedule needs at least 1 step, got {self.steps}")
        if self.shape not in get_args(ScheduleShape):
            raise ValueError(
                f"margin: unknown shape {self.shape!r} of a schedule; choose one of "
                f"{', '.join(get_args(ScheduleShape))}"
            )

    def at(self, step: int) -> float:
        """The margin at an optimizer step, counted from 0."""
        share = min(step / self.steps, 1.0)
        if self.shape == "cosine":
            share = (1 - math.cos(math.pi * share)) / 2
        return self.start + (self.end - self.start) * share
