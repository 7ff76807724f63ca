"""STS and pair classification: how the cosines of pairs order them."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64
from scipy import stats

from gistembed.evaluate.scorers.scored import Embed, Scored, embed_ids, paired_cosines
from gistembed.evaluate.tasks.task import GradedPairs


def score_graded_pairs(task: GradedPairs, embed: Embed) -> Scored:
    """Compare the cosine of each pair with its grade.

    Args:
        task: The task.
        embed: The model.
    """
    vectors = embed_ids(task.texts, task.text_ids(), embed, "text")
    pairs = len(task.first)
    cosines = paired_cosines(vectors[:pairs], vectors[pairs:])
    metrics = classified(cosines, task.grades > 0) if task.binary else correlated(cosines, task.grades)
    items: dict[str, Sequence[Any] | np.ndarray] = {
        "text1": task.texts.of(task.first),
        "text2": task.texts.of(task.second),
        "label" if task.binary else "score": task.grades,
        "cosine": cosines,
    }
    return Scored(metrics, items)


def correlated(
    cosines: Float64[np.ndarray, " pairs"], grades: Float64[np.ndarray, " pairs"]
) -> dict[str, float]:
    """Rank and linear correlation; 0 where all cosines are the same, which order nothing.

    Args:
        cosines: The cosine of each pair.
        grades: How similar the texts of each are.
    """
    if np.ptp(cosines) == 0:
        return {"cosine_spearman": 0.0, "cosine_pearson": 0.0}
    with warnings.catch_warnings():
        # scipy warns of cosines that hardly differ; the correlation is what it is.
        warnings.simplefilter("ignore", stats.NearConstantInputWarning)
        return {
            "cosine_spearman": float(stats.spearmanr(grades, cosines).statistic),
            "cosine_pearson": float(stats.pearsonr(grades, cosines).statistic),
        }


def classified(
    cosines: Float64[np.ndarray, " pairs"], belong: Bool[np.ndarray, " pairs"]
) -> dict[str, float]:
    """Average precision, and accuracy and F1 at the threshold that is best for each.

    Args:
        cosines: The cosine of each pair.
        belong: Whether its texts belong together; some do and some don't.

    Source: MTEB's pair classification (arXiv 2210.07316); thresholds lie between cosines that differ, and
    leave a pair on each side.
    """
    from sklearn.metrics import average_precision_score

    order = np.argsort(-cosines, kind="stable")
    hits = np.cumsum(belong[order])
    taken = np.arange(1, len(order) + 1)
    splits = np.flatnonzero(np.diff(cosines[order]) != 0)
    metrics = {"cosine_ap": float(average_precision_score(belong, cosines))}
    if not len(splits):
        return {**metrics, **dict.fromkeys(("cosine_accuracy", "cosine_f1"), 0.0)}
    hits, taken = hits[splits], taken[splits]
    wrong_side = (taken - hits) + (belong.sum() - hits)
    f1 = 2 * hits / (taken + belong.sum())
    return {
        **metrics,
        "cosine_accuracy": float(1 - wrong_side.min() / len(order)),
        "cosine_f1": float(f1.max()),
    }
