"""What is searched: settings of a run, each with a range of numbers or a list of choices."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from gistembed.config import RunConfig
from gistembed.errors import UserError

# They decide which pairs are scored, or have no influence on the score; and luck is no setting.
_NOT_SEARCHED = {
    "data": "trials with other pairs can't be compared",
    "columns": "trials with other pairs can't be compared",
    "min_score": "trials with other pairs can't be compared",
    "max_score": "trials with other pairs can't be compared",
    "instructions": "trials with other texts can't be compared",
    "same_text": "trials with other pairs can't be compared",
    "eval": "the held-out pairs stay out of a search",
    "retention": "the retention pairs stay out of a search",
    "holdout": "the held-out pairs stay out of a search",
    "seed": "the best of several seeds is luck, not a setting",
    "split_seed": "trials scored on other pairs can't be compared",
    "dev": "it decides which pairs score a trial",
    "keep_best": "trials are scored by their last step",
    "eval_every": "trials are scored by their last step",
    "patience": "trials are scored by their last step",
    "save_every": "it has no influence on the score",
    "graph_memory_gb": "it has no influence on the score",
    "out": "it has no influence on the score",
    "store": "it has no influence on the score",
    "compare_unguided": "it has no influence on the score",
    "guide_workers": "it has no influence on the score",
    "guide_requests_per_minute": "it has no influence on the score",
    "guide_price": "it has no influence on the score",
}
_SIGNIFICANT_DIGITS = 3


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included.

    Attributes:
        low: The smallest.
        high: The largest.
        log: Whether their logarithms are drawn evenly.
        whole: Whether only whole numbers count.
    """

    low: int | float
    high: int | float
    log: bool = False
    whole: bool = False

    def extremes(self) -> Sequence[Any]:
        """Values that have to be possible for all others to be."""
        return (self.low, self.high)

    def holds(self, value: object) -> bool:
        """Whether a value is one of these."""
        return (
            isinstance(value, int if self.whole else int | float)
            and not isinstance(value, bool)
            and self.low <= value <= self.high
        )

    def rounded(self, value: int | float) -> int | float:
        """As many digits as matter, so that people can read and write it."""
        if self.whole or value == 0:
            return value
        digits = _SIGNIFICANT_DIGITS - 1 - math.floor(math.log10(abs(value)))
        return min(max(round(value, digits), self.low), self.high)

    def record(self) -> Any:  # noqa: ANN401 — as it would stand in a file
        """The axis as it would stand in a configuration file."""
        return {"low": self.low, "high": self.high} | ({"log": True} if self.log else {})


@dataclass(frozen=True)
class Choices:
    """A list of values.

    Attributes:
        values: At least two.
    """

    values: tuple[Any, ...]

    def extremes(self) -> Sequence[Any]:
        """Values that have to be possible for all others to be."""
        return self.values

    def holds(self, value: object) -> bool:
        """Whether a value is one of these."""
        return value in self.values

    def record(self) -> Any:  # noqa: ANN401 — as it would stand in a file
        """The axis as it would stand in a configuration file."""
        return list(self.values)


Space = Mapping[str, Range | Choices]
"""What is searched, by setting."""


def default_space(resolved: RunConfig, given: Collection[str], *, pairs: int) -> Space:
    """Learning rate, temperature, margin and batch size, as far as the user didn't decide on them.

    Args:
        resolved: The run without a search, its sizes and its learning rate filled in.
        given: Names of the settings that the user gave.
        pairs: How many pairs a trial is trained on.

    Raises:
        UserError: If all four are given.
    """
    assert resolved.learning_rate is not None
    assert resolved.batch_size is not None
    size = resolved.batch_size
    # Batches of one task were checked for this size, and may not be had larger.
    sizes = [size // 2, size] if resolved.batches == "one_task" else [size // 2, size, 2 * size]
    space: dict[str, Range | Choices] = {
        "learning_rate": Range(resolved.learning_rate / 5, resolved.learning_rate * 5, log=True),
        "temperature": Range(0.005, 0.3, log=True),
        "margin": Range(0.0, 0.1),
        "batch_size": Choices(tuple(one for one in sizes if 2 <= one <= pairs)),
    }
    fixed = {*given, *resolved.mask}
    if resolved.loss == "infonce":
        fixed.add("margin")
    if len(space["batch_size"].extremes()) < 2:
        fixed.add("batch_size")
    free = {name: axis for name, axis in space.items() if name not in fixed}
    if not free:
        raise UserError(
            f"search: {', '.join(space)} are all given, so that nothing is left to search; leave one out, or "
            "name what to search in a [search] table of the file for --config"
        )
    return free


def space_from_settings(settings: Mapping[str, Any], *, source: str) -> Space:
    """The axes that a ``[search]`` table names; their values are not checked yet.

    Args:
        settings: The table.
        source: The file that it stands in, for messages.

    Raises:
        UserError: If a setting can't be searched, or an axis is neither a range nor a list.
    """
    if not isinstance(settings, Mapping) or not settings:
        raise UserError(f"{source}: [search]: names no setting; leave it out for the usual ones")
    return {name: _axis(name, value, f"{source}: [search] {name}") for name, value in settings.items()}


def _axis(name: str, value: Any, place: str) -> Range | Choices:  # noqa: ANN401
    if name in _NOT_SEARCHED:
        raise UserError(f"{place}: can't be searched: {_NOT_SEARCHED[name]}")
    if isinstance(value, list):
        if len(value) < 2 or any(one in value[:i] for i, one in enumerate(value)):
            raise UserError(f"{place} = {value!r}: expected at least two different choices")
        return Choices(tuple(value))
    if not isinstance(value, Mapping) or not {"low", "high"} <= set(value) <= {"low", "high", "log"}:
        raise UserError(
            f"{place} = {value!r}: expected {{low = …, high = …}}, also with log = true, or a list of choices"
        )
    low, high, log = value["low"], value["high"], value.get("log", False)
    if not (_is_number(low) and _is_number(high) and low < high):
        raise UserError(f"{place}: expected numbers, low below high")
    if type(log) is not bool or (log and low <= 0):
        raise UserError(f"{place}: log is true or false, and true only for a low above 0")
    types = _types(name)
    if not types & {int, float}:
        raise UserError(f"{place}: takes no numbers; give a list of choices")
    if float not in types:
        return Range(low, high, log, whole=True)
    return Range(float(low), float(high), log)


def _types(name: str) -> set[Any]:
    """The types that a setting takes; none of ours for an unknown one, which the configuration refuses."""
    if name not in RunConfig.model_fields:
        return {float}
    annotation = RunConfig.model_fields[name].annotation
    return {annotation, *get_args(annotation)}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
