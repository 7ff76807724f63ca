"""What a co-training leaves behind: the record that `cotrain.json` holds, and what follows from it."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from gistembed.cotraining.config import ModelKey, Variant
from gistembed.folder import write_record
from gistembed.record import GuideRecord, Interval, ProgressRecord, Record, RunRecord, TrainingRecord

COTRAIN_VERSION = 1

# Scores closer than this are equal: they differ in the last bits of a float.
_TIE = 1e-9


class ModelRound(Record):
    """One model after one round.

    Attributes:
        round: Number of the round; 0 is the model before the first.
        model: Which model.
        identity: xxh3-128 over its files.
        dev: Its score on the dev pairs.
        guide: What guided it in this round; None before the first.
        training: How it was trained in this round; None before the first.
    """

    round: int
    model: ModelKey
    identity: str
    dev: Interval
    guide: GuideRecord | None = None
    training: TrainingRecord | None = None


class CoTrainRecord(ProgressRecord):
    """A co-training.

    Attributes:
        version: Version of this record's layout.
        variant: Who guides; see `gistembed.cotraining.CoTrainConfig`.
        rounds: The most rounds.
        decay: Share of the moving average that stays in a round.
        dev: Share of the training pairs that the best round is chosen by, or where these pairs come from.
        dev_digest: A digest of them.
        dev_pairs: How many pairs these are.
        dev_queries: How many queries.
        metric: What it is chosen by.
        history: Each model after each round, in order.
        ended: Why there were no more rounds: ``no gain`` of any model on dev, or ``all rounds`` are done;
            empty while they go on.
        best: Each model's best round on dev; 0 if none was better than the model before.
        runs: Each model's run: configuration, data, scores on the held-out pairs before and after, verdict.
    """

    version: int = COTRAIN_VERSION
    variant: Variant
    rounds: int
    decay: float
    dev: float | str
    dev_digest: str
    dev_pairs: int
    dev_queries: int
    metric: str
    history: tuple[ModelRound, ...] = ()
    ended: Literal["", "no gain", "all rounds"] = ""
    best: dict[ModelKey, int] = Field(default_factory=dict)
    runs: dict[ModelKey, RunRecord]

    def at(self, number: int, key: ModelKey) -> ModelRound | None:
        """A model after a round; None if that is not done."""
        return next((one for one in self.history if (one.round, one.model) == (number, key)), None)

    def of(self, key: ModelKey) -> list[ModelRound]:
        """A model after each of its rounds so far."""
        return [one for one in self.history if one.model == key]


def gained(record: CoTrainRecord, number: int, key: ModelKey) -> bool:
    """Whether a model scored better on dev after this round than after any before.

    Args:
        record: The record; the model has done the round.
        number: The round.
        key: The model.
    """
    scores = [one.dev.mean for one in record.of(key)[: number + 1]]
    return scores[-1] > max(scores[:-1]) + _TIE


def best_round(record: CoTrainRecord, key: ModelKey) -> int:
    """The round after which a model scored best on dev, the earliest of several."""
    return max((number for number in range(1, len(record.of(key))) if gained(record, number, key)), default=0)


class CoTrainJournal:
    """Adds to the record of a co-training; what is added is on disk when `add` returns.

    Attributes:
        record: The record so far.
    """

    def __init__(self, place: Path, record: CoTrainRecord) -> None:
        """Write the first record.

        Args:
            place: Where it stands.
            record: What is known before the first round.
        """
        self.record = record
        self._place = place
        self.add()

    def add(self, **changes: object) -> None:
        """Change fields of the record and write it."""
        self.record = self.record.model_copy(update=changes)
        write_record(self._place, self.record)

    def add_round(self, done: ModelRound) -> None:
        """Add a model after a round."""
        self.add(history=(*self.record.history, done))
