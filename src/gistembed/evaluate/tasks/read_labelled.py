"""Reads labelled texts, and parts them into texts to learn from and others to tell the class of."""

from pathlib import Path

import numpy as np
from jaxtyping import Int64

from gistembed.build.labelled import USAGE, labelled_rows, parse_label_columns
from gistembed.errors import UserError
from gistembed.evaluate.tasks.task import Classification, Clustering, Task
from gistembed.pairs import Texts, open_table
from gistembed.pairs.sources.lines import plain_suffix
from gistembed.pairs.wording import quoted

SPLIT_SEED = 42
_ENDINGS = {".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow", ".feather"}


def holds_splits(folder: Path) -> bool:
    """Whether a folder holds files ``train`` and ``test``, and is not one that `datasets` wrote."""
    return all(_split(folder, name) is not None for name in ("train", "test"))


def read_classification(source: str, name: str, columns: str | None) -> Task:
    """Read labelled texts to learn from and to be told apart: two files of a folder, or one file.

    Of one file, every other text of a class is to learn from, in an order that depends on a fixed seed alone.
    A text that is there twice counts once, so that none is on both sides.

    Args:
        source: The source.
        name: What the task is called.
        columns: Columns by role, from the user.

    Raises:
        UserError: If it can't be read; the message names the place.
    """
    texts = Texts()
    folder = Path(source)
    if not holds_splits(folder):
        found = _Labelled(source, columns, texts)
        learned = _every_other(found.labels)
        if learned.all():
            raise UserError(
                f"{found.source}: no class has two texts, one to learn from and one to tell the class of. "
                f"Say which column holds the classes with {USAGE}."
            )
        return _classification(name, texts, found, found, learned, ~learned)
    train, test = (_Labelled(str(_split(folder, split)), columns, texts) for split in ("train", "test"))
    new = ~np.isin(test.ids, train.ids)
    if not new.any():
        raise UserError(f"{test.source}: every text stands in {train.source} too. Give others to test on.")
    return _classification(name, texts, train, test, np.ones(len(train.ids), bool), new)


def read_clustering(source: str, name: str, columns: str | None) -> Task:
    """Read labelled texts whose classes clusters should find again; a text that is there twice counts once.

    Args:
        source: The source.
        name: What the task is called.
        columns: Columns by role, from the user.

    Raises:
        UserError: If it can't be read; the message names the place.
    """
    texts = Texts()
    found = _Labelled(source, columns, texts)
    numbers = {label: number for number, label in enumerate(sorted(set(found.labels)))}
    labels = np.array([numbers[label] for label in found.labels], np.int64)
    return Clustering(name, texts, tuple(numbers), found.ids, labels)


class _Labelled:
    """The distinct texts of a source, with the class of each at its first place."""

    def __init__(self, source: str, columns: str | None, texts: Texts) -> None:
        roles = None if columns is None else parse_label_columns(columns)
        read, column = labelled_rows(open_table(source), "", roles, texts)
        if len(read.classes) == 1:
            raise UserError(
                f"{read.source}: every row is of the class {quoted(read.classes[0])} in column "
                f"{quoted(column)}. Give rows of two classes or more."
            )
        first = np.sort(np.unique(read.ids, return_index=True)[1])
        self.source = read.source
        self.ids: Int64[np.ndarray, " texts"] = read.ids[first]
        self.labels = [read.classes[label] for label in read.labels[first].tolist()]


def _classification(
    name: str, texts: Texts, train: _Labelled, test: _Labelled, learned: np.ndarray, told: np.ndarray
) -> Classification:
    """The task of learning from some texts and telling the class of others; classes are sorted by name."""
    learned_labels, told_labels = (
        [label for label, chosen in zip(part.labels, which.tolist(), strict=True) if chosen]
        for part, which in ((train, learned), (test, told))
    )
    if unknown := set(told_labels) - set(learned_labels):
        raise UserError(
            f"{test.source}: there is no text to learn the class {quoted(min(unknown))} from. "
            f"Add one to {train.source}."
        )
    numbers = {label: number for number, label in enumerate(sorted(set(learned_labels)))}
    return Classification(
        name,
        texts,
        tuple(numbers),
        train.ids[learned],
        np.array([numbers[label] for label in learned_labels], np.int64),
        test.ids[told],
        np.array([numbers[label] for label in told_labels], np.int64),
    )


def _every_other(labels: list[str]) -> np.ndarray:
    """Of each class a half, rounded up, at random."""
    chosen = np.zeros(len(labels), bool)
    order = np.random.default_rng(SPLIT_SEED).permutation(len(labels))
    seen: dict[str, int] = {}
    for row in order.tolist():
        count = seen.get(labels[row], 0)
        chosen[row] = count % 2 == 0
        seen[labels[row]] = count + 1
    return chosen


def _split(folder: Path, name: str) -> Path | None:
    """The file of a split."""
    if not folder.is_dir() or (folder / "dataset_dict.json").exists():
        return None
    found = [
        path
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name.partition(".")[0] == name and plain_suffix(path) in _ENDINGS
    ]
    return found[0] if found else None
