"""The user's own data as a task of mteb, for its evaluators and for models that only it can run."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int64

from gistembed.evaluate.scorers.labelled import LARGEST_SAMPLE
from gistembed.evaluate.standard.library import require_mteb
from gistembed.evaluate.tasks.kinds import MAIN_METRICS, MTEB_TYPES, Kind
from gistembed.evaluate.tasks.task import (
    Bitext,
    Classification,
    Clustering,
    GradedPairs,
    Reranking,
    Retrieval,
    Task,
)

_CLASSES: Mapping[Kind, str] = {
    "retrieval": "AbsTaskRetrieval",
    "reranking": "AbsTaskRetrieval",
    "sts": "AbsTaskSTS",
    "pair-classification": "AbsTaskPairClassification",
    "classification": "AbsTaskClassification",
    "clustering": "AbsTaskClustering",
    "bitext": "AbsTaskBitextMining",
}


def as_mteb_task(task: Task) -> Any:  # noqa: ANN401 — mteb's
    """A task that mteb can evaluate, of the same data and with the same settings; nothing is fetched.

    Args:
        task: The task.

    Raises:
        UserError: If mteb isn't installed.
    """
    require_mteb()
    import mteb.abstasks
    from mteb.abstasks.task_metadata import TaskMetadata

    metadata = TaskMetadata(
        name=task.name,
        description="Own data.",
        type=MTEB_TYPES[task.kind],
        main_score=MAIN_METRICS[task.kind],
        eval_langs=["eng-Latn"],
        eval_splits=["test"],
        dataset={"path": task.name, "revision": task.digest()},
    )
    settings: dict[str, Any] = {"metadata": metadata}
    if isinstance(task, Clustering):
        settings |= {
            "max_fraction_of_documents_to_embed": None,
            "max_documents_per_cluster": min(len(task.members), LARGEST_SAMPLE),
        }
    made = type("OwnTask", (getattr(mteb.abstasks, _CLASSES[task.kind]),), settings)()
    made.dataset = _dataset(task)
    made.data_loaded = True
    return made


def _dataset(task: Task) -> Any:  # noqa: ANN401 — as each kind has it
    match task:
        case Retrieval():
            return {"default": {"test": _searched(task)}}
        case Reranking():
            return {"default": {"test": _reranked(task)}}
        case GradedPairs():
            grade = {"labels" if task.binary else "score": task.grades.astype(int if task.binary else float)}
            return _tables(test={**_two(task), **grade})
        case Bitext():
            return _tables(test=_two(task))
        case Classification():
            return _tables(
                train={"text": task.texts.of(task.train), "label": task.train_labels},
                test={"text": task.texts.of(task.test), "label": task.test_labels},
            )
        case Clustering():
            return _tables(test={"sentences": task.texts.of(task.members), "labels": task.labels})
    raise AssertionError(f"mteb has no task for {type(task).__name__}")


def _tables(**splits: Mapping[str, Sequence[Any] | np.ndarray]) -> Any:  # noqa: ANN401
    from datasets import Dataset, DatasetDict

    return DatasetDict({name: Dataset.from_dict(dict(columns)) for name, columns in splits.items()})


def _two(task: GradedPairs | Bitext) -> dict[str, list[str]]:
    return {"sentence1": task.texts.of(task.first), "sentence2": task.texts.of(task.second)}


def _searched(task: Retrieval) -> dict[str, Any]:
    documents = task.document_names.of(np.arange(len(task.documents)))
    relevant: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for query, document, grade in zip(
        task.judged_queries.tolist(), task.judged_documents.tolist(), task.grades.tolist(), strict=True
    ):
        relevant[task.query_names[query]][documents[document]] = grade
    return _split(task, task.query_names, task.queries, documents, task.documents, dict(relevant), None)


def _reranked(task: Reranking) -> dict[str, Any]:
    queries = [str(row) for row in range(len(task.queries))]
    documents = [f"{0 if relevant else 1}-{number}" for number, relevant in enumerate(task.relevant.tolist())]
    relevant: dict[str, dict[str, int]] = {}
    candidates: dict[str, list[str]] = {}
    for row, query in enumerate(queries):
        own = slice(task.offsets[row], task.offsets[row + 1])
        candidates[query] = documents[own]
        relevant[query] = dict(zip(documents[own], task.relevant[own].astype(int).tolist(), strict=True))
    return _split(task, queries, task.queries, documents, task.candidates, relevant, candidates)


def _split(
    task: Task,
    query_names: Sequence[str],
    queries: Int64[np.ndarray, " queries"],
    document_names: Sequence[str],
    documents: Int64[np.ndarray, " documents"],
    relevant: Mapping[str, Mapping[str, int]],
    candidates: Mapping[str, Sequence[str]] | None,
) -> dict[str, Any]:
    """Queries, documents and judgements as mteb holds them."""
    from datasets import Dataset

    return {
        "queries": Dataset.from_dict({"id": list(query_names), "text": task.texts.of(queries)}),
        "corpus": Dataset.from_dict({"id": list(document_names), "text": task.texts.of(documents)}),
        "relevant_docs": relevant,
        "top_ranked": candidates,
    }
