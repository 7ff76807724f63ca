"""Scores before and after: retrieval, intervals, comparisons, and a set that shows what was forgotten."""

from gistembed.evaluate.bootstrap import FEWEST_QUERIES, compare, mean_interval, verdict_of
from gistembed.evaluate.comparison import ModelScores, evaluation_record
from gistembed.evaluate.query_scores import QueryScores, read_query_scores, write_query_scores
from gistembed.evaluate.retention import RETENTION_NAME, retention_path
from gistembed.evaluate.retrieval import METRICS, Ranking, RetrievalTask, rank, rank_at, rank_vectors, score
from gistembed.evaluate.seeds import aligned, few_seeds, in_common, seed_interval
from gistembed.evaluate.verdict import verdict_line

__all__ = [
    "FEWEST_QUERIES",
    "METRICS",
    "RETENTION_NAME",
    "ModelScores",
    "QueryScores",
    "Ranking",
    "RetrievalTask",
    "aligned",
    "compare",
    "evaluation_record",
    "few_seeds",
    "in_common",
    "mean_interval",
    "rank",
    "rank_at",
    "rank_vectors",
    "read_query_scores",
    "retention_path",
    "score",
    "seed_interval",
    "verdict_line",
    "verdict_of",
    "write_query_scores",
]
