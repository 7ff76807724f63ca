"""Scores of two kinds: those that may choose between settings, and those that may only be reported.

They are different types, and `best_by_dev` takes one of them, so that a choice by test scores is an error of
types before it is an error of method.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from jaxtyping import Float64, Int64

Choice = TypeVar("Choice")


@dataclass(frozen=True, eq=False)
class DevScores:
    """One model's score of each dev query; what may be chosen by.

    Attributes:
        by_query: The scores.
    """

    by_query: Float64[np.ndarray, " queries"]


@dataclass(frozen=True, eq=False)
class TestScores:
    """One model's score of each test query; what is reported, and never chosen by.

    Attributes:
        by_query: The scores.
        groups: The group of each query, from 0: queries that share answers are alike. None where each is
            by itself.
    """

    __test__ = False  # pytest: this is no test

    by_query: Float64[np.ndarray, " queries"]
    groups: Int64[np.ndarray, " queries"] | None = None


def best_by_dev(candidates: Mapping[Choice, Sequence[DevScores]]) -> Choice:
    """The choice with the highest mean over dev queries and seeds; of equal ones the first.

    Args:
        candidates: Scores of each choice, one for each seed.

    Raises:
        TypeError: If any of them are not dev scores.
    """
    for scores in candidates.values():
        if not all(isinstance(one, DevScores) for one in scores):
            raise TypeError("only dev scores may choose between settings")
    means = {
        choice: float(np.mean([one.by_query.mean() for one in scores]))
        for choice, scores in candidates.items()
    }
    return max(means, key=lambda choice: means[choice])
