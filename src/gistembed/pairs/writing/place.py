"""Refuses a place for rows before any work is done for them."""

import os
from pathlib import Path

from gistembed.errors import UserError
from gistembed.files import can_be_written
from gistembed.pairs.writing.formats import layout_of


def check_out(path: Path, format: str = "pairs", *, option: str = "") -> None:
    """Refuse a place that rows can't be written to; nothing is written.

    Args:
        path: Where they are to go; see `write_rows`.
        format: One of `FORMATS`.
        option: The option that the place was given with, as messages begin; none for an argument.

    Raises:
        UserError: If the ending doesn't fit the format, something is there already, or the folder isn't there
            or can't be written.
    """
    name = f"{option} {path}".strip()
    layout_of(path, format, name=name)
    check_new(path, option=option)


def check_new(path: Path, *, option: str = "") -> None:
    """Refuse a place where something is already, or nothing can be; nothing is written.

    Args:
        path: The file or folder that is to be made.
        option: The option that it was given with, as messages begin; none for an argument.

    Raises:
        UserError: If something is there already, or the folder isn't there or can't be written.
    """
    name = f"{option} {path}".strip()
    if os.path.lexists(path):
        raise UserError(f"{name}: is there already; choose another name, or remove it")
    if not path.parent.is_dir():
        raise UserError(f"{name}: there is no folder {path.parent}; make it first")
    if not can_be_written(path.parent):
        raise UserError(f"{name}: the folder can't be written; choose another")
