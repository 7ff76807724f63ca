"""The recipes of the released models: their settings by value, and a run of each at small scale, offline."""

import json
import tomllib
from pathlib import Path

import pytest

from tests.tiny_models import save_bert

RECIPES = Path(__file__).parents[1] / "recipes"
# Student, batch size and released step, as the model cards have them.
RELEASED = {
    "gist-small": ("BAAI/bge-small-en-v1.5", 16, 102_000),
    "gist-base": ("BAAI/bge-base-en-v1.5", 32, 103_500),
    "gist-large": ("BAAI/bge-large-en-v1.5", 16, 171_000),
    "gist-minilm": ("sentence-transformers/all-MiniLM-L6-v2", 16, 102_000),
}
STEPS = 2


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with pairs of two tasks in MEDI's columns, and a model that reads 512 tokens."""
    folder = tmp_path_factory.mktemp("recipes")
    rows = [
        {"query": f"{task} asks {i}", "pos": f"{task} says {i * i}", "neg": f"{task} not {i}", "task": task}
        for task in ("medi", "mteb")
        for i in range(60)
    ]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    save_bert(folder / "model", max_length=256, positions=512)
    return folder


def words(place, name, out):
    return [
        *("fit", place / "pairs.jsonl", "--config", RECIPES / f"{name}.toml", "--out", out),
        *("--student", place / "model", "--guide", place / "model", "--store", place / "store"),
    ]


def test_every_recipe_is_tested():
    assert {path.stem for path in RECIPES.glob("*.toml")} == set(RELEASED)


@pytest.mark.parametrize("name", RELEASED)
def test_settings_are_those_released(name):
    student, batch_size, steps = RELEASED[name]
    assert tomllib.loads((RECIPES / f"{name}.toml").read_text(encoding="utf-8")) == {
        "data": "medi-mtebcls.jsonl",
        "student": student,
        "guide": "WhereIsAI/UAE-Large-V1",
        "out": f"runs/{name}",
        "steps": steps,
        "batch_size": batch_size,
        "learning_rate": 5e-6,
        "warmup": 0.1,
        "temperature": 0.01,
        "student_max_length": 512,
        "batches": "one_task",
        "mask": {"compat": "paper"},
    }


@pytest.mark.parametrize("name", RELEASED)
def test_a_dry_run_says_what_the_recipe_does(run, place, tmp_path, name):
    _, batch_size, steps = RELEASED[name]
    code, out, err = run(*words(place, name, tmp_path / "out"), "--dry-run")
    assert code == 0, err
    assert out.splitlines()[-1].startswith(f"{steps:,} steps of {batch_size} pairs; ")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", RELEASED)
def test_a_run_at_small_scale_trains_with_these_settings(run, place, tmp_path, name):
    code, _, err = run(*words(place, name, tmp_path / "out"), "--steps", str(STEPS))
    assert code == 0, err
    record = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    (training,) = record["trainings"]
    assert (training["loss"], training["steps"], training["batch_size"]) == (
        "guided",
        STEPS,
        RELEASED[name][1],
    )
    assert record["student"]["max_length"] == 512
    config = record["config"]
    assert [config[key] for key in ("learning_rate", "warmup", "temperature")] == [5e-6, 0.1, 0.01]
    assert record["train_data"]["tasks"] == {"medi": 60, "mteb": 60}
