"""Scores of each kind of task, against values worked out by hand or by loops in double precision."""

from math import log2

import numpy as np
import pytest
from tests.evaluate.known_vectors import embed_of, random_vectors

from gistembed.evaluate.measures import measured
from gistembed.evaluate.scorers import ranked as ranked_module
from gistembed.evaluate.scorers import score_task
from gistembed.evaluate.scorers.bitext import matched
from gistembed.evaluate.scorers.graded import classified, correlated
from gistembed.evaluate.scorers.labelled import few_shots
from gistembed.evaluate.tasks import Bitext, Classification, Clustering, GradedPairs, Reranking, Retrieval
from gistembed.pairs import Texts


def numbered(*texts):
    table = Texts()
    return table, table.add_all(list(texts))


def retrieval(queries, documents, judged):
    """A task from texts; the judgements are (query, document, grade) by number."""
    texts = Texts()
    names = Texts()
    names.add_all([f"d{number}" for number in range(len(documents))])
    judged = np.array(judged, np.int64).reshape(-1, 3)
    return Retrieval(
        "task",
        texts,
        tuple(f"q{number}" for number in range(len(queries))),
        texts.add_all(list(queries)),
        names,
        texts.add_all(list(documents)),
        *judged.T,
    )


def test_retrieval_by_hand_with_grades():
    """Ranking d0 d1 d2; d1 is graded 2 and d2 1: a binary nDCG would be another number."""
    task = retrieval(["q"], ["a", "b", "c"], [(0, 1, 2), (0, 2, 1), (0, 0, 0)])
    embed = embed_of({"q": (1, 0), "a": (5, 0.1), "b": (3, 1), "c": (1, 1)})
    scored = score_task(task, embed)
    ndcg = (2 / log2(3) + 1 / log2(4)) / (2 + 1 / log2(3))
    wanted = {
        "ndcg_at_10": ndcg,
        "map_at_10": (1 / 2 + 2 / 3) / 2,
        "recall_at_1": 0,
        "recall_at_3": 1,
        "precision_at_3": 2 / 3,
        "mrr_at_10": 1 / 2,
        "hit_rate_at_1": 0,
    }
    for name, value in wanted.items():
        assert scored.metrics[name] == pytest.approx(value, abs=1e-12), name
    assert scored.items["query_id"] == ("q0",)
    assert scored.items["found_first"] == ["a"]
    assert scored.items["ndcg_at_10"] == pytest.approx([ndcg], abs=1e-12)
    assert embed.seen == [("query", "q"), *(("document", text) for text in "abc")]


def test_equal_cosines_are_ordered_alike_under_every_measure():
    """ir-measures' reciprocal rank and nDCG break ties in two ways: 1 and 0.63 for one ranking."""
    names = {"rr": "RR@10", "ap": "AP@100", "hit": "Success@1"}
    judged, found = [("q", "a", 1)], [("q", "a", 0.5), ("q", "b", 0.5)]
    scores = measured(names, ["q"], judged, found)
    assert {name: values.tolist() for name, values in scores.items()} == {
        "rr": [0.5],
        "ap": [0.5],
        "hit": [0.0],
    }


def test_a_query_s_own_text_is_found_only_where_it_is_judged_relevant():
    vectors = {"q": (1, 0), "other": (1, 0.1)}
    asked = retrieval(["q"], ["q", "other"], [(0, 1, 1)])
    assert score_task(asked, embed_of(vectors)).metrics["hit_rate_at_1"] == 1
    judged = retrieval(["q"], ["q", "other"], [(0, 0, 1)])
    assert score_task(judged, embed_of(vectors)).metrics["hit_rate_at_1"] == 1


def test_documents_in_blocks_are_ranked_as_all_at_once(monkeypatch):
    """300 documents in blocks of 64: a block's numbers that start at 0 again would find other documents."""
    documents = [f"document {number}" for number in range(300)]
    queries = [f"query {number}" for number in range(20)]
    vectors = random_vectors(documents + queries)
    judged = [(query, (7 * query + step) % 300, 1) for query in range(20) for step in range(5)]
    task = retrieval(queries, documents, judged)
    whole = score_task(task, embed_of(vectors))
    monkeypatch.setattr(ranked_module, "DOCUMENT_BLOCK", 64)
    monkeypatch.setattr(ranked_module, "_EMBEDDED_AT_ONCE", 128)
    sizes = []
    embed = embed_of(vectors)

    def counting(texts, use):
        sizes.append(len(texts))
        return embed(texts, use)

    assert score_task(task, counting).metrics == whole.metrics
    assert sizes == [20, 128, 128, 44]
    cosines = [
        [
            np.dot(vectors[q], vectors[d]) / np.linalg.norm(vectors[q]) / np.linalg.norm(vectors[d])
            for d in documents
        ]
        for q in queries
    ]
    for row, order in enumerate(np.argsort(-np.array(cosines), axis=1)):
        relevant = {document for query, document, _ in judged if query == row}
        recall = len(relevant.intersection(order[:20].tolist())) / 5
        assert whole.items["recall_at_20"][row] == pytest.approx(recall)


def test_reranking_by_hand():
    """Query 1's candidates are those of no other query: ranked among all, 'far' would come third."""
    texts, ids = numbered("p", "q", "right", "wrong", "far", "farther")
    task = Reranking(
        "task",
        texts,
        ids[:2],
        np.array([0, 2, 4]),
        ids[[2, 3, 4, 5]],
        np.array([True, False, True, False]),
    )
    vectors = {
        "p": (1, 0),
        "q": (1, 0),
        "right": (1, 1),
        "wrong": (1, 0.5),
        "far": (0, 1),
        "farther": (-1, 0),
    }
    scored = score_task(task, embed_of(vectors))
    assert scored.items["map_at_100"].tolist() == [0.5, 1.0]
    assert scored.metrics["mrr_at_10"] == 0.75


def test_equally_similar_candidates_are_no_success():
    texts, ids = numbered("q", "right", "wrong")
    task = Reranking("task", texts, ids[:1], np.array([0, 2]), ids[1:], np.array([True, False]))
    scored = score_task(task, embed_of({"q": (1, 0), "right": (1, 1), "wrong": (1, 1)}))
    assert scored.metrics["map_at_100"] == 0.5


def rank_correlation(first, second):
    """Spearman from its definition, with mean ranks for ties."""

    def ranks(values):
        return np.array([np.mean([(v < w) + 0.5 * (v == w) for v in values]) for w in values])

    a, b = (ranks(values) - ranks(values).mean() for values in (first, second))
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def test_sts_is_the_rank_correlation_of_cosines():
    names = [f"text {number}" for number in range(40)]
    texts, ids = numbered(*names)
    grades = np.random.default_rng(3).integers(0, 6, 20).astype(float)
    vectors = random_vectors(names)
    embed = embed_of(vectors)
    scored = score_task(GradedPairs("task", texts, ids[:20], ids[20:], grades, False), embed)
    cosines = [
        np.dot(vectors[a], vectors[b]) / np.linalg.norm(vectors[a]) / np.linalg.norm(vectors[b])
        for a, b in zip(names[:20], names[20:], strict=True)
    ]
    assert scored.metrics["cosine_spearman"] == pytest.approx(rank_correlation(cosines, grades), abs=1e-9)
    np.testing.assert_allclose(scored.items["cosine"], cosines, atol=1e-6)
    assert scored.items["score"].tolist() == grades.tolist()
    assert {use for use, _ in embed.seen} == {"text"}
    assert len(embed.seen) == 40


def test_cosines_that_are_all_the_same_correlate_with_nothing():
    assert correlated(np.ones(3), np.array([0.0, 1.0, 2.0]))["cosine_spearman"] == 0.0


def test_pair_classification_by_hand():
    """By falling cosine: 1 0 1 0 0. AP = (1 + 2/3) / 2; best accuracy 4/5 after the first; best F1 0.8."""
    cosines = np.array([0.1, 0.9, 0.2, 0.7, 0.8])
    belong = np.array([False, True, False, True, False])
    wanted = {"cosine_ap": (1 + 2 / 3) / 2, "cosine_accuracy": 4 / 5, "cosine_f1": 0.8}
    assert classified(cosines, belong) == pytest.approx(wanted)


def test_a_threshold_never_parts_equal_cosines():
    """Between the two 0.9 no threshold fits: parted, the accuracy would be 1."""
    found = classified(np.array([0.9, 0.9, 0.1]), np.array([True, False, False]))
    assert found == pytest.approx({"cosine_ap": 0.5, "cosine_accuracy": 2 / 3, "cosine_f1": 2 / 3})


def test_pair_classification_of_a_task():
    texts, ids = numbered("a", "b", "c", "d")
    task = GradedPairs("task", texts, ids[:2], ids[2:], np.array([1.0, 0.0]), True)
    scored = score_task(task, embed_of({"a": (1, 0), "b": (1, 0), "c": (2, 0), "d": (0, 1)}))
    assert scored.metrics["cosine_ap"] == 1
    assert scored.items["label"].tolist() == [1.0, 0.0]


def test_bitext_f1_by_hand():
    """Sentence 2 finds the translation of 0: 0's precision is 1/2, its F1 2/3; 1 is right; 2's F1 is 0."""
    metrics, f1 = matched(np.array([0, 1, 0]))
    assert f1.tolist() == pytest.approx([2 / 3, 1, 0])
    assert metrics == pytest.approx({"f1": 5 / 9, "accuracy": 2 / 3, "precision": 1 / 2, "recall": 2 / 3})


def test_bitext_of_a_task():
    texts, ids = numbered("one", "two", "eins", "zwei")
    task = Bitext("task", texts, ids[:2], ids[2:])
    vectors = {"one": (1, 0), "two": (0, 1), "eins": (9, 1), "zwei": (1, 1)}
    scored = score_task(task, embed_of(vectors))
    assert scored.metrics["f1"] == 1
    assert scored.items["found"] == ["eins", "zwei"]


def test_few_shots_are_8_of_each_class_in_ten_draws():
    labels = np.array([0] * 30 + [1] * 5)
    draws = few_shots(labels)
    assert [np.bincount(labels[draw]).tolist() for draw in draws] == [[8, 5]] * 10
    assert len({tuple(sorted(draw.tolist())) for draw in draws}) > 5


def labelled_task(kind):
    """Two classes along the two axes, with noise."""
    names = [f"text {number}" for number in range(80)]
    texts, ids = numbered(*names)
    labels = np.arange(80) % 2
    rng = np.random.default_rng(0)
    vectors = {
        name: np.eye(2)[label] + rng.normal(0, 0.3, 2) for name, label in zip(names, labels, strict=True)
    }
    if kind is Classification:
        return Classification(
            "task", texts, ("0", "1"), ids[:40], labels[:40], ids[40:], labels[40:]
        ), vectors
    return Clustering("task", texts, ("0", "1"), ids, labels), vectors


def test_classification_is_the_mean_over_experiments_and_over_texts():
    task, vectors = labelled_task(Classification)
    scored = score_task(task, embed_of(vectors))
    assert len(scored.experiments) == 10
    assert scored.metrics["accuracy"] == pytest.approx(np.mean(scored.items["accuracy"]))
    assert scored.metrics["accuracy"] == pytest.approx(
        np.mean([one["accuracy"] for one in scored.experiments])
    )
    assert scored.metrics["accuracy"] > 0.8
    assert score_task(task, embed_of(random_vectors(vectors))).metrics["accuracy"] < 0.7
    assert scored.items["text"][0] == "text 40"
    assert scored.items["label"][:2] == ["0", "1"]


def test_texts_of_one_embedding_are_no_clusters():
    """Warned of by the library, which would end a test."""
    task, vectors = labelled_task(Clustering)
    same = dict.fromkeys(vectors, np.ones(2))
    assert score_task(task, embed_of(same)).metrics["v_measure"] == 0


def test_one_document_is_found():
    task = retrieval(["q"], ["a"], [(0, 0, 1)])
    assert score_task(task, embed_of({"q": (1, 0), "a": (0, 0)})).metrics["ndcg_at_10"] == 1


def test_clustering_tells_classes_apart():
    task, vectors = labelled_task(Clustering)
    scored = score_task(task, embed_of(vectors))
    assert scored.metrics["v_measure"] > 0.5
    assert scored.metrics["v_measure"] == pytest.approx(np.mean(scored.items["v_measure"]))
    assert len(scored.items["sample"]) == 10
    noise = random_vectors(vectors)
    assert score_task(task, embed_of(noise)).metrics["v_measure"] < 0.2
