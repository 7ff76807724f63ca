"""Refuses a place for the result before any work is done for it."""

import os
from pathlib import Path

from gistembed.errors import UserError


def check_target(out: Path) -> None:
    """Refuse a file that can't be written, or that is there already.

    Args:
        out: The file.

    Raises:
        UserError: If it isn't named as JSON Lines, is there already, or has no folder.
    """
    if out.suffix.lower() != ".jsonl":
        raise UserError(f"--out {out}: rows are written as JSON Lines; give a name that ends with .jsonl")
    if os.path.lexists(out):
        raise UserError(f"--out {out}: there already; choose another name or remove it")
    if not out.parent.is_dir():
        raise UserError(f"--out {out}: there is no folder {out.parent}; make it first")
