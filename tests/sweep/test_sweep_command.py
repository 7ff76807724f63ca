"""`gistembed sweep`, end to end: cells, table, page; failures, interruption, and going on."""

import csv
import json

import numpy as np
import pytest

from gistembed.evaluate import read_query_scores

DEV = 'keep_best = "nDCG@10"\neval_every = 2\n'


def record_of(folder):
    return json.loads((folder / "sweep.json").read_text(encoding="utf-8"))


def rows_of(folder):
    with (folder / "table.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def test_cells_are_runs_and_the_table_is_of_their_scores(run, sweep_file, out):
    code, printed, err = run("sweep", sweep_file(more=DEV), "--out", out)
    assert code == 0, err
    record = record_of(out)
    names = [f"learning_rate={rate},seed={seed}" for rate in (0.002, 0.05) for seed in (1, 2)]
    assert [cell["name"] for cell in record["cells"]] == names
    assert [cell["status"] for cell in record["cells"]] == ["finished"] * 4
    assert sorted(path.name for path in out.iterdir()) == [
        "cells",
        "report.html",
        "sweep.json",
        "table.csv",
        "table.md",
    ]
    runs = [json.loads((out / "cells" / name / "run.json").read_text(encoding="utf-8")) for name in names]
    # The second to fourth cell find all vectors in the store, and all are scored on the same pairs.
    assert [one["guides"][0]["encoded"] for one in runs][1:] == [0, 0, 0]
    assert [one["config"]["seed"] for one in runs] == [1, 2, 1, 2]
    assert {one["inputs"]["evaluation pairs"] for one in runs} == {runs[0]["inputs"]["evaluation pairs"]}

    rows = rows_of(out)
    scores = [read_query_scores(out / "cells" / name / "scores.parquet") for name in names]
    for row in rows:
        two = scores[:2] if row["learning_rate"] == "0.002" else scores[2:]
        for data in ("dev", "held-out", "retention"):
            after = np.array([one[data, "guided"].by_metric["nDCG@10"] for one in two])
            base = np.array([one[data, "base"].by_metric["nDCG@10"] for one in two])
            assert float(row[f"{data} score"]) == pytest.approx(after.mean(), abs=1e-6)
            assert float(row[f"{data} gain"]) == pytest.approx((after - base).mean(), abs=1e-6)
    dev = [float(row["dev score"]) for row in rows]
    assert dev == sorted(dev, reverse=True)
    assert printed.startswith(
        f"best by dev nDCG@10 of 2 settings: learning_rate {rows[0]['learning_rate']}: dev "
    )
    assert printed.endswith("; the held-out pairs chose nothing\n")


def test_without_dev_pairs_nothing_is_ranked(run, sweep_file, out):
    """The second row is better on the held-out pairs, and still comes second."""
    code, printed, err = run("sweep", sweep_file(seeds="[1]"), "--out", out)
    assert code == 0, err
    assert printed == (
        "nothing is ranked: no dev pairs are held out (keep_best in the base holds some out), and held-out "
        "pairs are not for choosing\n"
    )
    rows = rows_of(out)
    assert [row["learning_rate"] for row in rows] == ["0.002", "0.05"]
    assert "dev score" not in rows[0]
    assert rows[0]["held-out against first"] == ""
    difference = float(rows[1]["held-out score"]) - float(rows[0]["held-out score"])
    assert float(rows[1]["held-out against first"]) == pytest.approx(difference, abs=2e-6)
    assert (out / "table.md").read_text(encoding="utf-8").splitlines()[0] == (
        r"| learning\_rate | seeds | held-out nDCG@10 | held-out, against base | "
        "held-out, against the first row | retention nDCG@10 |"
    )


def test_a_cell_that_fails_is_a_line_and_the_others_go_on(run, sweep_file, out):
    """A batch of 400 is larger than the training pairs; the exit code tells."""
    path = sweep_file("[grid]\nbatch_size = [400, 20]\n", seeds="[1]")
    code, printed, err = run("sweep", path, "--out", out)
    assert code == 1
    error = "--batch-size 400: larger than the 216 training pairs; choose a smaller one"
    first, second = record_of(out)["cells"]
    assert (first["status"], first["error"], second["status"]) == ("failed", error, "finished")
    assert f"batch_size=400,seed=1: failed: {error}, 0 s; 1 to go" in err
    assert printed.endswith("; 1 of 2 cells failed\n")
    assert error in (out / "report.html").read_text(encoding="utf-8")
    assert record_of(out)["status"] == "failed"

    # What failed is tried again, what is finished is not.
    before = (out / "cells" / "batch_size=20,seed=1" / "run.json").stat().st_mtime_ns
    code, _, err = run("sweep", path, "--out", out, "--resume")
    assert code == 1
    assert "1 of 1: batch_size=400,seed=1" in err
    assert (out / "cells" / "batch_size=20,seed=1" / "run.json").stat().st_mtime_ns == before


def test_any_error_of_a_cell_is_its_own(run, sweep_file, out, monkeypatch):
    from gistembed.sweep import cell

    def broken(config, console, *, resume):
        config.out.mkdir(parents=True)
        raise RuntimeError("CUDA out of memory\nwith a long story")

    monkeypatch.setattr(cell, "run_fit", broken)
    code, printed, _ = run("sweep", sweep_file(), "--out", out)
    assert code == 1
    assert [one["error"] for one in record_of(out)["cells"]] == ["RuntimeError: CUDA out of memory"] * 4
    kept = out / "cells" / "learning_rate=0.002,seed=1" / "traceback.txt"
    assert kept.read_text(encoding="utf-8").splitlines()[-1] == "with a long story"
    assert printed == "no cell is finished; 4 of 4 cells failed\n"
    assert "No cell is finished" in (out / "report.html").read_text(encoding="utf-8")


def test_a_full_disk_ends_the_sweep(run, sweep_file, out, monkeypatch):
    import errno

    from gistembed.sweep import cell

    def full(config, console, *, resume):
        raise OSError(errno.ENOSPC, "No space left on device", str(config.out / "model"))

    monkeypatch.setattr(cell, "run_fit", full)
    code, printed, err = run("sweep", sweep_file(), "--out", out)
    assert (code, printed) == (4, "")
    assert err.splitlines()[-1] == (
        f"gistembed: {out}/cells/learning_rate=0.002,seed=1/model: No space left on device; free space, then "
        "run the command again (`fit` with --resume)"
    )


def test_an_interrupted_sweep_goes_on_where_it_stopped(run, sweep_file, out, monkeypatch):
    """Ctrl-C while the third cell is trained: it is gone on with, and all is as if nothing had happened."""
    from gistembed import pipeline

    path = sweep_file()
    assert run("sweep", path, "--out", out.with_name("whole"))[0] == 0
    train, calls = pipeline.train_student, []

    def interrupted(*arguments, **named):
        calls.append(named["resume"])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return train(*arguments, **named)

    monkeypatch.setattr(pipeline, "train_student", interrupted)
    code, printed, err = run("sweep", path, "--out", out)
    assert (code, printed) == (130, "")
    assert err.splitlines()[-1] == (
        f"gistembed: interrupted; go on with: gistembed sweep {path} --out {out} --resume"
    )
    record = record_of(out)
    assert record["status"] == "interrupted"
    assert [cell["status"] for cell in record["cells"]] == ["finished", "finished", "interrupted", "waiting"]
    assert not (out / "table.csv").exists()

    # On demand, a table of what is there.
    code, printed, _ = run("sweep", path, "--out", out, "--table")
    assert code == 0
    assert printed.endswith("; 2 of 4 cells are not finished\n")
    assert [row["seeds"] for row in rows_of(out)] == ["1 2", ""]
    assert "<span>interrupted</span>" in (out / "report.html").read_text(encoding="utf-8")
    assert len(calls) == 3

    assert run("sweep", path, "--out", out, "--resume")[0] == 0
    assert calls == [False, False, False, True, False]
    assert (out / "table.csv").read_bytes() == (out.with_name("whole") / "table.csv").read_bytes()


def test_more_seeds_and_values_go_into_the_same_folder(run, sweep_file, out):
    small = sweep_file("[grid]\nlearning_rate = [0.002]\n", seeds="[1, 2]")
    assert run("sweep", small, "--out", out)[0] == 0
    code, printed, _ = run("sweep", sweep_file(seeds="[1, 3]"), "--out", out, "--resume", "--dry-run")
    assert code == 0
    assert printed.splitlines()[:7] == [
        "4 cells, of which 1 are finished; seeds 1, 3",
        "learning_rate: 0.002, 0.05",
        f"{out}/cells/learning_rate=0.002,seed=1 (finished)",
        f"{out}/cells/learning_rate=0.002,seed=3",
        f"{out}/cells/learning_rate=0.05,seed=1",
        f"{out}/cells/learning_rate=0.05,seed=3",
        "the first of these that is not finished:",
    ]


def test_other_sweeps_are_not_gone_on_with(run, sweep_file, out, monkeypatch):
    from gistembed.sweep import cell

    def interrupted(config, console, *, resume):
        raise KeyboardInterrupt

    monkeypatch.setattr(cell, "run_fit", interrupted)
    path = sweep_file()
    assert run("sweep", path, "--out", out)[0] == 130

    def refusal(path, *flags):
        code, printed, err = run("sweep", path, "--out", out, *flags)
        assert (code, printed) == (2, "")
        return err.splitlines()[-1].removeprefix("gistembed: ")

    assert refusal(path) == f"--out {out}: holds a sweep; go on with --resume, or choose another folder"
    assert refusal(sweep_file("[grid]\ntemperature = [0.1]\n"), "--resume") == (
        f"--resume: the sweep in {out} was begun with other axes (learning_rate); use the same [grid], or "
        "another --out"
    )
    assert refusal(sweep_file(more="seed = 7\n"), "--resume") == (
        f"--resume: the sweep in {out} was begun with split_seed = 42 in its base, not 7; use the same, or "
        "another --out"
    )
    assert refusal(sweep_file(more="warmup = 0.5\n"), "--resume") == (
        f"--resume: the sweep in {out} was begun with warmup = None in its base, not 0.5; use the same, or "
        "another --out"
    )


def test_several_processes_are_refused(run, sweep_file, out, monkeypatch):
    monkeypatch.setattr("gistembed.ranks.ranks", lambda: 2)
    assert run("sweep", sweep_file(), "--out", out) == (
        2,
        "",
        "gistembed: sweep: runs in one process; start it without torchrun, or with --ray\n",
    )


def test_a_table_needs_a_sweep(run, sweep_file, out):
    assert run("sweep", sweep_file(), "--out", out, "--table") == (
        2,
        "",
        f"gistembed: --out {out}: holds no sweep; leave --table out to begin one\n",
    )
    assert not out.exists()


def test_dry_run_shows_the_cells_and_writes_nothing(run, sweep_file, out):
    code, printed, err = run("sweep", sweep_file(), "--out", out, "--dry-run")
    assert code == 0, err
    lines = printed.splitlines()
    assert lines[:2] == ["4 cells; seeds 1, 2", "learning_rate: 0.002, 0.05"]
    assert lines[2:6] == [
        f"{out}/cells/learning_rate={rate},seed={seed}" for rate in (0.002, 0.05) for seed in (1, 2)
    ]
    assert lines[7].startswith("training on 216 pairs; 24 held out; ")
    assert not out.exists()


def test_rows_with_other_dev_pairs_are_not_ranked(run, sweep_file, out):
    """A larger dev share is another set of queries: whose mean is higher says nothing."""
    path = sweep_file("[grid]\ndev = [0.1, 0.2]\n", seeds="[1]", more=DEV)
    code, printed, err = run("sweep", path, "--out", out)
    assert code == 0, err
    assert printed == (
        "nothing is ranked: dev scores are of different queries, and held-out pairs are not for choosing\n"
    )
    assert "dev score" in rows_of(out)[0]
    assert "dev nDCG@10" not in (out / "table.md").read_text(encoding="utf-8")
