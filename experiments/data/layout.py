"""Writes a data set as experiments read it: three parts that share no text, and the labels of its texts."""

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from demo.prepare import eval_rows, train_rows, write_jsonl

Parts = tuple[list[str], list[str], list[str]]
"""Texts to train on, to choose by, and to report."""


def split_in_three(texts: Sequence[str], dev: int, test: int, rng: random.Random) -> Parts:
    """Part the texts of one class at random.

    Args:
        texts: Distinct texts.
        dev: How many to choose by.
        test: How many to report.
        rng: Draws.
    """
    drawn = rng.sample(list(texts), len(texts))
    return drawn[dev + test :], drawn[:dev], drawn[dev : dev + test]


def write_classes(folder: Path, classes: Mapping[str, Parts], rng: random.Random) -> None:
    """Write pairs of texts that share a class, and queries whose answers are all others of their class.

    Args:
        folder: Where to; it must not exist yet.
        classes: The three parts of each class.
        rng: Draws the order of the pairs.
    """
    folder.mkdir(parents=True)
    train, dev, test = ([parts[i] for parts in classes.values()] for i in range(3))
    write_jsonl(folder / "train.jsonl", train_rows(train, rng))
    write_jsonl(folder / "dev.jsonl", eval_rows(dev))
    write_jsonl(folder / "test.jsonl", eval_rows(test))


def write_labels(folder: Path, labels: Mapping[str, Iterable[str]]) -> None:
    """Write what each training text is about.

    Args:
        folder: The data set's.
        labels: Labels by text.
    """
    (folder / "labels.json").write_bytes(labels_of(labels))


def labels_of(labels: Mapping[str, Iterable[str]]) -> bytes:
    """Labels by text as the content of a file."""
    return json.dumps({one: sorted(names) for one, names in labels.items()}, ensure_ascii=False).encode()
