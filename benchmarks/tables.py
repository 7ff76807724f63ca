"""Writes what was measured, with what it was measured on."""

import csv
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

from gistembed.describe import machine, versions


def write_table(
    path: Path, rows: Sequence[dict[str, object]], setting: Mapping[str, object] | None = None
) -> None:
    """Write rows as CSV under a comment that names the machine, the versions and what was set.

    Args:
        path: The file.
        rows: Values by column; a column that a row lacks is empty there.
        setting: What else decides the figures, by name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        about = {"machine": machine() | {"node": platform.processor()}, "versions": versions()} | dict(
            setting or {}
        )
        file.write(f"# {about}\n")
        writer = csv.DictWriter(file, list(dict.fromkeys(column for row in rows for column in row)))
        writer.writeheader()
        writer.writerows(rows)
