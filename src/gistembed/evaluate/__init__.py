"""Scores before and after: retrieval, intervals, comparisons, and a set that shows what was forgotten."""

from gistembed.evaluate.bootstrap import FEWEST_QUERIES, compare, mean_interval, verdict_of
from gistembed.evaluate.comparison import ModelScores, evaluation_record
from gistembed.evaluate.retention import RETENTION_NAME, retention_path
from gistembed.evaluate.retrieval import METRICS, Ranking, RetrievalTask, rank, rank_at, rank_vectors, score
from gistembed.evaluate.verdict import verdict_line

__all__ = [
    "FEWEST_QUERIES",
    "METRICS",
    "RETENTION_NAME",
    "ModelScores",
    "Ranking",
    "RetrievalTask",
    "compare",
    "evaluation_record",
    "mean_interval",
    "rank",
    "rank_at",
    "rank_vectors",
    "retention_path",
    "score",
    "verdict_line",
    "verdict_of",
]
