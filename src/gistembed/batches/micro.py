"""The distinct texts of a batch in micro-batches of like length, and which process encodes which of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64, Integer

from gistembed.batches.lengths import packed_runs, thrifty_runs
from gistembed.terms import Role

# Micro-batches that each process gets at least, where there are texts for them: fewer can't be shared evenly.
_LEAST_OF_EACH = 2


@dataclass(frozen=True, eq=False)
class MicroBatch:
    """Texts that go through the encoder at once.

    Attributes:
        role: The role that they are read in.
        texts: Their ids, ascending in length.
        tokens: What they take, padding included.
    """

    role: Role
    texts: Int64[np.ndarray, " texts"]
    tokens: int


def micro_batches(
    texts: Mapping[Role, Int64[np.ndarray, " _"]],
    lengths: Integer[np.ndarray, " all"],
    budget: int,
    ranks: int,
    overhead: int,
    *,
    packed: bool = False,
) -> list[MicroBatch]:
    """Cut the texts of a batch; how is a function of the texts and the number of processes.

    Args:
        texts: Distinct texts by role.
        lengths: Tokens of every text, by id.
        budget: The most tokens, padding included, of one micro-batch.
        ranks: How many processes share them.
        overhead: What a micro-batch costs beside its texts, in tokens.
        packed: Whether its texts stand one after the other, without padding.
    """
    if ranks > 1:
        total = sum(int(lengths[ids].sum()) for ids in texts.values())
        budget = min(budget, max(1, total // (_LEAST_OF_EACH * ranks)))
    cut = []
    for role, ids in texts.items():
        order = np.argsort(lengths[ids], kind="stable")
        ids, its_lengths = ids[order], lengths[ids[order]]
        runs = packed_runs(its_lengths, budget) if packed else thrifty_runs(its_lengths, budget, overhead)
        for run in runs:
            padded = int(its_lengths[run.stop - 1]) * (run.stop - run.start)
            cut.append(MicroBatch(role, ids[run], int(its_lengths[run].sum()) if packed else padded))
    return cut


def shared_out(costs: Sequence[int], ranks: int) -> list[list[int]]:
    """Which process takes which: the dearest first, each to the one with the least so far.

    Args:
        costs: What each takes.
        ranks: How many processes there are.

    Returns:
        For each process the numbers that it takes, ascending.
    """
    shares: list[list[int]] = [[] for _ in range(ranks)]
    loads = [0] * ranks
    for number in sorted(range(len(costs)), key=lambda number: -costs[number]):
        least = loads.index(min(loads))
        shares[least].append(number)
        # One more micro-batch is never free, whatever its texts take.
        loads[least] += costs[number] + 1
    return [sorted(share) for share in shares]
