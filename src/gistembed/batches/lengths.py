"""How long texts are in tokens, and where to cut what is sorted by length."""

import itertools
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Int32, Integer

from gistembed.models import EmbeddingModel
from gistembed.pairs import Pairs
from gistembed.terms import Role

# Lengths that a cut is looked for at.
_STEPS = 64


def text_lengths(
    model: EmbeddingModel, pairs: Pairs, on_progress: Callable[[int], None] = lambda count: None
) -> Int32[np.ndarray, " texts"]:
    """Tokens that the model reads for each text of the pairs, nothing cut off.

    Counted are the text, the special tokens and the longest of the prompts, so that a text in the role of
    a shorter prompt is never taken for too short. All 0 for a model that pads no texts.

    Args:
        model: The model that reads them.
        pairs: Whose texts are measured.
        on_progress: Called with the number of texts measured since the call before.
    """
    lengths = np.zeros(len(pairs.texts), dtype=np.int32)
    text_ids = pairs.text_ids()
    measured = model.token_lengths(pairs.texts.of(text_ids), on_progress)
    if measured is not None:
        lengths[text_ids] = measured + max(prompt_tokens(model).values())
    return lengths


def prompt_tokens(model: EmbeddingModel) -> dict[Role, int]:
    """Tokens of each role's prompt, special tokens left out; all 0 for a model that pads no texts."""
    measured = model.token_lengths(["", *model.prompts.values()])
    if measured is None:
        return dict.fromkeys(model.prompts, 0)
    # An empty text is its special tokens and nothing else.
    return dict(zip(model.prompts, (measured[1:] - measured[0]).tolist(), strict=True))


def padded_runs(lengths: Integer[np.ndarray, " texts"], budget: int) -> Iterator[slice]:
    """Cut texts that are sorted by length where their padded size would exceed a budget.

    Args:
        lengths: Their lengths, ascending.
        budget: The most that the texts of a run may take, each as long as the longest. A text that is longer
            stands alone.
    """
    start = 0
    for stop, longest in enumerate(lengths[1:].tolist(), 1):
        if (stop + 1 - start) * longest > budget:
            yield slice(start, stop)
            start = stop
    if len(lengths):
        yield slice(start, len(lengths))


def packed_runs(lengths: Integer[np.ndarray, " texts"], budget: int) -> Iterator[slice]:
    """Cut texts into few runs that take about as much each, and no more than a budget.

    Args:
        lengths: Their lengths.
        budget: The most that the texts of a run may take together. A text that is longer stands alone.
    """
    if not len(lengths):
        return
    # Nothing is free: so each text has a run of its own at the latest when there is one for each token.
    ends = np.cumsum(np.maximum(lengths, 1), dtype=np.int64)
    count = -(-int(ends[-1]) // budget)
    while True:
        aims = ends[-1] * np.arange(1, count + 1) / count
        stops = np.unique(np.searchsorted(ends, aims) + 1)
        sizes = np.diff(ends[stops - 1], prepend=0)
        alone = np.diff(stops, prepend=0) == 1
        if bool((alone | (sizes <= budget)).all()):
            break
        count += 1
    for start, stop in itertools.pairwise([0, *stops.tolist()]):
        yield slice(start, stop)


def thrifty_runs(lengths: Integer[np.ndarray, " texts"], budget: int, overhead: int) -> Iterator[slice]:
    """Cut texts that are sorted by length such that padding and the runs themselves cost the least together.

    Where to cut is found among about `_STEPS` lengths. What is too large for the budget is then cut further,
    as `padded_runs` does.

    Args:
        lengths: Their lengths, ascending.
        budget: The most that the texts of a run may take, each as long as the longest. A text that is longer
            stands alone.
        overhead: What a run costs beside its texts, in tokens.
    """
    if not len(lengths):
        return
    step = max(1, -(-int(lengths[-1]) // _STEPS))
    stops = np.append(np.flatnonzero(np.diff(lengths // step)) + 1, len(lengths))
    longest = lengths[stops - 1].astype(np.int64)
    starts = np.append(0, stops)
    # The least cost of all texts before each stop, and where the last run of that cut starts.
    costs, starts_at = np.zeros(len(starts)), np.zeros(len(starts), dtype=np.int64)
    for last in range(1, len(starts)):
        sizes = (stops[last - 1] - starts[:last]) * longest[last - 1]
        every = costs[:last] + sizes + overhead * np.ceil(np.maximum(sizes, 1) / budget)
        starts_at[last] = every.argmin()
        costs[last] = every[starts_at[last]]
    cuts = [len(starts) - 1]
    while cuts[-1]:
        cuts.append(int(starts_at[cuts[-1]]))
    for start, stop in itertools.pairwise(starts[cuts[::-1]].tolist()):
        for run in padded_runs(lengths[start:stop], budget):
            yield slice(start + run.start, start + run.stop)
