"""Retrieval and reranking: rankings by cosine, and their measures by query."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float32, Int64

from gistembed.evaluate.measures import measured
from gistembed.evaluate.scorers.scored import Embed, Scored, embed_ids, paired_cosines, unit
from gistembed.evaluate.tasks.task import Reranking, Retrieval
from gistembed.mine.nearest import DOCUMENT_BLOCK, Nearest, OwnTexts, nearest_documents

DEPTH = 100
_CUTS = (1, 3, 5, 10, 20, 100)
_MEASURES = {"ndcg": "nDCG", "map": "AP", "recall": "R", "precision": "P", "mrr": "RR", "hit_rate": "Success"}
MEASURES = {f"{ours}_at_{cut}": f"{theirs}@{cut}" for ours, theirs in _MEASURES.items() for cut in _CUTS}
"""What ir-measures calls each measure, by the name that mteb has for it."""

# Texts of so many documents are embedded together; more of them are sorted by length, fewer are in memory.
_EMBEDDED_AT_ONCE = 4 * DOCUMENT_BLOCK


def score_retrieval(task: Retrieval, embed: Embed) -> Scored:
    """Search all documents for each query.

    Memory holds the queries' vectors and one block of documents, never all of them. A document with the very
    text of a query is not among its answers, unless it is judged to be one.

    Args:
        task: The task.
        embed: The model.
    """
    queries = unit(embed_ids(task.texts, task.queries, embed, "query"))
    depth = min(DEPTH, len(task.documents))
    nearest = nearest_documents(queries, _blocks(task, embed), _own_texts(task), depth)
    return _scored(task, nearest)


def _blocks(
    task: Retrieval, embed: Embed
) -> Iterator[tuple[Int64[np.ndarray, " block"], Float32[np.ndarray, "block dim"]]]:
    """All documents by number, block by block."""
    for start in range(0, len(task.documents), _EMBEDDED_AT_ONCE):
        ids = task.documents[start : start + _EMBEDDED_AT_ONCE]
        vectors = unit(embed_ids(task.texts, ids, embed, "document"))
        for first in range(0, len(ids), DOCUMENT_BLOCK):
            block = vectors[first : first + DOCUMENT_BLOCK]
            yield np.arange(start + first, start + first + len(block)), block


def _own_texts(task: Retrieval) -> OwnTexts:
    """Documents with the text of a query that aren't judged to answer it."""
    order = np.argsort(task.documents, kind="stable")
    texts = task.documents[order]
    first, last = (np.searchsorted(texts, task.queries, side) for side in ("left", "right"))
    rows = np.repeat(np.arange(len(task.queries)), last - first)
    documents = order[
        np.concatenate([np.arange(a, b) for a, b in zip(first, last, strict=True)]).astype(np.int64)
    ]
    answers = task.grades > 0
    size = len(task.documents)
    relevant = task.judged_queries[answers] * size + task.judged_documents[answers]
    kept = ~np.isin(rows * size + documents, relevant)
    return OwnTexts(rows[kept], documents[kept])


def _scored(task: Retrieval, nearest: Nearest) -> Scored:
    here = nearest.ids >= 0
    rows = np.nonzero(here)[0]
    numbers = nearest.ids[here]
    judged = zip(
        (task.query_names[row] for row in task.judged_queries.tolist()),
        task.document_names.of(task.judged_documents),
        task.grades.tolist(),
        strict=True,
    )
    found = zip(
        (task.query_names[row] for row in rows.tolist()),
        task.document_names.of(numbers),
        nearest.similarities[here].tolist(),
        strict=True,
    )
    by_query = measured(MEASURES, task.query_names, judged, found)
    best = nearest.ids[:, 0]
    return Scored(
        {name: float(values.mean()) for name, values in by_query.items()},
        {
            "query_id": task.query_names,
            "query": task.texts.of(task.queries),
            "found_first": [
                text if number >= 0 else None
                for text, number in zip(
                    task.texts.of(task.documents[np.maximum(best, 0)]), best.tolist(), strict=True
                )
            ],
            **by_query,
        },
    )


def score_reranking(task: Reranking, embed: Embed) -> Scored:
    """Rank the candidates of each query.

    Args:
        task: The task.
        embed: The model.
    """
    counts = np.diff(task.offsets)
    owners = np.repeat(np.arange(len(task.queries)), counts)
    queries = embed_ids(task.texts, task.queries, embed, "query")
    candidates = embed_ids(task.texts, task.candidates, embed, "document")
    cosines = paired_cosines(queries[owners], candidates)
    names = [str(row) for row in range(len(task.queries))]
    # Of equal cosines the higher name comes first; among candidates, those that are not relevant do.
    documents = [f"{0 if relevant else 1}-{number}" for number, relevant in enumerate(task.relevant.tolist())]
    rows = [names[owner] for owner in owners.tolist()]
    by_query = measured(
        MEASURES,
        names,
        zip(rows, documents, task.relevant.astype(int).tolist(), strict=True),
        zip(rows, documents, cosines.tolist(), strict=True),
    )
    return Scored(
        {name: float(values.mean()) for name, values in by_query.items()},
        {"query": task.texts.of(task.queries), "candidates": counts, **by_query},
    )
