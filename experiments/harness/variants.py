"""Data sets that are made of another: other training pairs, the same dev and test queries."""

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from experiments.data.layout import write_labels
from experiments.harness.training import DataFolder
from gistembed.files import write_whole


def variant(
    data: DataFolder,
    folder: Path,
    rows: Iterable[Mapping[str, object]],
    labels: Mapping[str, Sequence[str]] | None = None,
) -> DataFolder:
    """Write other training pairs beside the dev and test queries of a data set.

    Args:
        data: The data set.
        folder: Where to; what is there is replaced.
        rows: The training pairs.
        labels: Labels by text; those of the data set by default.
    """
    made = DataFolder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("dev", "test"):
        shutil.copyfile(getattr(data, name), getattr(made, name))
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_whole(made.train, lines.encode())
    if labels is not None:
        write_labels(folder, labels)
    elif data.labels.exists():
        shutil.copyfile(data.labels, made.labels)
    return made
