"""What finished cells were made from: they are put side by side only if it is the same, and still there."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from gistembed.config import OF_GUIDES
from gistembed.console import Console
from gistembed.errors import UserError
from gistembed.journal import inputs_of
from gistembed.prepare.run import prepare_run
from gistembed.sweep.plan import Cell

_OF_PAIRS = ("data", "columns", "min_score", "max_score", "instructions", "same_text")
# Axes that may change an input; all others are no excuse.
_CHANGED_BY = {
    "pairs": _OF_PAIRS,
    "evaluation pairs": (*_OF_PAIRS, "eval", "holdout"),
    "retention pairs": ("retention",),
    "student": ("student",),
}
_GUIDES_CHANGED_BY = (*_OF_PAIRS, "loss", "mask", "guide", *OF_GUIDES)


def check_alike(cells: Sequence[Cell]) -> None:
    """Compare the inputs of finished cells with each other, as far as no axis changes them.

    Args:
        cells: The finished cells.

    Raises:
        UserError: If two of them differ, or what a cell wrote can't be read.
    """
    seen: dict[tuple[str, str], tuple[str, Cell]] = {}
    for cell in cells:
        for name, digest in _recorded(cell).items():
            before, first = seen.setdefault((name, _on_axes(cell, _changed_by(name))), (digest, cell))
            if before != digest:
                raise UserError(
                    f"{cell.config.out}: its cell was run with {_other(name)} than {first.name}, so that the "
                    "two can't be compared; remove the folder of the one that is not wanted, or choose "
                    "another --out"
                )


def check_still_there(cells: Sequence[Cell], out: Path) -> None:
    """Compare the inputs of finished cells with what their settings give now; nothing is written.

    Args:
        cells: The finished cells, alike as `check_alike` has it.
        out: The folder of the sweep.

    Raises:
        UserError: If data or models have changed, or can't be read.
    """
    for cell in _one_for_each(cells):
        recorded = _recorded(cell)
        for name, digest in inputs_of(prepare_run(cell.config, Console(quiet=True))).items():
            if recorded.get(name) != digest:
                raise UserError(
                    f"--resume: the sweep in {out} was begun with {_other(name)}; go on with the same, or "
                    "choose another --out"
                )


def _one_for_each(cells: Sequence[Cell]) -> Iterator[Cell]:
    """A cell for each combination of those axes that change any input."""
    every = {name for names in (*_CHANGED_BY.values(), _GUIDES_CHANGED_BY) for name in names}
    yield from {_on_axes(cell, every): cell for cell in reversed(cells)}.values()


def _recorded(cell: Cell) -> Mapping[str, str]:
    place = cell.config.out
    try:
        inputs = json.loads((place / "run.json").read_bytes())["inputs"]
        return {str(name): str(digest) for name, digest in inputs.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{place}: its results can't be read; remove this folder and go on with --resume"
        ) from error


def _changed_by(name: str) -> Sequence[str]:
    return _CHANGED_BY.get(name, _GUIDES_CHANGED_BY)


def _on_axes(cell: Cell, names: Sequence[str] | set[str]) -> str:
    """The cell's values on those axes that are, or are in, one of these settings."""
    return repr([(axis, value) for axis, value in cell.settings.items() if axis.split(".")[0] in names])


def _other(name: str) -> str:
    return f"other {name}" if name.endswith("pairs") else f"another {name}"
