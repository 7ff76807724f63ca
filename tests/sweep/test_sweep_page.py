"""The table, the plots and the page of a sweep, from scores by value."""

import json
import re

import pytest
from tests.report.example import CLOSING, SCRIPT

from gistembed.evaluate import aligned, seed_interval
from gistembed.report.figures import over_values
from gistembed.sweep.page import render_sweep
from gistembed.sweep.profiles import marginal, profiles, shown_set
from gistembed.sweep.record import CellRecord, SweepRecord
from gistembed.sweep.table import Row, SetScores, SweepTable
from gistembed.sweep.words import summary_line
from gistembed.sweep.written import as_csv, as_markdown

QUERIES = ("a", "b")


def row_of(settings, scores, *, failed=0, data=("held-out",)):
    """A row with a score for each seed and query; the scores of all data sets are the same."""
    by_seed = {seed: dict(zip(QUERIES, values, strict=True)) for seed, values in scores.items()}
    by_query = dict.fromkeys(data, by_seed) if scores else {}
    sets = {}
    for one in by_query:
        values = aligned([by_seed])[0]
        sets[one] = SetScores("nDCG@10", len(QUERIES), seed_interval(values), seed_interval(values - 0.25))
    return Row(settings, tuple(scores), 2, failed, sets, by_query)


def table_of(rows, axes, *, ranked=False):
    sets = tuple(one for one in ("dev", "held-out") if any(one in row.scores for row in rows))
    why = "" if ranked or not sets else "a reason"
    return SweepTable(axes, tuple(rows), tuple(rows) if ranked else (), 0, why, sets, ("a warning",))


@pytest.fixture
def two_axes():
    """Scores rise by 0.1 with x, and by 0.2 with y; the cells of x 2, y "b" failed."""
    rows = [
        row_of({"x": 1, "y": "a"}, {1: (0.1, 0.3), 2: (0.3, 0.5)}),
        row_of({"x": 1, "y": "b"}, {1: (0.3, 0.5), 2: (0.5, 0.7)}),
        row_of({"x": 2, "y": "a"}, {1: (0.2, 0.4), 2: (0.4, 0.6)}),
        row_of({"x": 2, "y": "b"}, {}, failed=2),
    ]
    return table_of(rows, {"x": [1, 2], "y": ["a", "b"]})


def test_only_what_all_have_is_put_side_by_side():
    """Seed 2 is not in the second, query c not in its seed 1."""
    first = {1: {"a": 0.1, "b": 0.2, "c": 0.3}, 2: {"a": 0.4, "b": 0.5, "c": 0.6}}
    second = {1: {"b": 0.8, "a": 0.7}}
    one, other = aligned([first, second])
    assert one.tolist() == [[0.1, 0.2]]
    assert other.tolist() == [[0.7, 0.8]]
    assert aligned([first, {3: {"a": 0.1}}]) is None
    assert aligned([first, {1: {"z": 0.1}}]) is None


def test_a_marginal_is_over_choices_that_have_all_values(two_axes):
    """With the lonely x 1, y "b" (0.5) in it, the mean at x 1 would be 0.4 and x would seem to harm."""
    means = [one.mean for one in marginal(two_axes, "x", "held-out")]
    assert means == pytest.approx([0.3, 0.4])
    assert [one.mean for one in marginal(two_axes, "y", "held-out")] == pytest.approx([0.3, 0.5])
    assert list(profiles(two_axes, "x", "held-out")) == ["y a", "y b"]
    assert profiles(two_axes, "x", "held-out")["y b"] == [two_axes.rows[1], None]


def test_without_a_whole_choice_there_is_no_mean():
    table = table_of([row_of({"x": 1}, {1: (0.1, 0.3)}), row_of({"x": 2}, {}, failed=1)], {"x": [1, 2]})
    assert marginal(table, "x", "held-out") is None
    figure = over_values(
        ["1", "2"], {"the base": [table.rows[0].scores["held-out"].score, None]}, None, ("x", "y")
    )
    assert [list(trace.x) for trace in figure.data] == [["1"]]
    assert list(figure.layout.xaxis.categoryarray) == ["1", "2"]


def test_plots_are_of_what_chose():
    rows = [row_of({"x": x}, {1: (0.1, 0.3)}, data=("dev", "held-out")) for x in (1, 2)]
    assert shown_set(table_of(rows, {"x": [1, 2]}, ranked=True)) == "dev"
    assert shown_set(table_of(rows, {"x": [1, 2]})) == "held-out"
    assert shown_set(table_of([row_of({"x": 1}, {})], {"x": [1]})) is None


def test_the_last_line_names_the_best_and_what_is_missing():
    rows = [
        row_of({"x": 0.5}, {1: (0.4, 0.4), 2: (0.4, 0.4)}, data=("dev", "held-out")),
        row_of({"x": 0.1}, {1: (0.2, 0.2)}, failed=1, data=("dev", "held-out")),
    ]
    assert summary_line(table_of(rows, {"x": [0.1, 0.5]}, ranked=True)) == (
        "best by dev nDCG@10 of 2 settings: x 0.5: dev 0.400 [0.400, 0.400], alone in front; held-out "
        "nDCG@10 0.400 [0.400, 0.400], +0.150 [+0.150, +0.150] against the student before training; "
        "the held-out pairs chose nothing; 1 of 4 cells failed"
    )


def test_the_last_line_says_why_nothing_is_ranked(two_axes):
    assert summary_line(two_axes) == (
        "nothing is ranked: a reason, and held-out pairs are not for choosing; 2 of 8 cells failed"
    )
    assert summary_line(table_of([row_of({"x": 1}, {})], {"x": [1]})) == (
        "no cell is finished; 2 of 2 cells are not finished"
    )


def test_files_say_which_set_each_number_is_of(two_axes):
    lines = as_csv(two_axes).splitlines()
    assert lines[0] == (
        "x,y,seeds,cells,failed,held-out metric,held-out queries,held-out score,held-out score low,"
        "held-out score high,held-out gain,held-out gain low,held-out gain high,held-out against first,"
        "held-out against first low,held-out against first high,held-out verdict against first"
    )
    assert lines[1].startswith("1,a,1 2,2,0,nDCG@10,2,0.300000,")
    assert lines[4] == "2,b,,2,2,,,,,,,,,,,,"
    assert as_markdown(two_axes).splitlines()[-3:] == [
        "| 2 | b | 0 of 2, 2 failed |  |  |  |",
        "",
        "- a warning",
    ]


@pytest.fixture
def hostile():
    """A page whose values, errors and settings are all markup."""
    names = {SCRIPT: 0.1, CLOSING: 0.2}
    rows = [row_of({"guide": name, "x": 1}, {1: (score, score)}) for name, score in names.items()]
    table = table_of(rows, {"guide": list(names), "x": [1]})
    cells = [
        CellRecord(name="a,b=<i>", settings={"guide": SCRIPT, "x": 1}, seed=1, status="finished"),
        CellRecord(name="b", settings={"guide": CLOSING, "x": 1}, seed=1, status="failed", error=SCRIPT),
    ]
    record = SweepRecord(
        status="failed", base={"data": SCRIPT}, axes={"guide": list(names), "x": [1]}, seeds=[1], cells=cells
    )
    return render_sweep(record, table, "summary")


def test_nothing_of_a_user_is_markup(hostile):
    assert SCRIPT not in hostile
    assert CLOSING not in hostile
    assert "<i>" not in hostile.partition('id="cells"')[2].partition("</section>")[0]
    charts = json.loads(re.search(r'id="charts">(.*?)</script>', hostile, re.DOTALL)[1])
    labels = charts["axis-0"]["layout"]["xaxis"]["categoryarray"]
    assert labels[0] == "&lt;script&gt;alert(1)&lt;/script&gt;"
    assert "failed: &lt;script&gt;" in hostile


def test_each_finished_cell_has_its_report(hostile):
    assert '<a href="cells/a%2Cb%3D%3Ci%3E/report.html">finished</a>' in hostile


def test_the_terminal_has_room_for_every_number():
    """In 80 columns, with two axes, dev, and the longest that a number can be."""
    from io import StringIO

    from rich.console import Console

    from gistembed.cli.tables import settings_table

    rows = [
        row_of({"learning_rate": 0.002, "temperature": 0.02}, {1: (0.1, 0.3)}, data=("dev", "held-out")),
        row_of(
            {"learning_rate": 0.002, "temperature": 0.1}, {1: (0.2, 0.4)}, failed=1, data=("dev", "held-out")
        ),
    ]
    table = table_of(rows, {"learning_rate": [0.002], "temperature": [0.02, 0.1]}, ranked=True)
    file = StringIO()
    Console(file=file, width=80).print(settings_table(table))
    assert "…" not in file.getvalue()
    assert "0.100 to 0.300" in file.getvalue()
    assert "1 of 2 cells" in file.getvalue()
