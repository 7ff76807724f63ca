"""Writes rows as JSON Lines, whole or not at all."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gistembed.files import whole_file
from gistembed.pairs.rows import Row


def write_rows(rows: Iterable[Row], path: Path) -> int:
    """Write rows to a file, one JSON object on each line.

    Args:
        rows: The rows.
        path: The file.

    Returns:
        How many rows were written.

    Raises:
        OSError: If the disk refuses; nothing is left behind.
    """
    count = 0
    with whole_file(path) as file:
        for row in rows:
            record: dict[str, Any] = {
                "anchor": row.anchor.text,
                "positive": [passage.text for passage in row.positives],
                "negative": [passage.text for passage in row.negatives],
            }
            if row.task is not None:
                record["task"] = row.task
            file.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
            count += 1
    return count
