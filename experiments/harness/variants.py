"""Data sets that are made of another: other training pairs, the same dev and test queries."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import xxhash

from experiments.data.layout import labels_of
from experiments.harness.training import DataFolder
from gistembed.files import whole_folder


def variant(
    data: DataFolder,
    place: Path,
    rows: Iterable[Mapping[str, object]],
    labels: Mapping[str, Sequence[str]] | None = None,
) -> DataFolder:
    """Write other training pairs beside the dev and test queries of a data set, if that isn't there yet.

    Args:
        data: The data set.
        place: The folder, before a digest of its content.
        rows: The training pairs.
        labels: Labels by text; those of the data set by default.
    """
    files = {
        "train.jsonl": lines_of(rows),
        "dev.jsonl": data.dev.read_bytes(),
        "test.jsonl": data.test.read_bytes(),
    }
    if labels is not None:
        files["labels.json"] = labels_of(labels)
    elif data.labels.exists():
        files["labels.json"] = data.labels.read_bytes()
    digest = xxhash.xxh3_128()
    for name, content in files.items():
        digest.update(f"{name} {len(content)} ".encode() + content)
    made = place.with_name(f"{place.name}-{digest.hexdigest()}")
    if not made.exists():
        made.parent.mkdir(parents=True, exist_ok=True)
        with whole_folder(made) as folder:
            for name, content in files.items():
                (folder / name).write_bytes(content)
    return DataFolder(made)


def lines_of(rows: Iterable[Mapping[str, object]]) -> bytes:
    """Rows as the content of a JSONL file."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
