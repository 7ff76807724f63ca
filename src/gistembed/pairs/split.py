"""Holds pairs out for evaluation so that no text stands on both sides."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int64
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from gistembed.errors import UserError
from gistembed.pairs.pairs import Pairs
from gistembed.pairs.wording import counted

FEWEST_PAIRS = 2
LARGEST_OVERSHOOT = 2


@dataclass(frozen=True, eq=False)
class Split:
    """Which pairs are trained on and which are held out.

    Attributes:
        train: Pairs to train on, sorted.
        held_out: Pairs to evaluate on, sorted; they share no text with those of ``train``.
        dropped: Pairs in neither, sorted.
        method: ``components`` if whole groups of pairs that share texts were held out, ``cut`` if pairs that
            tie the two sides together were dropped.
        components: How many groups of pairs there are that share no text with each other.
        largest: Pairs in the largest group.
    """

    train: Int64[np.ndarray, " train"]
    held_out: Int64[np.ndarray, " held_out"]
    dropped: Int64[np.ndarray, " dropped"]
    method: Literal["components", "cut"]
    components: int
    largest: int


def hold_out(pairs: Pairs, *, share: float = 0.1, most: int = 1000, seed: int) -> Split:
    """Hold out about ``min(share * len(pairs), most)`` pairs that share no text with the rest.

    Pairs that share a text in any role, directly or through other pairs, form a group. Whole groups are drawn
    until there are enough, which is at most twice as many as asked for. Where the groups are too large for
    that, single pairs are drawn, and every other pair that shares a text with one of them is dropped.

    Args:
        pairs: The pairs to split.
        share: Share of the pairs to hold out.
        most: Largest number of pairs to hold out.
        seed: Decides what is drawn; the same seed draws the same pairs.

    Raises:
        UserError: If too few pairs would be left on a side, or if more than half would be dropped.
    """
    target = max(FEWEST_PAIRS, min(int(share * len(pairs)), most))
    random = np.random.default_rng(seed)
    groups, sizes = _groups(pairs)
    method: Literal["components", "cut"] = "components"
    is_held_out = np.isin(groups, _draw(sizes, target, random))
    is_dropped = np.zeros(len(pairs), bool)
    if 2 * is_held_out.sum() < target:
        method = "cut"
        is_held_out, is_dropped = _cut(pairs, target, random)
    is_train = ~is_held_out & ~is_dropped
    if 2 * is_dropped.sum() > len(pairs) or min(is_held_out.sum(), is_train.sum()) < FEWEST_PAIRS:
        raise UserError(
            f"{pairs.source}: of {counted(len(pairs), 'pair')}, too few can be held out for evaluation "
            f"without a text that the rest holds too{_tied(int(sizes.max(initial=0)))}. "
            "Give evaluation pairs of their own with --eval FILE."
        )
    return Split(
        train=np.flatnonzero(is_train),
        held_out=np.flatnonzero(is_held_out),
        dropped=np.flatnonzero(is_dropped),
        method=method,
        components=len(sizes),
        largest=int(sizes.max()),
    )


def without_texts(pairs: Pairs, text_ids: Int64[np.ndarray, " unwanted"]) -> Int64[np.ndarray, " rows"]:
    """The pairs that hold none of these texts, nor what counts as one, in any role, sorted."""
    is_unwanted = np.zeros(len(pairs.texts), bool)
    is_unwanted[pairs.identity(text_ids)] = True
    leaves = is_unwanted[pairs.identity(pairs.anchors)] | is_unwanted[pairs.identity(pairs.positives)]
    leaves[pairs.negative_rows()[is_unwanted[pairs.identity(pairs.negative_ids)]]] = True
    return np.flatnonzero(~leaves)


def _tied(largest: int) -> str:
    """Why it is so, if the largest group of pairs is one."""
    return f"; {largest:,} are tied together by texts they share" if largest > 1 else ""


def _groups(pairs: Pairs) -> tuple[Int64[np.ndarray, " pairs"], Int64[np.ndarray, " groups"]]:
    """The group of each pair, numbered from 0, and the number of pairs in each group."""
    anchors = pairs.identity(pairs.anchors)
    starts = np.concatenate([anchors, anchors[pairs.negative_rows()]])
    ends = pairs.identity(np.concatenate([pairs.positives, pairs.negative_ids]))
    shape = (len(pairs.texts), len(pairs.texts))
    _, of_text = connected_components(
        coo_array((np.ones(len(starts), np.int8), (starts, ends)), shape), directed=False
    )
    # Texts of other pairs are groups without a pair; numbering anew leaves them out.
    _, of_pair, sizes = np.unique(of_text[anchors], return_inverse=True, return_counts=True)
    return of_pair, sizes


def _draw(
    sizes: Int64[np.ndarray, " groups"], target: int, random: np.random.Generator
) -> Int64[np.ndarray, " drawn"]:
    """Groups in random order until they hold enough pairs, leaving out those that are too large to fit."""
    drawn: list[int] = []
    held = 0
    for group in random.permutation(len(sizes)):
        if held >= target:
            break
        if held + sizes[group] <= LARGEST_OVERSHOOT * target:
            drawn.append(group)
            held += int(sizes[group])
    return np.array(drawn, np.int64)


def _cut(
    pairs: Pairs, target: int, random: np.random.Generator
) -> tuple[Bool[np.ndarray, " pairs"], Bool[np.ndarray, " pairs"]]:
    """Which pairs are held out, drawn singly, and which others share a text with one of these."""
    drawn = random.permutation(len(pairs))[:target]
    is_held_out = np.zeros(len(pairs), bool)
    is_held_out[drawn] = True
    is_dropped = ~is_held_out
    is_dropped[without_texts(pairs, pairs.take(drawn).text_ids())] = False
    return is_held_out, is_dropped
