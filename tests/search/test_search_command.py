"""`gistembed search`, end to end on a tiny static student, and every way in which it can be refused."""

import json
import tomllib

import pytest
from tests.real_text import documentation_pairs
from tests.tiny_models import save_static

from gistembed.console import Console
from gistembed.errors import UserError
from gistembed.search import SearchPlan, run_search

TOML = """
batch_size = 20
steps = 8

[search]
learning_rate = {low = 1e-3, high = 1e-1, log = true}
temperature = [0.05, 0.1, 1.0]
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with 240 real pairs and a configuration file."""
    folder = tmp_path_factory.mktemp("search")
    rows = [json.dumps({"query": query, "answer": answer}) for query, answer in documentation_pairs()[:240]]
    (folder / "pairs.jsonl").write_text("\n".join(rows), encoding="utf-8")
    (folder / "run.toml").write_text(TOML, encoding="utf-8")
    return folder


@pytest.fixture
def words(place, static_folder, bert_folder, tmp_path):
    """The command without the number of trials."""
    return [
        *("search", place / "pairs.jsonl", "--student", static_folder, "--guide", bert_folder),
        *("--store", place / "store", "--out", tmp_path / "out", "--config", place / "run.toml"),
    ]


def plan_of(place, static_folder, bert_folder, out, trials, **settings):
    space = settings.pop("space", tomllib.loads(TOML)["search"])
    minutes = settings.pop("minutes", None)
    return SearchPlan(
        settings={
            "data": str(place / "pairs.jsonl"),
            "student": str(static_folder),
            "guide": str(bert_folder),
            "store": str(place / "store"),
            "out": str(out),
            "batch_size": 20,
            "steps": 8,
            **settings,
        },
        space=space,
        trials=trials,
        minutes=minutes,
    )


@pytest.fixture
def searched(place, static_folder, bert_folder, tmp_path):
    """Run a search; gives its result."""

    def call(trials, *, resume=False, clock=lambda: 0.0, name="out", **settings):
        plan = plan_of(place, static_folder, bert_folder, tmp_path / name, trials, **settings)
        return run_search(plan, Console(quiet=True), resume=resume, clock=clock)

    return call


def results(record):
    return [(one.settings, one.status, one.scores, one.curve) for one in record.trials]


def test_a_search_ends_with_a_table_and_a_file_that_fit_takes(run, words, tmp_path):
    code, out, err = run(*words, "--trials", "3")
    assert code == 0, err
    record = json.loads((tmp_path / "out" / "search.json").read_text(encoding="utf-8"))
    trials = record["trials"]
    assert (record["status"], record["metric"], len(trials)) == ("finished", "nDCG@10", 3)
    # 24 of 240 pairs are held out, 21 of the other 216 are what trials are scored on.
    assert record["run"]["split"]["held_out_pairs"] == 24
    assert record["train_pairs"] + record["dev_pairs"] == 216
    assert trials[0]["settings"] == {"learning_rate": 2e-3, "temperature": 0.01}
    assert [len(one["scores"]) for one in trials] == [record["dev_queries"]] * 3
    assert [len(one["curve"]) for one in trials] == [3] * 3
    best = max(trials, key=lambda one: one["score"])
    assert record["best"] == best["number"]
    assert record["gain"]["seen"] == pytest.approx(best["score"] - trials[0]["score"], abs=1e-6)
    assert out.startswith(f"trial {best['number']} is the best of 3; ")
    assert out.endswith("; the held-out pairs were not used\n")
    assert "trials, scored on" in err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["best.toml", "search.json"]

    content = tomllib.loads((tmp_path / "out" / "best.toml").read_text(encoding="utf-8"))
    assert content.pop("out") == str(tmp_path / "out" / "fit")
    assert content == {
        "data": str(words[1]),
        "student": str(words[3]),
        "guide": [str(words[5])],
        "store": str(words[7]),
        "batch_size": 20,
        "steps": 8,
        **best["settings"],
    }
    code, out, err = run("fit", "--config", tmp_path / "out" / "best.toml", "--dry-run")
    assert code == 0, err
    assert out.splitlines()[0].startswith("training on 216 pairs; 24 held out;")


def test_a_search_goes_on_where_it_was_interrupted(searched, monkeypatch, tmp_path):
    """Ctrl-C in the third trial; with --resume, all is as if nothing had happened."""
    from gistembed.search import trial

    whole = searched(4, name="whole").record
    train, calls = trial.train_student, []

    def interrupted(*arguments, **named):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return train(*arguments, **named)

    monkeypatch.setattr(trial, "train_student", interrupted)
    with pytest.raises(KeyboardInterrupt):
        searched(4)
    kept = json.loads((tmp_path / "out" / "search.json").read_text(encoding="utf-8"))
    assert (kept["status"], len(kept["trials"])) == ("interrupted", 2)
    assert not (tmp_path / "out" / "best.toml").exists()
    assert results(searched(4, resume=True).record) == results(whole)
    assert len(calls) == 5


def test_texts_are_read_and_encoded_once_for_all_trials(searched, monkeypatch):
    from gistembed.search import bench

    def never(*_, **__):
        raise AssertionError("read again")

    looked_up = []
    work = bench.do_work
    monkeypatch.setattr(bench, "read_tokens", never)
    monkeypatch.setattr(bench, "do_work", lambda *a, **k: looked_up.append(1) or work(*a, **k))
    assert len(searched(3).record.trials) == 3
    assert len(looked_up) == 1


def test_a_failed_trial_is_noted_and_the_search_goes_on(searched):
    """A learning rate of 1e30 makes weights that are not finite."""
    result = searched(3, space={"learning_rate": [2e-3, 1e-3, 1e30]})
    by_rate = {one.settings["learning_rate"]: one for one in result.record.trials}
    failed = by_rate.pop(1e30)
    assert (failed.status, failed.score, failed.scores) == ("failed", None, [])
    assert "finite" in failed.error
    assert [one.status for one in by_rate.values()] == ["finished", "finished"]


def test_clearly_worse_trials_are_stopped(searched, monkeypatch):
    from gistembed.search import trial

    monkeypatch.setattr(trial, "is_hopeless", lambda curve, before: len(before) == 1 and len(curve) == 2)
    first, second = searched(2).record.trials
    assert (first.status, second.status, len(second.curve)) == ("finished", "pruned", 2)
    assert (second.score, second.scores) == (None, [])


def test_a_score_on_the_way_changes_nothing(searched, monkeypatch):
    from gistembed.search import trial

    (scored,) = searched(1).record.trials
    monkeypatch.setattr(trial, "_FEWEST_STEPS_TO_PRUNE", 9)
    (unscored,) = searched(1, name="without").record.trials
    assert (len(scored.curve), unscored.curve) == (3, [])
    assert scored.scores == unscored.scores


def test_no_trial_is_begun_after_the_time_is_over(searched):
    """The clock is asked at the start and before each trial."""
    times = iter([0.0, 59.0, 60.0])
    result = searched(5, minutes=1.0, clock=lambda: next(times))
    assert len(result.record.trials) == 1
    assert result.summary == (
        "trial 0 is the best of 1; nothing that was tried is better than the settings without a search; "
        "the held-out pairs were not used"
    )


def test_other_searches_are_not_gone_on_with(searched, tmp_path):
    searched(1)
    out = tmp_path / "out"

    def refusal(**settings):
        with pytest.raises(UserError) as caught:
            searched(1, **settings)
        return str(caught.value)

    assert refusal() == f"--out {out}: holds a search; go on with --resume, or choose another folder"
    assert refusal(resume=True, space={"warmup": [0.1, 0.2]}) == (
        f"--resume: the search in {out} was begun with other axes (learning_rate, temperature); "
        "use the same [search], or another --out"
    )
    assert refusal(resume=True, epochs=5.0) == (
        f"--resume: the run in {out} was begun with epochs = 3.0, not 5.0; use the same settings, or another "
        "--out"
    )


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("batch_size = [1, 16]", "`batch_size` = 1: input should be greater than or equal to 2"),
        ("epocs = [1, 2]", "unknown setting `epocs`; did you mean `epochs`?"),
        ("epochs = [1, 2]", "epochs is ignored, because steps is given; leave it out"),
    ],
)
def test_axes_are_checked_before_the_first_trial(run, words, tmp_path, table, message):
    path = tmp_path / "axes.toml"
    path.write_text(f"steps = 8\n[search]\n{table}\n", encoding="utf-8")
    code, out, err = run(*words[:-1], path)
    colon = " " if "ignored" in message else ": "
    assert (code, out) == (2, "")
    assert err.splitlines()[-1] == f"gistembed: {path}: [search]{colon}{message}"
    assert not (tmp_path / "out").exists()


def test_sizes_that_the_data_cannot_have_are_refused_before_the_first_trial(run, words, tmp_path):
    path = tmp_path / "axes.toml"
    path.write_text("[search]\nbatch_size = [16, 4096]\n", encoding="utf-8")
    code, out, err = run(*words[:-1], path)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith("gistembed: --batch-size 4096: larger than the ")
    assert not (tmp_path / "out").exists()


def test_each_trial_is_planned_with_its_own_student(searched, static_folder, tmp_path):
    """The second student is too narrow for the dimensions that the first has."""
    narrow = save_static(tmp_path / "narrow", dimensions=16)
    with pytest.raises(UserError) as caught:
        searched(2, space={"student": [str(static_folder), str(narrow)]}, matryoshka=[24, 8])
    assert str(caught.value) == ("--matryoshka 24: the student's embeddings have 16 numbers; choose fewer")
    assert not (tmp_path / "out").exists()


def test_dry_run_says_what_is_searched(run, words, tmp_path):
    code, out, _ = run(*words, "--dry-run", "--trials", "7")
    assert code == 0
    first, *axes = out.splitlines()
    assert first.startswith("7 trials; each is trained on ")
    assert first.endswith("; the 24 held-out pairs are not used")
    assert axes == ["learning_rate: 0.001 to 0.1, on a logarithmic scale", "temperature: 0.05, 0.1, 1"]
    assert not (tmp_path / "out").exists()


def test_fit_points_to_the_search(run, words, place):
    assert run("fit", *words[1:], "--search", "9") == (
        2,
        "",
        "gistembed: --search 9: a search is a command of its own; run `gistembed search --trials 9` with the "
        "same DATA, --student and --guide, then `gistembed fit --config OUT/best.toml`\n",
    )
    assert run("fit", *words[1:]) == (
        2,
        "",
        f"gistembed: {place / 'run.toml'}: [search] is what `gistembed search` reads; run it first, or take "
        "the table out\n",
    )
