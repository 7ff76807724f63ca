"""The pairs of a run: read from one source or several, split, and mixed."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gistembed.batches import TaskMix
from gistembed.config import RunConfig
from gistembed.console import Console
from gistembed.errors import UserError
from gistembed.pairs import (
    Grades,
    Pairs,
    Texts,
    hold_out,
    join_pairs,
    normalised,
    read_pairs,
    same_texts,
    without_texts,
)
from gistembed.pairs.read import Instructions
from gistembed.pairs.wording import counted
from gistembed.record import SplitRecord


@dataclass(frozen=True)
class ReadSettings:
    """How every source of a run is read; see `read_pairs`.

    Attributes:
        columns: Columns by role, if their names don't tell.
        grades: Which rows of pairs with scores or labels are positives.
        instructions: What becomes of instructions beside the texts.
    """

    columns: Mapping[str, Sequence[str]] | None = None
    grades: Grades | None = None
    instructions: Instructions = "ignore"

    @classmethod
    def of(cls, config: RunConfig) -> "ReadSettings":
        """Those of a configuration."""
        grades = None if config.min_score is None else Grades(config.min_score, config.max_score)
        return cls(config.columns, grades, config.instructions)

    def read(self, source: Any, texts: Texts) -> Pairs:  # noqa: ANN401
        """The pairs of one source.

        Args:
            source: See `read_pairs`.
            texts: The table to number the texts in.

        Raises:
            UserError: If anything in the source isn't as it should be.
        """
        return read_pairs(
            source, columns=self.columns, texts=texts, grades=self.grades, instructions=self.instructions
        )


def read_data(data: object, settings: ReadSettings, console: Console) -> Pairs:
    """All pairs of one source or several, over one table of texts.

    Args:
        data: The source, or several.
        settings: How they are read.
        console: Where it is said what was read.

    Raises:
        UserError: If anything in a source isn't as it should be.
    """
    texts = Texts()
    parts = []
    for source in sources(data):
        if isinstance(source, str | os.PathLike):
            console.say(f"reading {os.fspath(source)}")
        parts.append(settings.read(source, texts))
        console.say(_columns_line(parts[-1]))
    return join_pairs(parts)


def read_beside(config: RunConfig, data: object, pairs: Pairs) -> Pairs:
    """Further pairs over the table of those that were read, as the configuration says.

    Args:
        config: The configuration.
        data: One source, or several.
        pairs: The pairs that were read.

    Raises:
        UserError: If anything in a source isn't as it should be.
    """
    settings = ReadSettings.of(config)
    return join_pairs([settings.read(source, pairs.texts) for source in sources(data)])


def sources(data: object) -> list[Any]:
    """One source of pairs, or several, as a list."""
    return list(data) if isinstance(data, list | tuple) else [data]


def split_pairs(config: RunConfig, pairs: Pairs) -> tuple[Pairs, Pairs, Pairs, Pairs | None, SplitRecord]:
    """All pairs, training pairs, held-out pairs, the user's own evaluation pairs, and how it was done.

    Raises:
        UserError: If too few pairs are left on a side, or evaluation pairs can't be read.
    """
    given = None
    if config.eval is not None:
        given = read_beside(config, config.eval, pairs)
    if config.same_text == "normalised":
        same = same_texts(pairs.texts)
        pairs = normalised(pairs, same)
        given = given and normalised(given, same)
    if given is None:
        split = hold_out(pairs, share=config.holdout, seed=config.seed_of_split)
        record = SplitRecord(
            method=split.method,
            train_pairs=len(split.train),
            held_out_pairs=len(split.held_out),
            dropped_pairs=len(split.dropped),
            components=split.components,
            largest_component=split.largest,
        )
        return pairs, pairs.take(split.train), pairs.take(split.held_out), None, record
    kept = without_texts(pairs, given.text_ids())
    if not len(kept):
        raise UserError(
            f"{pairs.source}: no pair is left to train on, because each shares a text with {given.source}"
        )
    record = SplitRecord(
        method="given",
        train_pairs=len(kept),
        held_out_pairs=len(given),
        dropped_pairs=len(pairs) - len(kept),
        components=0,
        largest_component=0,
    )
    return pairs, pairs.take(kept), given, given, record


def task_mix(config: RunConfig, train: Pairs, batch_size: int) -> TaskMix | None:
    """How the tasks of the training pairs meet; None where there is one, or where it makes no difference.

    Raises:
        UserError: If a task has fewer pairs than a batch of its own.
    """
    one_task = config.batches == "one_task"
    if train.tasks is None or (config.mixing == "proportional" and not one_task):
        return None
    rows = [np.flatnonzero(train.tasks == task) for task in range(len(train.task_names))]
    names = [name for name, own in zip(train.task_names, rows, strict=True) if len(own)]
    mix = TaskMix(tuple(own for own in rows if len(own)), config.mixing, config.mixing_temperature, one_task)
    smallest = int(mix.quotas().argmin())
    if one_task and (fewest := int(mix.quotas()[smallest])) < batch_size:
        raise UserError(
            f"--batch-size {batch_size}: an epoch has {counted(fewest, 'pair')} of task {names[smallest]}, "
            'too few for a batch of their own; choose a smaller size, or set batches to "mixed"'
        )
    return mix


def _columns_line(pairs: Pairs) -> str:
    columns = pairs.columns
    roles: dict[str, tuple[str, ...]] = {
        "anchor": (columns.anchor,),
        "positive": columns.positive,
        "negative": columns.negatives,
        **columns.more,
    }
    used = ", ".join(f"{role} = {' + '.join(names)}" for role, names in roles.items() if names)
    ignored = f"; not used: {', '.join(columns.ignored)}" if columns.ignored else ""
    sizes = f"{counted(len(pairs), 'pair')} from {counted(pairs.rows_read, 'row')}"
    return f"{pairs.source}: {sizes}; columns: {used}{ignored}"
