"""What names stand for, and one line for every mistake in them."""

import json

import numpy as np
import pytest
from tests.compare.compare_samples import simple_run, write_run, write_scores

from gistembed.compare import compare_models
from gistembed.compare.sides import read_sides
from gistembed.errors import UserError
from gistembed.folder import write_record
from gistembed.sweep.record import CellRecord, SweepRecord

VALUES = [0.6] * 30


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with runs of two settings."""
    monkeypatch.chdir(tmp_path)
    for name in ("plain", "guided"):
        for seed in (1, 2):
            simple_run(tmp_path / "runs" / f"{name}-{seed}", VALUES, seed=seed, loss=name)
    return tmp_path


def named(*given, scores=None):
    return [
        (side.name, [model.place for model in side.models], side.seeds) for side in read_sides(given, scores)
    ]


def refusal(*given, **more):
    with pytest.raises(UserError) as error:
        compare_models(given, **more)
    return str(error.value)


def test_a_side_is_a_run_or_several(here):
    plain = ["runs/plain-1", "runs/plain-2"]
    assert named("runs/plain-1", "runs/guided-1#base") == [
        ("plain-1", ["runs/plain-1"], [1]),
        # Before training, no seed has done anything.
        ("guided-1#base", ["runs/guided-1#base"], []),
    ]
    assert named("a=runs/plain-*", "b=runs/guided-1,runs/guided-2") == [
        ("a", plain, [1, 2]),
        ("b", ["runs/guided-1", "runs/guided-2"], [1, 2]),
    ]
    assert named("runs/plain-*", f"{here}/runs/guided-[1]")[0] == ("plain-*", plain, [1, 2])
    assert named("a=runs/plain-*#base", "runs/guided-1")[0][1] == [f"{one}#base" for one in plain]


def test_a_sweep_is_all_of_its_settings(here):
    """Cells have commas and equals signs in their names; a row without finished cells is no side."""
    cells = []
    for rate, seed, status in (
        (0.1, 1, "finished"),
        (0.1, 2, "finished"),
        (0.2, 1, "finished"),
        (0.3, 1, "failed"),
    ):
        name = f"rate={rate},seed={seed}"
        cells.append(CellRecord(name=name, settings={"rate": rate}, seed=seed, status=status))
        if status == "finished":
            simple_run(here / "sweep" / "cells" / name, VALUES, seed=seed)
    record = SweepRecord(status="failed", base={}, axes={"rate": [0.1, 0.2, 0.3]}, seeds=[1, 2], cells=cells)
    write_record(here / "sweep" / "sweep.json", record)
    first = [f"sweep/cells/rate=0.1,seed={seed}" for seed in (1, 2)]
    assert named("sweep") == [
        ("rate 0.1", first, [1, 2]),
        ("rate 0.2", ["sweep/cells/rate=0.2,seed=1"], [1]),
    ]
    assert named("slow=sweep/cells/rate=0.1,seed=*", "runs/plain-1")[0] == ("slow", first, [1, 2])
    assert named("sweep/cells/rate=0.1,seed=1", "runs/plain-1")[0][1] == first[:1]
    assert refusal("a=sweep", "runs/plain-1") == (
        "compare sweep: a sweep stands for all of its settings; without NAME=, or for one of them: "
        "NAME='sweep/cells/SETTINGS,seed=*'"
    )
    (here / "sweep" / "sweep.json").write_text("{")
    assert refusal("sweep") == (
        "sweep: its sweep.json can't be read by this version; compare sweeps that it made"
    )


def test_mistakes_in_names(here):
    assert refusal("runs/plain-1") == (
        "compare: give at least two; the model that a run began with is RUN#base: gistembed compare RUN#base "
        "RUN"
    )
    assert refusal("runs/plain-1", "runs/plain-1") == "compare runs/plain-1: given twice; give each once"
    assert refusal("a=runs/plain-1", "a=runs/plain-2") == (
        "compare: two are called a; write NAME=… before one of them"
    )
    assert refusal("a=runs/none-*", "runs/plain-1") == (
        "compare a=runs/none-*: nothing is called runs/none-*; name folders that are there"
    )
    assert refusal("runs/plain**", "runs/plain-1") == (
        "compare runs/plain**: nothing is called runs/plain**; name folders that are there"
    )
    assert refusal("a=runs/plain-1,runs/guided-1", "runs/plain-2") == (
        "compare a=…: runs/plain-1 and runs/guided-1 both have the seed 1; leave one out"
    )
    assert refusal("a=runs/plain-1#guided,runs/plain-1#base", "runs/guided-1") == (
        "compare a=…: runs/plain-1#guided and runs/plain-1#base both have the seed 1; leave one out"
    )
    for name in ("x", "y"):
        write_scores(here / name, "t", {"query": ["a"], "ndcg_at_10": [0.5]})
    assert refusal("a=x,y", "runs/guided-1") == (
        "compare a=…: the seed of x is not recorded; several models on one side come from runs of "
        "`gistembed fit` that differ in their seed"
    )
    assert refusal("runs/plain-1#best", "runs/plain-2") == (
        "runs/plain-1#best: this run has no such model; choose one of base, guided"
    )


def test_runs_that_differ_in_more_than_their_seed_are_said_to(here):
    result = compare_models(["runs/plain-1", "mixed=runs/plain-1,runs/guided-2"])
    assert result.record.warnings == [
        "mixed: its runs differ in loss too, not in their seed alone",
        "mixed: 1 of 2 seeds left out, as not all have them (2)",
        "with one seed, intervals are over queries alone: another seed may change more than they say",
    ]


def test_what_is_no_run(here):
    (here / "model").mkdir()
    assert refusal("model", "runs/plain-1") == (
        "compare model: no run of `gistembed fit`; of a model, say with --scores where it was scored: "
        "gistembed evaluate model --data PATH --out scores"
    )
    simple_run(here / "half", VALUES, status="interrupted")
    assert refusal("half", "runs/plain-1") == (
        "half: this run is interrupted, not finished; finish it with --resume first"
    )
    (here / "runs" / "plain-2" / "scores.parquet").unlink()
    assert refusal("runs/plain-2", "runs/plain-1") == (
        "runs/plain-2: its scores.parquet can't be read; runs of this version leave one, so train it again"
    )
    (here / "runs" / "plain-2" / "run.json").write_text("{")
    assert refusal("runs/plain-2", "runs/plain-1") == (
        "runs/plain-2: its run.json can't be read by this version; compare runs that it made"
    )


def test_dev_scores_are_no_evidence(here):
    """A run with dev scores besides: they are not in the comparison; one with them alone is refused."""
    scores = {(data, model): VALUES for data in ("dev", "held-out") for model in ("base", "guided")}
    write_run(here / "both", scores)
    result = compare_models(["runs/plain-1", "both"])
    assert [effect.task for effect in result.record.challengers[0].effects] == ["held-out"]
    write_run(here / "dev", {key: values for key, values in scores.items() if key[0] == "dev"})
    assert refusal("dev", "runs/plain-1") == (
        "dev: has dev scores only, which chose the model and are no evidence; compare runs that were scored "
        "on held-out pairs"
    )


def test_runs_with_other_held_out_pairs(here):
    """Of 40 queries the other run has 30; none, and there is nothing to compare."""
    hint = "(runs with one split_seed hold the same pairs out)"
    simple_run(here / "other", [0.7] * 40, digest="b")
    record = compare_models(["runs/plain-1", "other"]).record
    assert record.challengers[0].effects[0].items == 30
    assert record.warnings[0] == (
        "held-out: not all were scored on the same data; the 30 queries that all have (of up to 40) are "
        f"compared, and what else was in the data may differ {hint}"
    )
    simple_run(here / "none", [0.7], digest="b", prefix="another")
    assert refusal("runs/plain-1", "none") == (
        "compare: nothing that all were scored on (held-out: left out, as it is of other data for some, and "
        f"no queries are in all {hint}); score all on the same data"
    )


def test_folders_of_results_are_sides(here):
    """Without the models: their scores are all that is needed."""
    columns = {"query_id": ["1", "2"] * 15, "query": ["a", "b"] * 15, "found_first": [None, "x"] * 15}
    for name, score in (("a", 0.2), ("b", 0.4)):
        write_scores(here / name / "r", "t", columns | {"ndcg_at_10": np.full(30, score)})
    result = compare_models(["a/r", "b/r"])
    (effect,) = result.record.challengers[0].effects
    assert (effect.task, effect.metric, effect.items, effect.verdict) == ("t", "ndcg_at_10", 30, "better")
    assert [one.found_after for one in effect.gains] == [None, "x", None, "x", None]
    path = here / "b" / "r" / "t.json"
    path.write_text("{")
    assert refusal("a/r", "b/r") == (
        f"b/r/{path.name}: this result can't be read; remove it and score the model again with "
        "`gistembed evaluate`"
    )


def test_queries_of_pairs_meet_by_their_text(here):
    """One row in front gives every query another number, and they are the same 30 queries."""
    for name, texts in (("a", [f"text {row}" for row in range(30)]), ("b", ["new"])):
        texts = texts if name == "a" else texts + [f"text {row}" for row in range(30)]
        scores = [0.2] * 30 if name == "a" else [0.0] + [0.4] * 30
        columns = {"query_id": [f"q{row}" for row in range(len(texts))], "query": texts}
        write_scores(here / name, "t", columns | {"ndcg_at_10": scores}, digest=name)
    record = compare_models(["a", "b"]).record
    (effect,) = record.challengers[0].effects
    assert (effect.items, effect.wins) == (30, 30)
    assert effect.difference.mean == pytest.approx(0.2)
    assert record.warnings[0] == (
        "t: not all were scored on the same data; the 30 queries that all have (of up to 31) are compared, "
        "and what else was in the data may differ"
    )


def test_queries_with_one_text_meet_by_their_ids(here):
    """Two queries with one text, in another order on each side."""
    texts = [f"text {row}" for row in range(30)]
    sides = {"a": (["x", "y"], [0.1, 0.2]), "b": (["y", "x"], [0.2, 0.1])}
    for name, (ids, scores) in sides.items():
        columns = {"query_id": ids + texts, "query": ["same", "same", *texts]}
        write_scores(here / name, "t", columns | {"ndcg_at_10": scores + [0.5] * 30})
    (effect,) = compare_models(["a", "b"]).record.challengers[0].effects
    assert (effect.items, effect.ties) == (32, 32)


def test_models_under_different_settings_are_said_to_be(here):
    columns = {"query": [f"text {row}" for row in range(30)], "ndcg_at_10": [0.5] * 30}
    none = {"prompts": {}, "max_length": None, "dimensions": None}
    own = write_scores(here / "own", "t", columns, settings=none)
    cut = none | {"dimensions": 4, "prompts": {"anchor": "zzz "}}
    write_scores(here / "cut", "t", columns, revision="j", settings=cut)
    begins = "scored under different settings, which differences may come from: "
    assert compare_models(["own", "cut"]).record.warnings[:2] == [
        begins + "prompts (own not set, cut {'anchor': 'zzz '})",
        begins + "dimensions (own not set, cut 4)",
    ]
    write_scores(here / "also", "t", columns, revision="j", settings=cut)
    assert not any("settings" in line for line in compare_models(["also", "cut"]).record.warnings)
    # Earlier versions kept less of it.
    write_scores(here / "old", "t", columns, dimensions=None)
    write_scores(here / "old-cut", "t", columns, revision="j", dimensions=4)
    write_scores(here / "old-set", "t", columns, revision="j", dimensions=None)
    assert not any("settings" in line for line in compare_models([own.name, "old"]).record.warnings)
    assert compare_models(["old", "old-cut"]).record.warnings[0] == (
        begins + "dimensions (old not set, old-cut 4)"
    )
    assert compare_models(["old", "old-set"]).record.warnings[0] == (
        begins + "prompts or max_length (old not set, old-set not recorded)"
    )


def test_one_item_has_no_p_value_in_any_file(here):
    for name, score in (("a", 0.2), ("b", 0.5)):
        write_scores(here / name, "t", {"query": ["only"], "ndcg_at_10": [score]})
    result = compare_models(["a", "b"], out="out")
    assert result.lines == (
        "b against a: not distinguishable: t ndcg_at_10 0.200 → 0.500 (+0.300, 95 % interval +0.300 to "
        "+0.300, no p-value) on 1 queries; fewer than 20 decide nothing, 1 seed",
    )
    (effect,) = json.loads((here / "out" / "compare.json").read_text())["challengers"][0]["effects"]
    assert (effect["p_value"], effect["corrected_p_value"]) == (None, None)
    assert "| none | none | not distinguishable |" in result.markdown.read_text(encoding="utf-8")
    page = result.page.read_text(encoding="utf-8")
    assert "+0.300 to +0.300, no p-value</span>" in page
    assert '<td class="number">none</td>' in page


def test_mteb_s_searches_are_compared_and_its_other_tasks_left_out(here):
    """The main score of a task has no name in mteb's results: it is the one with its value."""
    for name, score in (("a", 0.25), ("b", 0.5)):
        folder = write_scores(
            here / name,
            "Search",
            {
                "split": ["test"] * 40,
                "subset": ["de"] * 20 + ["en"] * 20,
                "query_id": [str(number) for number in range(40)],
                "ndcg_at_10": np.full(40, 0.9),
                "map_at_1000": np.full(40, score),
            },
        )
        content = json.loads((folder / "Search.json").read_text())
        del content["gistembed"]
        subset = {"main_score": score, "map_at_1000": score, "ndcg_at_10": 0.9}
        content["scores"] = {"test": [subset, subset]}
        (folder / "Search.json").write_text(json.dumps(content))
        (folder / "STS12.json").write_text(json.dumps({"task_name": "STS12"}))
    record = compare_models(["a", "b"]).record
    assert [(one.task, one.metric) for one in record.challengers[0].effects] == [
        ("Search (test, de)", "map_at_1000"),
        ("Search (test, en)", "map_at_1000"),
    ]
    left_out = [f"{name}: STS12: mteb keeps no scores of its items; left out" for name in "ab"]
    assert record.warnings[:2] == left_out


def test_where_a_comparison_may_be_written(here):
    sides = ("runs/plain-1", "runs/guided-1")
    (here / "file").write_text("")
    assert refusal(*sides, out="file") == "--out file: a file; choose a folder"
    assert refusal(*sides, out="runs") == (
        "--out runs: holds files of something else; choose an empty or a new folder"
    )
    (here / "runs" / "locked").mkdir(mode=0o500)
    result = compare_models(sides, out="out")
    assert sorted(path.name for path in (here / "out").iterdir()) == [
        "compare.json",
        "report.html",
        "table.md",
    ]
    # Made anew.
    before = result.page.read_bytes()
    assert compare_models(sides, out="out").page.read_bytes() == before


def test_nothing_is_written_after_a_mistake(here):
    refusal("runs/plain-1", "nothing", out="out")
    assert not (here / "out").exists()
