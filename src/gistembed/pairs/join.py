"""Pairs of several sources as one, each with the task that it belongs to."""

from collections import Counter
from collections.abc import Sequence
from itertools import count
from pathlib import PurePath

import numpy as np

from gistembed.pairs.clean import clean
from gistembed.pairs.collections.corpus import COLUMNS
from gistembed.pairs.pairs import Origin, Pairs, offsets_of

_ENDINGS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow", ".feather", ".gz", ".zst")


def join_pairs(parts: Sequence[Pairs]) -> Pairs:
    """The pairs of several sources, one after another.

    Rows without a task of their own get one that is named like their source; see `source_names`. What is
    there twice, or contradicts a pair of another source, is left out and counted.

    Args:
        parts: The pairs; all over the same table of texts.
    """
    if len(parts) == 1:
        return parts[0]
    assert all(part.texts is parts[0].texts for part in parts), "joined pairs share their texts"
    tasks, names = _tasks(parts)
    dropped: Counter[str] = Counter()
    for part in parts:
        dropped.update(part.dropped)
    known = [part.also_known for part in parts if part.also_known is not None]
    joined = Pairs(
        texts=parts[0].texts,
        source=" + ".join(part.source for part in parts),
        columns=parts[0].columns,
        anchors=np.concatenate([part.anchors for part in parts]),
        positives=np.concatenate([part.positives for part in parts]),
        negative_offsets=offsets_of(np.concatenate([np.diff(part.negative_offsets) for part in parts])),
        negative_ids=np.concatenate([part.negative_ids for part in parts]),
        places=np.concatenate([part.places for part in parts]),
        place_word=parts[0].place_word,
        rows_read=sum(part.rows_read for part in parts),
        dropped=dict(dropped),
        task_names=names,
        tasks=tasks,
        weights=_filled([part.weights for part in parts], [len(part) for part in parts], np.float32(1)),
        trusted=_filled(
            [part.trusted for part in parts], [len(part.negative_ids) for part in parts], np.bool_(False)
        ),
        instructed=sum(part.instructed for part in parts),
        origins=tuple(Origin(part.source, part.place_word, part.columns) for part in parts),
        origin=np.repeat(np.arange(len(parts), dtype=np.int32), [len(part) for part in parts]),
        also_known=np.concatenate(known) if known else None,
    )
    return clean(joined)


def source_names(sources: Sequence[str]) -> list[str]:
    """A short name for each source, no two alike: the file's, with as many folders as tell it from others.

    Args:
        sources: The sources, as messages name them.
    """
    paths = [_without_endings(PurePath(source)).parts for source in sources]
    names = []
    for number, path in enumerate(paths):
        others = [other for place, other in enumerate(paths) if place != number]
        length = next((n for n in range(1, len(path) + 1) if all(path[-n:] != one[-n:] for one in others)), 0)
        names.append("/".join(path[-length:]) if length else "")
    # Sources that are called the same are told apart by their place, or the next number that is free.
    taken = set(names)
    for number, path in enumerate(paths, 1):
        if not names[number - 1]:
            numbered = (f"{'/'.join(path[-1:])} {free}" for free in count(number))
            names[number - 1] = next(name for name in numbered if name not in taken)
            taken.add(names[number - 1])
    return names


def _without_endings(path: PurePath) -> PurePath:
    """The path without the endings that tell a file's format."""
    while path.suffix.lower() in _ENDINGS:
        path = path.with_suffix("")
    return path


def _called(part: Pairs) -> str:
    """What a source is called: its file, or, of a folder of queries and documents, the folder."""
    path = PurePath(part.source)
    is_collection = {*part.columns.used, *part.columns.ignored} == set(COLUMNS)
    return str(path.parent) if is_collection and path.parent.name else part.source


def _tasks(parts: Sequence[Pairs]) -> tuple[np.ndarray, tuple[str, ...]]:
    """The task of each pair as a number, and their names."""
    numbers: dict[str, int] = {}
    tasks = []
    for part, of_source in zip(parts, source_names([_called(part) for part in parts]), strict=True):
        own = part.task_names or ("",)
        named = [name or of_source for name in own]
        new = np.array([numbers.setdefault(name, len(numbers)) for name in named], np.int32)
        tasks.append(new[np.zeros(len(part), np.int32) if part.tasks is None else part.tasks])
    return np.concatenate(tasks), tuple(numbers)


def _filled(
    arrays: Sequence[np.ndarray | None], lengths: Sequence[int], value: np.generic
) -> np.ndarray | None:
    """The arrays one after another, with a value where there is none; None if there is none at all."""
    if all(array is None for array in arrays):
        return None
    return np.concatenate(
        [
            np.full(length, value) if array is None else array
            for array, length in zip(arrays, lengths, strict=True)
        ]
    )
