"""The score of each query as a file, for whoever compares runs with each other later."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float64

from gistembed.evaluate.comparison import ModelScores
from gistembed.evaluate.retrieval import METRICS, RetrievalTask
from gistembed.files import whole_file
from gistembed.terms import ScoredSet


@dataclass(frozen=True)
class QueryScores:
    """One model's scores on one data set.

    Attributes:
        queries: The queries' texts; no two are the same.
        by_metric: The score of each under each metric.
    """

    queries: tuple[str, ...]
    by_metric: Mapping[str, Float64[np.ndarray, " queries"]]

    def of(self, metric: str) -> dict[str, float]:
        """The score of each query, by its text.

        Args:
            metric: One of the metrics.
        """
        return dict(zip(self.queries, self.by_metric[metric].tolist(), strict=True))


def write_query_scores(
    path: Path,
    tasks: Mapping[ScoredSet, RetrievalTask],
    models: Mapping[str, Mapping[ScoredSet, ModelScores]],
) -> None:
    """Write a row for each query of each data set under each model, with all metrics; whole or not at all.

    Args:
        path: The Parquet file.
        tasks: What was scored on, by data set.
        models: Scores by model name and data set.
    """
    parts = [
        pa.table(
            {
                "data": pa.array([data] * len(task.queries)).dictionary_encode(),
                "model": pa.array([name] * len(task.queries)).dictionary_encode(),
                "query": pa.array(task.pairs.texts.of(task.queries), pa.large_string()),
                **{metric: scores[data].scores[metric] for metric in METRICS},
            }
        )
        for name, scores in models.items()
        for data, task in tasks.items()
    ]
    with whole_file(path) as file:
        pq.write_table(pa.concat_tables(parts).unify_dictionaries(), file, compression="zstd")


def read_query_scores(path: Path) -> dict[tuple[str, str], QueryScores]:
    """What `write_query_scores` wrote, by data set and model.

    Raises:
        OSError: If it can't be read.
    """
    table = pq.read_table(path)
    data, model = (np.array(table[name].to_pylist()) for name in ("data", "model"))
    found = {}
    for key in dict.fromkeys(zip(data.tolist(), model.tolist(), strict=True)):
        rows = table.filter(pa.array((data == key[0]) & (model == key[1])))
        by_metric = {metric: rows[metric].to_numpy() for metric in rows.column_names if metric in METRICS}
        found[key] = QueryScores(tuple(rows["query"].to_pylist()), by_metric)
    return found
