"""Retrieval over pairs: every distinct anchor is a query, every distinct positive or negative a document."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int64

from gistembed.evaluate.measures import measured
from gistembed.models import EmbeddingModel
from gistembed.pairs import Pairs, Relations

# In the order in which they are shown; the first is the one that a verdict is about.
METRICS = ("nDCG@10", "RR@10", "Success@1", "R@10", "AP@100")

_DEPTH = 100
_QUERY_BLOCK = 256


@dataclass(frozen=True)
class RetrievalTask:
    """What is searched for, in what, and what counts as found.

    Attributes:
        name: What the data is, in words.
        pairs: Where the texts come from.
        queries: Text ids of the distinct anchors.
        documents: Text ids of the distinct positives and negatives.
        relations: Which documents are relevant to which query.
    """

    name: str
    pairs: Pairs
    queries: Int64[np.ndarray, " queries"]
    documents: Int64[np.ndarray, " documents"]
    relations: Relations

    @classmethod
    def from_pairs(cls, pairs: Pairs, name: str) -> "RetrievalTask":
        """The task that held-out pairs pose.

        Args:
            pairs: The pairs.
            name: What the data is, in words.
        """
        # What is known but not among the pairs may be no document here.
        pairs = replace(pairs, same=None, also_known=None)
        documents = np.unique(np.concatenate([pairs.positives, pairs.negative_ids]))
        return cls(name, pairs, np.unique(pairs.anchors), documents, pairs.known_positives())


@dataclass(frozen=True)
class Ranking:
    """The best documents of each query, as one model sees them.

    Attributes:
        documents: Text ids, best first; -1 pads where there are fewer documents.
        similarities: Cosine of query and document.
    """

    documents: Int64[np.ndarray, "queries depth"]
    similarities: Float32[np.ndarray, "queries depth"]


def rank(
    model: EmbeddingModel, task: RetrievalTask, on_progress: Callable[[int], None] = lambda count: None
) -> Ranking:
    """Rank the documents for every query by cosine; a query's own text is never its answer.

    Args:
        model: The model to score.
        task: Queries and documents.
        on_progress: Called with the number of texts embedded since the call before.
    """
    return rank_at(model, task, None, on_progress)[0]


def rank_at(
    model: EmbeddingModel,
    task: RetrievalTask,
    dims: Sequence[int] | None,
    on_progress: Callable[[int], None] = lambda count: None,
) -> list[Ranking]:
    """Rank the documents as `rank` does, by embeddings that are cut to their leading dimensions.

    Args:
        model: The model to score.
        task: Queries and documents.
        dims: Numbers of dimensions; the texts are embedded once for all of them. None for one ranking by
            whole embeddings.
        on_progress: Called with the number of texts embedded since the call before.
    """
    texts = task.pairs.texts
    queries = model.embed(texts.of(task.queries), "anchor", on_progress)
    documents = model.embed(texts.of(task.documents), "document", on_progress)
    return [
        rank_vectors(task, _cut(queries, dim), _cut(documents, dim)) for dim in dims or [queries.shape[1]]
    ]


def _cut(vectors: Float32[np.ndarray, "texts dim"], dim: int) -> Float32[np.ndarray, "texts _"]:
    """The leading dimensions of unit vectors, as unit vectors."""
    if dim == vectors.shape[1]:
        return vectors
    return torch.nn.functional.normalize(torch.from_numpy(vectors[:, :dim]), dim=1).numpy()


def rank_vectors(
    task: RetrievalTask,
    query_vectors: Float32[np.ndarray, "queries dim"],
    document_vectors: Float32[np.ndarray, "documents dim"],
) -> Ranking:
    """`rank` by vectors that are there already, by their dot products.

    Args:
        task: Queries and documents.
        query_vectors: One for each query, in the task's order.
        document_vectors: One for each document, in the task's order.
    """
    queries, documents = torch.from_numpy(query_vectors), torch.from_numpy(document_vectors)
    document_ids = torch.from_numpy(task.documents)
    query_ids = torch.from_numpy(task.queries)
    depth = min(_DEPTH, len(document_ids))
    best_ids, best_similarities = [], []
    for start in range(0, len(queries), _QUERY_BLOCK):
        block = slice(start, start + _QUERY_BLOCK)
        similarities = queries[block] @ documents.T
        similarities.masked_fill_(query_ids[block].unsqueeze(1) == document_ids, -torch.inf)
        top = similarities.topk(depth, dim=1)
        best_ids.append(document_ids[top.indices].masked_fill(top.values == -torch.inf, -1))
        best_similarities.append(top.values)
    return Ranking(torch.cat(best_ids).numpy(), torch.cat(best_similarities).numpy())


def score(task: RetrievalTask, ranking: Ranking) -> dict[str, Float64[np.ndarray, " queries"]]:
    """Score of every query under every metric, in the order of the task's queries."""
    judged = (
        (str(query), str(document), 1)
        for query in task.queries.tolist()
        for document in task.relations.of(query).tolist()
    )
    found = (
        (str(query), str(document), similarity)
        for query, documents, similarities in zip(
            task.queries.tolist(), ranking.documents.tolist(), ranking.similarities.tolist(), strict=True
        )
        for document, similarity in zip(documents, similarities, strict=True)
        if document >= 0
    )
    return measured({name: name for name in METRICS}, [str(one) for one in task.queries], judged, found)
