"""The score of each query as a file, read back as it was."""

import numpy as np
import pytest
from tests.pairs.pairs_samples import pairs_of

from gistembed.evaluate import (
    METRICS,
    ModelScores,
    Ranking,
    RetrievalTask,
    read_query_scores,
    write_query_scores,
)

TEXTS = ["red", 'blue, or\n"green"', "a rose", "the sky"]


@pytest.fixture
def task():
    pairs = pairs_of([(TEXTS[0], TEXTS[2], []), (TEXTS[1], TEXTS[3], [])])
    return RetrievalTask.from_pairs(pairs, "colours")


def scored(value):
    ranking = Ranking(np.zeros((2, 1), np.int64), np.zeros((2, 1), np.float32))
    return ModelScores(ranking, {metric: np.array([value, 1 / 3]) for metric in METRICS})


def test_scores_are_read_back_by_data_set_and_model(task, tmp_path):
    path = tmp_path / "scores.parquet"
    models = {
        "base": {"dev": scored(0.1), "held-out": scored(0.2)},
        "guided": {"dev": scored(0.3), "held-out": scored(0.4)},
    }
    write_query_scores(path, {"dev": task, "held-out": task}, models)
    found = read_query_scores(path)
    assert list(found) == [("dev", "base"), ("held-out", "base"), ("dev", "guided"), ("held-out", "guided")]
    queries = tuple(task.pairs.texts.of(task.queries))
    assert {one.queries for one in found.values()} == {queries}
    assert set(queries) == set(TEXTS[:2])
    assert found["held-out", "guided"].of("RR@10") == {queries[0]: 0.4, queries[1]: 1 / 3}
    assert set(found["dev", "base"].by_metric) == set(METRICS)
