"""How long texts are in tokens, and where to cut what is sorted by length."""

from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Int32, Integer

from gistembed.models import EmbeddingModel
from gistembed.pairs import Pairs
from gistembed.terms import Role


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
