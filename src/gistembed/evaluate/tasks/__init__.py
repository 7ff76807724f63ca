"""The user's own data as tasks: what kind a source is, and its texts."""

from gistembed.evaluate.tasks.detect import detect_kind
from gistembed.evaluate.tasks.kinds import KINDS, MAIN_METRICS, Kind, Use
from gistembed.evaluate.tasks.read import parse_source, read_task
from gistembed.evaluate.tasks.task import (
    Bitext,
    Classification,
    Clustering,
    GradedPairs,
    Reranking,
    Retrieval,
    Task,
)

__all__ = [
    "KINDS",
    "MAIN_METRICS",
    "Bitext",
    "Classification",
    "Clustering",
    "GradedPairs",
    "Kind",
    "Reranking",
    "Retrieval",
    "Task",
    "Use",
    "detect_kind",
    "parse_source",
    "read_task",
]
