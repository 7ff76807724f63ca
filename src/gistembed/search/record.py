"""What a search leaves behind: the record that ``search.json``, the table and ``best.toml`` are made from."""

import json
from typing import Any, Literal

from pydantic import Field

from gistembed.record import Record, RunRecord

TrialStatus = Literal["finished", "pruned", "failed"]


class TrialRecord(Record):
    """One training run of a search.

    Attributes:
        number: Its place in the search; 0 has the settings that a run without a search would have.
        settings: What it was trained with, by axis.
        status: ``finished``; ``pruned`` if it was stopped because it was clearly worse than others;
            ``failed`` if it could not be trained with these settings.
        score: Mean of the metric over the dev queries; None if it wasn't finished.
        curve: The same after each quarter of the steps but the last.
        error: Why it failed.
        seconds: What it took.
        scores: The metric of each dev query; empty if it wasn't finished.
    """

    number: int
    settings: dict[str, Any]
    status: TrialStatus
    score: float | None = None
    curve: list[float] = Field(default_factory=list)
    error: str | None = None
    seconds: float
    scores: list[float] = Field(default_factory=list)


class Gain(Record):
    """What the best trial gained over trial 0, and what of it is the luck of choosing the best.

    Attributes:
        seen: Difference of their scores on the queries that the best was chosen by.
        unseen: The same where the best is chosen by one half of the queries and scored on the other.
    """

    seen: float
    unseen: float


class SearchRecord(Record):
    """A whole search.

    Attributes:
        status: ``running``, ``interrupted`` or ``finished``.
        run: The run that trial 0 stands for, as `fit` would begin it.
        space: What was searched, by setting.
        metric: What the trials were scored by.
        train_pairs: Pairs that the trials were trained on.
        dev_pairs: Training pairs that they were scored on; they share no text with those.
        dev_queries: The distinct queries among them.
        best: Number of the best trial.
        gain: What it gained over trial 0; None if either is missing.
        trials: All trials that have ended, in order.
    """

    status: Literal["running", "interrupted", "finished"]
    run: RunRecord
    space: dict[str, Any]
    metric: str
    train_pairs: int
    dev_pairs: int
    dev_queries: int
    best: int | None = None
    gain: Gain | None = None
    trials: list[TrialRecord] = Field(default_factory=list)


def as_json(record: SearchRecord) -> str:
    """The record for people and programs: each trial, with its many scores, on a line of its own."""
    content = record.model_dump(mode="json", exclude={"trials"}) | {"trials": []}
    head = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False).removesuffix("[]\n}")
    trials = [
        json.dumps(trial.model_dump(mode="json"), ensure_ascii=False, allow_nan=False)
        for trial in record.trials
    ]
    return head + "[\n    " + ",\n    ".join(trials) + "\n  ]\n}\n"
