"""Several models on one data set: means with intervals, paired comparisons, and the queries that changed."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64

from gistembed.evaluate.bootstrap import compare, mean_interval
from gistembed.evaluate.retrieval import METRICS, Ranking, RetrievalTask
from gistembed.record import DimensionRecord, EvaluationRecord, QueryChange
from gistembed.terms import DataSet

_CHANGES_SHOWN = 8


@dataclass(frozen=True)
class ModelScores:
    """One model's ranking of a task, and its scores by metric and query.

    Attributes:
        ranking: The ranking.
        scores: Its scores.
        by_dims: Scores by the main metric of embeddings that were cut, by their number of dimensions.
    """

    ranking: Ranking
    scores: Mapping[str, Float64[np.ndarray, " queries"]]
    by_dims: Mapping[int, Float64[np.ndarray, " queries"]] = field(default_factory=dict)


def evaluation_record(
    data: DataSet,
    task: RetrievalTask,
    models: Mapping[str, ModelScores],
) -> EvaluationRecord:
    """Compare the models of one task.

    Args:
        data: Which of the two data sets this is.
        task: The task.
        models: Scores by model name; ``base`` first, the model that the run is about last.
    """
    metric = METRICS[0]
    names = list(models)
    tuned = names[-1]
    # The last model against each of those before it, the base first; then the rest against the base.
    couples = [(name, tuned) for name in names[:-1]] + [("base", name) for name in names[1:-1]]
    improved, worsened = _changes(task, models["base"], models[tuned], metric)
    return EvaluationRecord(
        data=data,
        source=task.name,
        metric=metric,
        queries=len(task.queries),
        documents=len(task.documents),
        scores={
            name: {measure: mean_interval(values) for measure, values in model.scores.items()}
            for name, model in models.items()
        },
        comparisons=[
            compare((a, models[a].scores[metric]), (b, models[b].scores[metric]), metric=metric)
            for a, b in couples
        ],
        improved=improved,
        worsened=worsened,
        by_dimensions=[
            DimensionRecord(
                dimensions=dim,
                scores={name: mean_interval(model.by_dims[dim]) for name, model in models.items()},
            )
            for dim in models[tuned].by_dims
        ],
    )


def _changes(
    task: RetrievalTask, before: ModelScores, after: ModelScores, metric: str
) -> tuple[list[QueryChange], list[QueryChange]]:
    """The queries that gained most, and those that lost most."""
    difference = after.scores[metric] - before.scores[metric]
    order = np.argsort(-difference, kind="stable")
    texts = task.pairs.texts

    def change(row: int) -> QueryChange:
        query = int(task.queries[row])
        relevant = task.relations.of(query).tolist()
        tops = [int(model.ranking.documents[row, 0]) for model in (before, after)]
        return QueryChange(
            query=texts[query],
            relevant=texts[relevant[0]],
            others=len(relevant) - 1,
            before=float(before.scores[metric][row]),
            after=float(after.scores[metric][row]),
            top_before=texts[tops[0]],
            top_after=texts[tops[1]],
            right_before=tops[0] in relevant,
            right_after=tops[1] in relevant,
        )

    gained = [row for row in order[:_CHANGES_SHOWN].tolist() if difference[row] > 0]
    lost = [row for row in order[::-1][:_CHANGES_SHOWN].tolist() if difference[row] < 0]
    return [change(row) for row in gained], [change(row) for row in lost]
