"""What a sweep runs: a file with a base, a grid and seeds, as one checked configuration for each cell."""

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from gistembed.config import RunConfig, read_toml, run_config
from gistembed.errors import UserError

_PARTS = ("base", "grid", "seeds")
_NOT_VARIED = {
    "seed": "list the seeds under `seeds`, outside of [grid]",
    "split_seed": "cells that are scored on other pairs can't be compared; set it in the base",
    "out": "each cell has a folder of its own in --out",
    "store": "all cells share one; set it in the base",
}
# What the base holds, a cell decides on.
_OF_CELLS = ("seed", "out")
_LONGEST_NAME, _DIGEST = 100, 8


@dataclass(frozen=True)
class Axis:
    """One setting that varies.

    Attributes:
        name: The setting, with dots where it stands in a table: ``mask.max_masked``.
        values: Its values, all different.
    """

    name: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Cell:
    """One run of a sweep.

    Attributes:
        settings: Its value on each axis.
        seed: Its seed.
        config: The configuration of the run.
    """

    settings: Mapping[str, Any]
    seed: int
    config: RunConfig

    @property
    def name(self) -> str:
        """What its folder is called."""
        return self.config.out.name


@dataclass(frozen=True)
class SweepPlan:
    """A whole sweep, every configuration checked.

    Attributes:
        source: The file.
        out: The folder that all cells write to, each in a folder of its own.
        base: The settings that all cells share.
        axes: What varies.
        seeds: Each combination of values is run with each of these.
        cells: All runs: the last axis varies fastest, seeds faster than all of them.
    """

    source: str
    out: Path
    base: Mapping[str, Any]
    axes: tuple[Axis, ...]
    seeds: tuple[int, ...]
    cells: tuple[Cell, ...]


def read_plan(source: Path, out: Path) -> SweepPlan:
    """Read a sweep's file; nothing is written.

    Args:
        source: The file.
        out: The folder that the sweep writes to.

    Raises:
        UserError: If it isn't a sweep, or a cell of it is no run.
    """
    content = read_toml(source)
    for name in content:
        if name not in _PARTS:
            raise UserError(
                f"{source}: unknown part `{name}`; a sweep has [base], [grid] and seeds, and settings of the "
                "runs stand in [base]"
            )
    base, place = _base(content.get("base"), str(source))
    axes = tuple(_axes(content.get("grid", {}), str(source)))
    split_seed = base.get("split_seed", base.get("seed", RunConfig.model_fields["seed"].default))
    seeds = _seeds(content.get("seeds", [base.get("seed", split_seed)]), str(source))
    if not axes and len(seeds) < 2:
        raise UserError(f"{source}: nothing varies; give lists of values in [grid], or several seeds")
    # Written down even if it is the default: a sweep that goes on with another one would be scored on others.
    base = {"split_seed": split_seed} | {name: value for name, value in base.items() if name not in _OF_CELLS}
    cells = []
    for values in itertools.product(*(axis.values for axis in axes)):
        settings = {axis.name: value for axis, value in zip(axes, values, strict=True)}
        for seed in seeds:
            run: dict[str, Any] = base
            for name, value in settings.items():
                run = _with(run, name.split("."), value, place=f"{source}: [grid] {name}")
            run |= {"seed": seed, "out": out / "cells" / _cell_name(settings, seed)}
            cells.append(Cell(settings, seed, run_config(run, source=place)))
    _check_effect(cells, axes, str(source))
    return SweepPlan(str(source), out, base, axes, seeds, tuple(cells))


def _base(given: object, source: str) -> tuple[dict[str, Any], str]:
    """The settings that all cells share, and what to call the place where they stand."""
    if isinstance(given, str):
        return read_toml(Path(given)), f"{source} with {given}"
    if isinstance(given, Mapping):
        return dict(given), source
    if given is None:
        raise UserError(
            f"{source}: `base` is missing; give what all cells share as a [base] table, or the name of a "
            "file for `gistembed fit --config`"
        )
    raise UserError(f"{source}: base = {given!r}: expected a table, or the name of a file")


def _axes(grid: object, source: str, within: str = "") -> Iterator[Axis]:
    """The axes of a grid; a table in it is one of settings."""
    if not isinstance(grid, Mapping):
        raise UserError(f"{source}: grid = {grid!r}: expected a table of lists")
    for key, value in grid.items():
        name = within + key
        place = f"{source}: [grid] {name}"
        if name in _NOT_VARIED:
            raise UserError(f"{place}: can't vary: {_NOT_VARIED[name]}")
        if isinstance(value, Mapping) and value:
            yield from _axes(value, source, f"{name}.")
            continue
        if not isinstance(value, list) or not value:
            raise UserError(f"{place} = {value!r}: expected a list with at least one value")
        if (again := _first_repeated(value)) is not None:
            raise UserError(f"{place}: names {again!r} twice")
        yield Axis(name, tuple(value))


def _seeds(given: object, source: str) -> tuple[int, ...]:
    if not isinstance(given, list) or not given or any(type(seed) is not int for seed in given):
        raise UserError(f"{source}: seeds = {given!r}: expected a list of whole numbers")
    if (again := _first_repeated(given)) is not None:
        raise UserError(f"{source}: seeds: names {again} twice")
    return tuple(given)


def _first_repeated(values: Sequence[Any]) -> Any:  # noqa: ANN401 — any value of a setting
    # Compared as text too: 1, 1.0 and true are equal, and are not the same setting.
    return next((one for i, one in enumerate(values) if repr(one) in map(repr, values[:i])), None)


def _with(settings: Mapping[str, Any], path: Sequence[str], value: object, *, place: str) -> dict[str, Any]:
    """The settings with another value at the end of a path of tables."""
    name, *further = path
    if not further:
        return {**settings, name: value}
    table = settings.get(name, {})
    if not isinstance(table, Mapping):
        raise UserError(f"{place}: `{name}` = {table!r} in the base is no table")
    return {**settings, name: _with(table, further, value, place=place)}


def _check_effect(cells: Sequence[Cell], axes: Sequence[Axis], source: str) -> None:
    """An axis that is ignored in every cell is a mistake."""
    names = {axis.name.split(".")[0] for axis in axes}
    for line in set.intersection(*(set(cell.config.ignored()) for cell in cells)):
        if line.split()[0] in names:
            raise UserError(f"{source}: [grid] {line}; leave it out")


def _cell_name(settings: Mapping[str, Any], seed: int) -> str:
    """Values as far as a folder can be called so, and a digest where that is not all."""
    whole = ",".join(f"{name}={_as_text(value)}" for name, value in [*settings.items(), ("seed", seed)])
    name = ",".join(f"{name}={_last_part(value)}" for name, value in [*settings.items(), ("seed", seed)])
    name = re.sub(r"[^\w.=,+-]+", "_", name, flags=re.ASCII)
    if name == whole and len(name) <= _LONGEST_NAME:
        return name
    return f"{name[:_LONGEST_NAME]}-{xxhash.xxh3_128_hexdigest(whole.encode())[:_DIGEST]}"


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _last_part(value: object) -> str:
    """Of a path, what tells it from others at a glance."""
    return _as_text(value).rstrip("/").rpartition("/")[2] if isinstance(value, str) else _as_text(value)
