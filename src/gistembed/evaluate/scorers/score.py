"""Scores a model on a task of any kind."""

from gistembed.evaluate.scorers.bitext import score_bitext
from gistembed.evaluate.scorers.graded import score_graded_pairs
from gistembed.evaluate.scorers.labelled import score_classification, score_clustering
from gistembed.evaluate.scorers.ranked import score_reranking, score_retrieval
from gistembed.evaluate.scorers.scored import Embed, Scored
from gistembed.evaluate.tasks.task import (
    Bitext,
    Classification,
    Clustering,
    GradedPairs,
    Reranking,
    Retrieval,
    Task,
)


def score_task(task: Task, embed: Embed) -> Scored:
    """Score a model on a task.

    Args:
        task: The task.
        embed: The model.
    """
    match task:
        case Retrieval():
            return score_retrieval(task, embed)
        case Reranking():
            return score_reranking(task, embed)
        case GradedPairs():
            return score_graded_pairs(task, embed)
        case Bitext():
            return score_bitext(task, embed)
        case Classification():
            return score_classification(task, embed)
        case Clustering():
            return score_clustering(task, embed)
    raise AssertionError(f"no scorer for {type(task).__name__}")
