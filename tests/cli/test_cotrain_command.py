"""The command line of co-training: one line for every mistake, nothing written, and what it prints."""

import json

import pytest
from tests.tiny_models import save_static


@pytest.fixture
def pairs_file(tmp_path):
    path = tmp_path / "pairs.csv"
    lines = [f"What is number {i}?,It is the {i}th answer of all\n" for i in range(60)]
    path.write_text("question,answer\n" + "".join(lines), encoding="utf-8")
    return path


@pytest.fixture
def words(pairs_file, static_folder, tmp_path):
    """A command that would work."""
    other = save_static(tmp_path / "other", seed=3)
    return [
        "cotrain",
        static_folder,
        other,
        "--data",
        pairs_file,
        "--out",
        tmp_path / "out",
        "--store",
        tmp_path / "store",
    ]


AS_GUIDE = "each model reads as a guide what it reads as a student; set `student_prompts` instead"
TOO_FEW = (
    "too few of the 54 training pairs can be taken to choose the best round by without a text that the rest "
    "holds too; give pairs of their own by --dev FILE"
)
BY_STEP = "guides a model by what it is at each step, and not in rounds; leave it out, or use `gistembed fit`"
MISTAKES = [
    (["--rounds", "0"], "--rounds 0: expected at least 1"),
    (["--variant", "both"], "--variant both: unknown; choose one of mutual, self, ema"),
    (["--variant", "self"], "--variant self: A guides itself; leave B out"),
    (["--decay", "0.5"], "--decay: only --variant ema keeps an average; leave it out"),
    (["--variant", "ema", "--decay", "2"], "--decay 2: expected a share from 0 to 1"),
    (["--dev", "1"], "--dev 1: expected a share between 0 and 1"),
    (["--dev", "0.99"], f"--dev 0.99: {TOO_FEW}"),
    (["--dev", "absent.csv"], "absent.csv: there is no such file or folder."),
    (["--batch-size", "1"], "--batch-size 1: input should be greater than or equal to 2"),
]
IN_A_FILE = [
    ('guide = "g"', "guide: the models are A and B; leave it out"),
    ("dev = 0.2", "dev: give --dev instead"),
    ("batchsize = 2", "unknown setting `batchsize`; did you mean `batch_size`?"),
    ("[a]\nseed = 3", "[a] seed: holds for both models; set it outside of [a]"),
    ("a = 3", "`a` = 3: expected a table of settings of model A"),
    ('[b]\nguide_prompts = {anchor = "q: "}', f"[b]: guide_prompts: {AS_GUIDE}"),
    ('[mask]\nscorer = "student"', f'[mask] scorer = "student": {BY_STEP}'),
]


@pytest.mark.parametrize(("more", "message"), MISTAKES)
def test_a_mistake_is_one_line_and_writes_nothing(run, words, tmp_path, more, message):
    code, out, err = run(*words, *more)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1] == f"gistembed: {message}"
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(("content", "message"), IN_A_FILE)
def test_a_mistake_in_a_file_names_it(run, words, tmp_path, content, message):
    path = tmp_path / "run.toml"
    path.write_text(content, encoding="utf-8")
    assert run(*words, "--config", path) == (2, "", f"gistembed: {path}: {message}\n")


def test_one_model_needs_to_guide_itself(run, words):
    del words[2]
    message = "B is missing: two models guide each other; give it, or --variant self"
    assert run(*words) == (2, "", f"gistembed: {message}\n")


def test_one_model_twice_is_one_model(run, words, static_folder):
    words[2] = static_folder
    message = (
        f"B {static_folder}: the same model as A; give another one, or leave B out and give --variant self"
    )
    assert run(*words) == (2, "", f"gistembed: {message}\n")


def test_no_such_model(run, words):
    words[2] = "./absent"
    assert run(*words) == (2, "", "gistembed: B ./absent: no such folder\n")


def test_dry_run_says_what_would_be_done(run, words, static_folder, tmp_path):
    code, out, _ = run(*words, "--dry-run", "--rounds", 2, "--variant", "ema")
    lines = out.splitlines()
    assert code == 0
    assert lines[:2] == [
        "training on 49 pairs; 6 held out; 0 left out because they share a text with those",
        "5 further pairs to choose the best round by",
    ]
    assert f"b: guide {static_folder}: 98 texts to encode" in out
    assert lines[-1] == (
        "at most 2 such rounds, guided by the average over rounds, of which 0.5 stays in each; "
        "stopped when none gains nDCG@10"
    )
    assert not (tmp_path / "out").exists()


def test_results_as_json(run, words, tmp_path):
    code, out, err = run(*words, "--rounds", 1, "--steps", 2, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["models"] == {"a": str(tmp_path / "out" / "a"), "b": str(tmp_path / "out" / "b")}
    assert found["verdicts"] == {key: run["verdict"] for key, run in found["record"]["runs"].items()}
    code, out, err = run(*words, "--rounds", 1, "--steps", 2)
    message = f"--out {tmp_path / 'out'}: holds a finished run; choose another folder"
    assert (code, out, err.splitlines()[-1]) == (2, "", f"gistembed: {message}")


def test_several_processes_are_refused(run, words, tmp_path, monkeypatch):
    monkeypatch.setattr("gistembed.cotraining.run.ranks", lambda: 2)
    message = "gistembed: cotrain: runs in one process; start it without torchrun\n"
    for more in ([], ["--dry-run"]):
        assert run(*words, *more) == (2, "", message)
    assert not (tmp_path / "out").exists()
