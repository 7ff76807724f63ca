"""Retrieval scores against values worked out by hand."""

from dataclasses import dataclass
from math import log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.pairs.pairs_samples import pairs_of, rows_of_texts

from gistembed.evaluate import METRICS, RetrievalTask, rank, rank_at, score
from gistembed.models import EmbeddingModel


@dataclass(frozen=True)
class KnownModel(EmbeddingModel):
    """Embeddings given by role and text, in place of a model."""

    vectors: dict

    @classmethod
    def of(cls, vectors) -> "KnownModel":
        return cls("known", "", None, {}, vectors)

    def embed(self, texts, role, on_progress=lambda count: None):
        on_progress(len(texts))
        return np.array([self.vectors[role, text] for text in texts], np.float32)


def at(*cosines):
    """Unit vectors with these cosines to (1, 0)."""
    return [(cosine, np.sqrt(1 - cosine**2)) for cosine in cosines]


def task_and_model(rows, similarities):
    """One query direction for all queries, so that one list of similarities orders the documents."""
    task = RetrievalTask.from_pairs(pairs_of(rows), "test")
    texts = task.pairs.texts
    vectors = {("anchor", texts[i]): (1.0, 0.0) for i in task.queries}
    for text, vector in zip(similarities, at(*similarities.values()), strict=True):
        vectors["document", text] = vector
    return task, KnownModel.of(vectors)


def scores_by_text(task, ranking):
    scores = score(task, ranking)
    assert list(scores) == list(METRICS)
    return {
        task.pairs.texts[query]: [scores[name][row] for name in METRICS]
        for row, query in enumerate(task.queries)
    }


def ranked_texts(task, ranking):
    return [[task.pairs.texts[i] if i >= 0 else None for i in row] for row in ranking.documents]


def test_scores_by_hand():
    """Order of the documents for every query: d1 d2 d3 d4 d5; nDCG, RR, Success@1, R, AP."""
    rows = [("top", "d1", ["d2"]), ("third", "d3", ["d5"]), ("two", "d2", []), ("two", "d4", [])]
    task, model = task_and_model(rows, {"d1": 0.9, "d2": 0.8, "d3": 0.1, "d4": 0.0, "d5": -0.7})
    ranking = rank(model, task)
    assert ranked_texts(task, ranking) == [["d1", "d2", "d3", "d4", "d5"]] * 3
    np.testing.assert_allclose(ranking.similarities[0], [0.9, 0.8, 0.1, 0.0, -0.7], atol=1e-7)
    ndcg_two = (1 / log2(3) + 1 / log2(5)) / (1 + 1 / log2(3))
    wanted = {
        "top": [1, 1, 1, 1, 1],
        "third": [1 / log2(4), 1 / 3, 0, 1, 1 / 3],
        "two": [ndcg_two, 1 / 2, 0, 1, (1 / 2 + 2 / 4) / 2],
    }
    found = scores_by_text(task, ranking)
    assert found.keys() == wanted.keys()
    for query, values in wanted.items():
        np.testing.assert_allclose(found[query], values, atol=1e-9, err_msg=query)


def test_cut_offs():
    """Positives at ranks 10, 11, 100 and 101 of 101 documents: only the first counts at 10."""
    names = [f"d{i:03d}" for i in range(1, 102)]
    rows = [(f"at {i}", names[i - 1], names) for i in (10, 11, 100, 101)]
    task, model = task_and_model(rows, dict(zip(names, np.linspace(0.9, -0.9, 101), strict=True)))
    ranking = rank(model, task)
    assert ranking.documents.shape == (4, 100)
    found = scores_by_text(task, ranking)
    np.testing.assert_allclose(found["at 10"], [1 / log2(11), 1 / 10, 0, 1, 1 / 10], atol=1e-9)
    np.testing.assert_allclose(found["at 11"], [0, 0, 0, 0, 1 / 11], atol=1e-9)
    np.testing.assert_allclose(found["at 100"], [0, 0, 0, 0, 1 / 100], atol=1e-9)
    np.testing.assert_allclose(found["at 101"], [0, 0, 0, 0, 0], atol=1e-9)


def test_a_query_never_finds_itself():
    """'both' is a query and a document; found as its own best, it would put its positive at rank 2."""
    task, model = task_and_model([("both", "d", []), ("other", "both", [])], {"both": 1.0, "d": 0.5})
    ranking = rank(model, task)
    by_query = dict(
        zip([task.pairs.texts[i] for i in task.queries], ranked_texts(task, ranking), strict=True)
    )
    assert by_query == {"both": ["d", None], "other": ["both", "d"]}
    assert scores_by_text(task, ranking) == {"both": [1] * 5, "other": [1] * 5}


def test_a_query_with_no_document_but_itself_scores_zero():
    task, model = task_and_model([("both", "both", [])], {"both": 1.0})
    ranking = rank(model, task)
    assert ranked_texts(task, ranking) == [[None]]
    assert scores_by_text(task, ranking) == {"both": [0] * 5}


def test_roles_reach_the_model():
    """Embedded in the wrong role, 'x' as a document would be found first."""
    task = RetrievalTask.from_pairs(pairs_of([("q", "d", []), ("x", "d", []), ("q2", "x", [])]), "test")
    model = KnownModel.of(
        {
            **{("anchor", text): (1, 0) for text in ("q", "x", "q2")},
            ("document", "d"): (0.8, 0.6),
            ("document", "x"): (-1, 0),
        }
    )
    counts = []
    ranking = rank(model, task, counts.append)
    assert counts == [3, 2]
    assert ranked_texts(task, ranking)[0] == ["d", "x"]


@settings(max_examples=60)
@given(rows_of_texts(texts=7), st.integers(0, 2**32 - 1))
def test_ranking_and_scores_against_a_plain_version(rows, seed):
    """Every metric from its textbook formula, over rankings made by sorting."""
    task = RetrievalTask.from_pairs(pairs_of(rows), "test")
    texts = task.pairs.texts
    random = np.random.default_rng(seed)
    vectors = random.standard_normal((2, len(texts), 3))
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    model = KnownModel.of(
        {
            (role, texts[i]): vectors[k, i]
            for k, role in enumerate(("anchor", "document"))
            for i in range(len(texts))
        }
    )
    ranking = rank(model, task)
    scores = score(task, ranking)
    positives = {}
    for anchor, positive, _ in rows:
        positives.setdefault(anchor, set()).add(positive)
    documents = {text for _, positive, negatives in rows for text in (positive, *negatives)}
    for row, query in enumerate(texts[i] for i in task.queries):
        relevant = positives[query]
        order = sorted(
            documents - {query},
            key=lambda text: -model.vectors["anchor", query] @ model.vectors["document", text],
        )
        hits = [rank for rank, text in enumerate(order, start=1) if text in relevant]
        ideal = sum(1 / log2(i + 1) for i in range(1, len(relevant) + 1))
        wanted = {
            "nDCG@10": sum(1 / log2(hit + 1) for hit in hits) / ideal,
            "RR@10": 1 / hits[0] if hits else 0,
            "Success@1": float(1 in hits),
            "R@10": len(hits) / len(relevant),
            "AP@100": sum((i + 1) / hit for i, hit in enumerate(hits)) / len(relevant),
        }
        assert [texts[i] for i in ranking.documents[row] if i >= 0] == order
        for name, value in wanted.items():
            assert scores[name][row] == pytest.approx(value, abs=1e-9), name


def test_blocks_of_queries_do_not_show(monkeypatch):
    names = [str(i) for i in range(10)]
    task, model = task_and_model(
        [(f"q{name}", name, []) for name in names], dict(zip(names, np.linspace(1, -1, 10), strict=True))
    )
    whole = rank(model, task)
    monkeypatch.setattr("gistembed.evaluate.retrieval._QUERY_BLOCK", 3)
    blocks = rank(model, task)
    np.testing.assert_array_equal(blocks.documents, whole.documents)
    np.testing.assert_array_equal(blocks.similarities, whole.similarities)


def test_embeddings_are_cut_and_normalised_again():
    """Cosine (0.6, 0.64, 0.48) · (0.6, 0, 0.8) is 0.744 whole, 0.6 / √(0.36 + 0.4096) cut to two numbers.

    Without the second normalisation, the cut one would be 0.36.
    """
    task = RetrievalTask.from_pairs(pairs_of([("q", "near", []), ("q", "far", [])]), "test")
    model = KnownModel.of(
        {
            ("anchor", "q"): (0.6, 0.64, 0.48),
            ("document", "near"): (0.6, 0.0, 0.8),
            ("document", "far"): (0.0, 1.0, 0.0),
        }
    )
    whole, cut = rank_at(model, task, [3, 2])
    assert ranked_texts(task, whole) == [["near", "far"]]
    np.testing.assert_allclose(whole.similarities, [[0.744, 0.64]], atol=1e-6)
    assert ranked_texts(task, cut) == [["far", "near"]]
    length = np.sqrt(0.36 + 0.4096)
    np.testing.assert_allclose(cut.similarities, [[0.64 / length, 0.6 / length]], atol=1e-6)
    np.testing.assert_array_equal(rank(model, task).similarities, whole.similarities)
