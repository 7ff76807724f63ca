"""Bitext mining: whether the nearest sentence of the other language is the translation."""

import numpy as np
from jaxtyping import Float64, Int64

from gistembed.evaluate.scorers.scored import Embed, Scored, embed_ids, unit
from gistembed.evaluate.tasks.task import Bitext
from gistembed.mine.nearest import DOCUMENT_BLOCK, OwnTexts, nearest_documents


def score_bitext(task: Bitext, embed: Embed) -> Scored:
    """Search all translations for each sentence.

    Args:
        task: The task.
        embed: The model.
    """
    first = unit(embed_ids(task.texts, task.first, embed, "text"))
    second = unit(embed_ids(task.texts, task.second, embed, "text"))
    blocks = (
        (np.arange(start, start + len(block)), block)
        for start in range(0, len(second), DOCUMENT_BLOCK)
        for block in (second[start : start + DOCUMENT_BLOCK],)
    )
    nothing = OwnTexts(np.empty(0, np.int64), np.empty(0, np.int64))
    found = nearest_documents(first, blocks, nothing, 1).ids[:, 0]
    metrics, f1 = matched(found)
    return Scored(
        metrics,
        {
            "text1": task.texts.of(task.first),
            "text2": task.texts.of(task.second),
            "found": task.texts.of(task.second[found]),
            "f1": f1,
        },
    )


def matched(
    found: Int64[np.ndarray, " pairs"],
) -> tuple[dict[str, float], Float64[np.ndarray, " pairs"]]:
    """Metrics of all pairs, and the F1 of each, of which the mean is the F1 of all.

    Each translation is a class with one member, its sentence; MTEB weighs the classes by their members.

    Args:
        found: Which translation is nearest to each sentence; its own has the same place.
    """
    right = found == np.arange(len(found))
    precision = np.where(right, 1 / np.maximum(np.bincount(found, minlength=len(found)), 1), 0.0)
    f1 = np.where(right, 2 * precision / (precision + 1), 0.0)
    metrics = {"f1": f1, "accuracy": right, "precision": precision, "recall": right}
    return {name: float(values.mean()) for name, values in metrics.items()}, f1
