"""How many pairs of each task an epoch has, and in which order: a pure function of (seed, epoch)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from gistembed.terms import Mixing


@dataclass(frozen=True, eq=False)
class TaskMix:
    """How pairs of several tasks meet.

    Attributes:
        rows: The pairs of each task, by number of the task.
        mixing: ``proportional``: each pair once. ``round_robin``: as many of each task as the smallest has,
            in turn. ``temperature``: as many in all as there are pairs, of a task with n pairs in proportion
            to n^(1/temperature); small tasks come more than once, large ones in part.
        temperature: 1 mixes in proportion, a large one evenly.
        one_task: Whether all pairs of a batch are of one task.
    """

    rows: tuple[Int64[np.ndarray, " _"], ...]
    mixing: Mixing = "proportional"
    temperature: float = 2.0
    one_task: bool = False

    def __post_init__(self) -> None:
        """Refuse a temperature that sharpens, and tasks without pairs."""
        if self.temperature < 1:
            raise ValueError(f"mixing temperature {self.temperature:g}: expected 1 or more")
        assert all(len(rows) for rows in self.rows), "each task has pairs"

    def quotas(self) -> Int64[np.ndarray, " tasks"]:
        """How many pairs of each task an epoch has, before batches are cut."""
        sizes = np.array([len(rows) for rows in self.rows])
        if self.mixing == "proportional":
            return sizes
        if self.mixing == "round_robin":
            return np.full(len(sizes), sizes.min())
        shares = sizes ** (1 / self.temperature)
        exact = sizes.sum() * shares / shares.sum()
        quotas = np.floor(exact).astype(np.int64)
        # The largest remainders get what rounding down left over.
        quotas[np.argsort(quotas - exact, kind="stable")[: sizes.sum() - quotas.sum()]] += 1
        atleast_one: Int64[np.ndarray, " tasks"] = np.maximum(quotas, 1)
        return atleast_one

    def steps(self, batch_size: int) -> int:
        """Full batches of an epoch."""
        quotas = self.quotas()
        return int((quotas // batch_size).sum() if self.one_task else quotas.sum() // batch_size)

    def epoch(self, batch_size: int, seed: int, epoch: int) -> Int64[np.ndarray, "steps batch"]:
        """Pair numbers of all batches of one epoch.

        Args:
            batch_size: Pairs of a batch.
            seed: Equal seeds give equal batches.
            epoch: The epoch, from 0.
        """
        drawn = [
            _drawn(rows, quota, np.random.default_rng([seed, epoch, task]))
            for task, (rows, quota) in enumerate(zip(self.rows, self.quotas().tolist(), strict=True))
        ]
        order = np.random.default_rng([seed, epoch, len(drawn)])
        if self.one_task:
            batches = [rows[: len(rows) // batch_size * batch_size].reshape(-1, batch_size) for rows in drawn]
            if self.mixing == "round_robin":
                return np.stack(batches, axis=1).reshape(-1, batch_size)
            shuffled: Int64[np.ndarray, "steps batch"] = order.permutation(np.concatenate(batches))
            return shuffled
        if self.mixing == "round_robin":
            every = np.stack(drawn, axis=1).ravel()
        else:
            every = order.permutation(np.concatenate(drawn))
        steps = len(every) // batch_size
        return every[: steps * batch_size].reshape(steps, batch_size)


def _drawn(
    rows: Int64[np.ndarray, " rows"], quota: int, random: np.random.Generator
) -> Int64[np.ndarray, " quota"]:
    """As many rows as the quota: each once before any a second time."""
    passes = -(-quota // len(rows))
    return np.concatenate([random.permutation(rows) for _ in range(passes)])[:quota]
