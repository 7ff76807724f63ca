"""Writes what was measured, with what it was measured on."""

import csv
import platform
from collections.abc import Sequence
from pathlib import Path

from gistembed.describe import machine, versions


def write_table(path: Path, rows: Sequence[dict[str, object]]) -> None:
    """Write rows as CSV under a comment that names the machine and the versions.

    Args:
        path: The file.
        rows: Values by column; a column that a row lacks is empty there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        about = {"machine": machine() | {"node": platform.processor()}, "versions": versions()}
        file.write(f"# {about}\n")
        writer = csv.DictWriter(file, list(dict.fromkeys(column for row in rows for column in row)))
        writer.writeheader()
        writer.writerows(rows)
