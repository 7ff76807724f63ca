"""Several models on one task, the line that says what came of it, and the built-in retention set."""

import json

import numpy as np
from tests.pairs.pairs_samples import pairs_of

from gistembed.evaluate import (
    METRICS,
    ModelScores,
    Ranking,
    RetrievalTask,
    evaluation_record,
    mean_interval,
    retention_path,
    verdict_line,
)
from gistembed.pairs import read_pairs
from gistembed.record import Comparison, EvaluationRecord, Interval

QUERIES = 11


def task_of_queries(count=QUERIES):
    return RetrievalTask.from_pairs(
        pairs_of([(f"q{i:02d}", f"d{i:02d}", []) for i in range(count)]), "my questions"
    )


def model_of(task, ndcg, tops=None):
    """Scores as given for the first metric, constants for the others; the top document as given."""
    texts = {task.pairs.texts[i]: int(i) for i in task.documents}
    top = [texts[name] for name in tops or ["d00"] * len(task.queries)]
    scores = {name: np.full(len(task.queries), 0.5) for name in METRICS} | {METRICS[0]: np.array(ndcg)}
    return ModelScores(Ranking(np.array(top)[:, None], np.zeros((len(top), 1), np.float32)), scores)


def test_comparisons_come_in_order_of_importance():
    task = task_of_queries()
    base, unguided, guided = np.zeros(QUERIES), np.linspace(0.1, 0.5, QUERIES), np.linspace(0.2, 0.9, QUERIES)
    models = {"base": base, "unguided": unguided, "guided": guided}
    record = evaluation_record(
        "held-out", task, {name: model_of(task, scores) for name, scores in models.items()}
    )
    couples = [(one.baseline, one.challenger) for one in record.comparisons]
    assert couples == [("base", "guided"), ("unguided", "guided"), ("base", "unguided")]
    means = [one.difference.mean for one in record.comparisons]
    np.testing.assert_allclose(means, [0.55, 0.25, 0.3])
    assert (record.data, record.source, record.metric) == ("held-out", "my questions", "nDCG@10")
    assert (record.queries, record.documents) == (QUERIES, QUERIES)
    assert list(record.scores) == ["base", "unguided", "guided"]
    assert list(record.scores["guided"]) == list(METRICS)
    assert record.scores["guided"]["nDCG@10"] == mean_interval(guided)
    assert record.scores["guided"]["R@10"] == Interval(mean=0.5, low=0.5, high=0.5)


def test_one_trained_model_is_compared_with_base_alone():
    task = task_of_queries(2)
    record = evaluation_record(
        "retention", task, {"base": model_of(task, [0.5, 0.5]), "guided": model_of(task, [0.5, 0.6])}
    )
    assert [(one.baseline, one.challenger) for one in record.comparisons] == [("base", "guided")]


def test_the_queries_that_changed_most():
    """Nine gained and only eight are shown, the largest gain first; the unchanged one is in neither list."""
    task = task_of_queries()
    before = np.full(QUERIES, 0.3)
    after = before + np.array([-0.2, 0, *np.arange(1, 10) / 20])
    tops = ["d00", *["d05"] * (QUERIES - 1)]
    models = {"base": model_of(task, before, tops), "guided": model_of(task, after)}
    record = evaluation_record("held-out", task, models)
    assert [change.query for change in record.improved] == [f"q{i:02d}" for i in range(10, 2, -1)]
    first = record.improved[0]
    assert (first.relevant, first.others, first.top_before, first.top_after) == ("d10", 0, "d05", "d00")
    assert [(one.query, one.right_before) for one in record.improved if one.right_before] == [("q05", True)]
    assert not any(one.right_after for one in record.improved)
    np.testing.assert_allclose([first.before, first.after], [0.3, 0.75])
    (lost,) = record.worsened
    assert (lost.query, lost.relevant, lost.top_before, lost.top_after) == ("q00", "d00", "d00", "d00")
    assert lost.right_before
    assert lost.right_after
    np.testing.assert_allclose([lost.before, lost.after], [0.3, 0.1])


def test_losses_are_listed_from_the_largest():
    task = task_of_queries(3)
    models = {"base": model_of(task, [0.9, 0.9, 0.9]), "guided": model_of(task, [0.8, 0.1, 0.5])}
    record = evaluation_record("held-out", task, models)
    assert record.improved == []
    assert [change.query for change in record.worsened] == ["q01", "q02", "q00"]


def test_further_positives_are_counted():
    """Found at the top is any of them, not only the one that is shown."""
    task = RetrievalTask.from_pairs(pairs_of([("q", "d1", []), ("q", "d2", []), ("q", "d3", ["n"])]), "x")
    models = {"base": model_of(task, [0.1], ["n"]), "guided": model_of(task, [0.9], ["d3"])}
    (change,) = evaluation_record("held-out", task, models).improved
    assert (change.relevant, change.others, change.right_before, change.right_after) == ("d1", 2, False, True)


def evaluation(data, queries, before, after, low, high, verdict):
    def level(mean):
        return {"nDCG@10": Interval(mean=mean, low=mean, high=mean)}

    return EvaluationRecord(
        data=data,
        source="pairs.csv",
        metric="nDCG@10",
        queries=queries,
        documents=queries,
        scores={"base": level(before), "guided": level(after)},
        comparisons=[
            Comparison(
                baseline="base",
                challenger="guided",
                metric="nDCG@10",
                difference=Interval(mean=after - before, low=low, high=high),
                confidence=0.95,
                verdict=verdict,
                wins=1,
                losses=0,
                ties=0,
            )
        ],
    )


def test_verdict_line():
    held_out = evaluation("held-out", 1234, 0.5, 0.5625, 0.0414, 0.083, "better")
    retention = evaluation("retention", 240, 0.9, 0.8954, -0.012, 0.0031, "not distinguishable")
    assert verdict_line([held_out]) == (
        "better: nDCG@10 0.500 → 0.562 on 1,234 held-out queries (+0.062, 95% interval +0.041 to +0.083)"
    )
    assert verdict_line([held_out, retention]) == (
        "better: nDCG@10 0.500 → 0.562 on 1,234 held-out queries (+0.062, 95% interval +0.041 to +0.083); "
        "retention not distinguishable: 0.900 → 0.895 (-0.005, 95% interval -0.012 to +0.003)"
    )


def test_verdict_line_of_few_queries():
    """The reason stands with the data set that it is about."""
    few = evaluation("held-out", 19, 0.5, 0.75, 0.1, 0.4, "not distinguishable")
    enough = evaluation("held-out", 20, 0.5, 0.75, 0.1, 0.4, "better")
    kept = evaluation("retention", 240, 0.9, 0.9, -0.1, 0.1, "not distinguishable")
    few_kept = evaluation("retention", 3, 0.9, 0.9, 0.0, 0.0, "not distinguishable")
    assert verdict_line([few, kept]) == (
        "not distinguishable: nDCG@10 0.500 → 0.750 on 19 held-out queries "
        "(+0.250, 95% interval +0.100 to +0.400); fewer than 20 queries decide nothing; "
        "retention not distinguishable: 0.900 → 0.900 (+0.000, 95% interval -0.100 to +0.100)"
    )
    assert verdict_line([enough, few_kept]) == (
        "better: nDCG@10 0.500 → 0.750 on 20 held-out queries (+0.250, 95% interval +0.100 to +0.400); "
        "retention not distinguishable: 0.900 → 0.900 (+0.000, 95% interval +0.000 to +0.000); "
        "fewer than 20 queries decide nothing"
    )


def test_the_retention_set():
    lines = retention_path().read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) >= 200
    assert all(set(row) == {"anchor", "positive"} for row in rows)
    texts = [text for row in rows for text in row.values()]
    assert len({text.casefold() for text in texts}) == len(texts), "a text stands there twice"
    assert all(text == " ".join(text.split()) and 10 <= len(text) <= 400 for text in texts)
    pairs = read_pairs(retention_path())
    assert (len(pairs), pairs.dropped, pairs.columns.ignored) == (len(rows), {}, ())
