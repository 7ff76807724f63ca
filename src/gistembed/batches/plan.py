"""The order of training: a pure function from (seed, epoch) to batches of pairs."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from datasets import Dataset
from jaxtyping import Int64
from torch.utils.data import Sampler

from gistembed.batches.mixing import TaskMix


@dataclass(frozen=True, eq=False)
class BatchPlan:
    """Which pairs meet in which batch.

    Each epoch is a fresh shuffle, cut into full batches; the pairs that don't fill a last batch are left
    out of that epoch, different ones each time.

    Attributes:
        pairs: How many pairs there are.
        batch_size: Pairs that see each other.
        seed: Equal seeds give equal plans.
        mix: How pairs of several tasks meet; None where all are alike.

    Raises:
        ValueError: If there are fewer pairs than one batch holds, or a batch has fewer than two.
    """

    pairs: int
    batch_size: int
    seed: int
    mix: TaskMix | None = None

    def __post_init__(self) -> None:
        """Refuse sizes without a single batch of in-batch negatives."""
        if not 2 <= self.batch_size <= self.pairs:
            raise ValueError(
                f"batch size {self.batch_size}: expected 2 … {self.pairs}, the number of training pairs"
            )
        if not self.steps_per_epoch:
            raise ValueError(f"batch size {self.batch_size}: more than an epoch has of any task")

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""
        return self.pairs // self.batch_size if self.mix is None else self.mix.steps(self.batch_size)

    def epoch(self, epoch: int) -> Int64[np.ndarray, "steps batch"]:
        """Pair numbers of all batches of one epoch, from 0."""
        if self.mix is not None:
            return self.mix.epoch(self.batch_size, self.seed, epoch)
        order = np.random.default_rng([self.seed, epoch]).permutation(self.pairs)
        steps = self.steps_per_epoch
        return order[: steps * self.batch_size].reshape(steps, self.batch_size)


class PlanSampler(Sampler[list[int]]):
    """A plan as the batch sampler of a data loader; the trainer tells it the epoch."""

    def __init__(self, plan: BatchPlan) -> None:
        """Start at epoch 0.

        Args:
            plan: The plan to follow.
        """
        self.plan = plan
        self.batch_size = plan.batch_size
        self.drop_last = True
        self._epoch = 0
        self._start = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration gives."""
        self._epoch = epoch

    def start_at(self, batch: int) -> None:
        """Choose the batch that iterations begin with; those before it are not even looked at."""
        self._start = batch

    def __len__(self) -> int:
        """Batches in an epoch."""
        return self.plan.steps_per_epoch

    def __iter__(self) -> Iterator[list[int]]:
        """The batches of the chosen epoch, from the chosen one on."""
        for batch in self.plan.epoch(self._epoch)[self._start :]:
            yield batch.tolist()


class RowNumbers(Dataset):  # type: ignore[misc]  # datasets has no types
    """The data set that a trainer shuffles and fetches from: each row is its own number, under ``row``."""

    @classmethod
    def up_to(cls, count: int) -> "RowNumbers":
        """The rows 0 … count - 1."""
        rows: RowNumbers = cls.from_dict({"row": np.arange(count)})
        return rows

    def __getitems__(self, keys: list[int]) -> list[int]:
        """The numbers of several rows: what a collator gets.

        Looking them up in a table would take longer than all else that a loader does.
        """
        return keys
