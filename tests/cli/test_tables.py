"""The tables of scores and of stores in a terminal of eighty columns."""

import io

import pytest
from rich.console import Console

from gistembed.cli.tables import score_table, store_table
from gistembed.evaluate import METRICS
from gistembed.record import Comparison, EvaluationRecord, Interval

MODELS = {"base": 0.412, "unguided": 0.55, "guided": 0.601}


def evaluation(data="held-out", models=MODELS, spread=0.025):
    def compared(challenger, baseline):
        gain = models[challenger] - models[baseline]
        return Comparison(
            baseline=baseline,
            challenger=challenger,
            metric=METRICS[0],
            difference=Interval(mean=gain, low=gain - spread, high=gain + spread),
            confidence=0.95,
            verdict="not distinguishable",
            wins=1,
            losses=0,
            ties=0,
        )

    couples = [("guided", "base"), ("guided", "unguided"), ("unguided", "base")]
    return EvaluationRecord(
        data=data,
        source="pairs.csv",
        metric=METRICS[0],
        queries=1_000_000,
        documents=10_000_000,
        scores={
            model: {metric: Interval(mean=mean, low=mean, high=mean) for metric in METRICS}
            for model, mean in models.items()
        },
        comparisons=[compared(*couple) for couple in couples if set(couple) <= set(models)],
    )


def lines_of(table):
    screen = io.StringIO()
    Console(file=screen, width=80).print(table)
    return [line.strip() for line in screen.getvalue().splitlines()]


def test_all_three_models_by_value():
    title, _, head, _, *rows, _, caption = lines_of(score_table(evaluation()))
    assert title == "held-out: 1,000,000 queries, 10,000,000 documents"
    assert [cell.strip() for cell in head.strip("┃").split("┃")] == [
        *("model", "nDCG@10", "RR@10", "Success@1", "nDCG@10 against base"),
    ]
    assert [[cell.strip() for cell in row.strip("│").split("│")] for row in rows] == [
        ["base", "0.412", "0.412", "0.412", ""],
        ["unguided", "0.550", "0.550", "0.550", "+0.138 [+0.113, +0.163]"],
        ["guided", "0.601", "0.601", "0.601", "+0.189 [+0.164, +0.214]"],
    ]
    assert caption == "guided vs unguided: not distinguishable, +0.051 [+0.026, +0.076]"


@pytest.mark.parametrize("data", ["held-out", "retention"])
def test_extreme_values_do_not_wrap(data):
    """One line each: the title, the caption, three rules, the head and a row for each model."""
    models = {"base": 1.0, "unguided": 0.0, "guided": 0.0}
    lines = lines_of(score_table(evaluation(data, models, spread=1)))
    assert len(lines) == 5 + 1 + len(models)
    assert all(len(line) <= 80 for line in lines)
    assert lines[-1] == "guided vs unguided: not distinguishable, +0.000 [-1.000, +1.000]"


def test_one_trained_model_has_no_caption():
    models = {"base": 0.4, "guided": 0.5}
    table = score_table(evaluation(models=models))
    assert table.caption is None
    assert len(lines_of(table)) == 4 + 1 + len(models)


def test_stores_say_what_tells_them_apart():
    """The name as it is, never read as markup; the backend where it isn't the usual one."""
    known = {
        "vectors": 12_345,
        "dimensions": 384,
        "files": 3,
        "bytes": 9_700_000,
        "damaged": {},
        "unreadable": {},
    }
    rows = [
        known | {"guide": "[red]", "folder": "store/0123456789", "dtype": "float16", "backend": "torch"},
        known | {"guide": "m", "folder": "store/abcdefghij", "dtype": "int8", "backend": "openvino"},
    ]
    lines = lines_of(store_table(rows))
    first = next(line for line in lines if "01234567" in line)
    second = next(line for line in lines if "abcdefgh" in line)
    assert [cell.strip() for cell in first.strip("│").split("│")] == [
        *("[red]", "01234567", "12,345", "384 float16", "3", "9.7", "0")
    ]
    assert second.startswith("│ m, openvino")
