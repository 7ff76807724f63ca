"""Pairs of several sources as one, each with the task that it belongs to."""

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath

import numpy as np

from gistembed.pairs.clean import clean
from gistembed.pairs.pairs import Origin, Pairs, offsets_of


def join_pairs(parts: Sequence[Pairs]) -> Pairs:
    """The pairs of several sources, one after another.

    Rows without a task of their own get one that is named like their source. What is there twice, or
    contradicts a pair of another source, is left out and counted.

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
    )
    return clean(joined)


def _tasks(parts: Sequence[Pairs]) -> tuple[np.ndarray, tuple[str, ...]]:
    """The task of each pair as a number, and their names."""
    numbers: dict[str, int] = {}
    tasks = []
    for part in parts:
        own = part.task_names or ("",)
        named = [name or PurePath(part.source).name.partition(".")[0] for name in own]
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
