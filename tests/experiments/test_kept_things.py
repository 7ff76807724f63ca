"""What is kept and found again: only what was made of the very same models, data and settings."""

import json
import pickle
from concurrent.futures import Executor, Future
from pathlib import Path

import pytest
from experiments.first_results import triplets_of, with_negatives
from experiments.harness import DataFolder, Lab, Scale, Training, lab
from experiments.harness.identity import file_digest, key_of, model_identity
from experiments.harness.training import TrainingStopped, failed_at, kept_at
from experiments.harness.variants import variant
from tests.tiny_models import save_static

from gistembed.errors import StorageError, UserError


class Here(Executor):
    """Does the work in this process, at once."""

    def submit(self, work, *args):
        done = Future()
        try:
            done.set_result(work(*args))
        except Exception as error:
            done.set_exception(error)
        return done


@pytest.fixture
def as_in_new_processes():
    """Each calls it where another process would begin: what was read once is read again."""

    def forget():
        file_digest.cache_clear()
        model_identity.cache_clear()

    forget()
    yield forget
    forget()


def data_set(folder: Path) -> DataFolder:
    """Pairs with two labels, and queries."""
    folder.mkdir(parents=True)
    texts = [f"text {i} of class {i % 2}" for i in range(16)]
    pairs = [{"anchor": one, "positive": other} for one, other in zip(texts, texts[2:], strict=False)]
    found = DataFolder(folder)
    for path in (found.train, found.dev, found.test):
        own = pairs if path == found.train else [{"anchor": path.stem, "positive": f"{path.stem} too"}]
        path.write_text("".join(json.dumps(row) + "\n" for row in own))
    found.labels.write_text(json.dumps({text: [text[-1]] for text in texts}))
    return found


def lab_of(tmp_path: Path, rates: tuple[float, ...]) -> Lab:
    student = str(save_static(tmp_path / "student"))
    sizes = {"steps": 3, "batch_size": 4, "seeds": 1, "workers": 1, "temperatures": (0.05,)}
    data = {"set": data_set(tmp_path / "set").folder}
    scale = Scale(student=student, guide=student, learning_rates=rates, data=data, **sizes)
    return Lab(scale, tmp_path / "cache", tmp_path / "work")


@pytest.mark.parametrize(
    "changed",
    [
        "pairs.jsonl",
        "more.jsonl",
        "dev.jsonl",
        "test.jsonl",
        "student/config.json",
        "guide/model.safetensors",
        "vectors.npy",
        "vectors.texts.json",
    ],
)
def test_a_key_depends_on_the_content_of_every_file_and_model(tmp_path, changed, as_in_new_processes):
    """By paths alone, another student under the same name would have the scores of the one before."""
    (tmp_path / "student").mkdir()
    (tmp_path / "guide").mkdir()
    names = ("pairs.jsonl", "more.jsonl", "dev.jsonl", "test.jsonl", "vectors.npy", "vectors.texts.json")
    for name in (*names, "student/config.json", "guide/model.safetensors"):
        (tmp_path / name).write_text("before")
    training = Training(
        {
            "data": [str(tmp_path / "pairs.jsonl"), str(tmp_path / "more.jsonl")],
            "student": str(tmp_path / "student"),
            "guide": [str(tmp_path / "guide"), str(tmp_path / "vectors.npy"), "hub/name"],
        },
        tmp_path / "dev.jsonl",
        {"test": tmp_path / "test.jsonl"},
    )
    before = training.key(1)
    as_in_new_processes()
    assert training.key(1) == before
    (tmp_path / changed).write_text("after")
    as_in_new_processes()
    assert training.key(1) != before


def test_a_key_depends_on_the_settings_the_seed_and_the_version(tmp_path, monkeypatch):
    (tmp_path / "f").write_text("f")

    def key(seed=1, tests=("test",), **settings):
        given = {"data": str(tmp_path / "f"), "student": "s", "guide": "g", "mask": {"margin": 0.1}}
        return Training(given | settings, tmp_path / "f", dict.fromkeys(tests, tmp_path / "f")).key(seed)

    keys = [
        key(),
        key(seed=2),
        key(tests=("other",)),
        key(student="t"),
        key(guide="h"),
        key(guide=["g", "g"]),
    ]
    keys += [key(mask={"margin": 0.2}), key(steps=1)]
    monkeypatch.setattr("experiments.harness.identity.__version__", "another")
    assert len({*keys, key()}) == 9


def test_triplets_that_were_drawn_under_one_guide_are_not_those_of_another(tmp_path, as_in_new_processes):
    data, guides = data_set(tmp_path / "set"), [save_static(tmp_path / str(i), seed=i) for i in range(2)]
    paths = [triplets_of(data, str(guide), tmp_path / "made" / "triplets") for guide in guides]
    assert paths[0].read_text() != paths[1].read_text()
    made = paths[0].stat()
    assert triplets_of(data, str(guides[0]), tmp_path / "made" / "triplets").stat() == made
    data.labels.write_text(json.dumps({f"word {i}": [str(i % 2)] for i in range(8)}))
    as_in_new_processes()
    assert "word" in triplets_of(data, str(guides[0]), tmp_path / "made" / "triplets").read_text()
    assert len(list((tmp_path / "made").iterdir())) == 3


def test_negatives_are_of_the_pairs_as_they_are_now(tmp_path, as_in_new_processes):
    data = data_set(tmp_path / "set")
    first = with_negatives(data, tmp_path / "made" / "pairs")
    data.train.write_text('{"anchor": "x", "positive": "y"}\n{"anchor": "v", "positive": "w"}\n')
    as_in_new_processes()
    second = with_negatives(data, tmp_path / "made" / "pairs")
    assert [json.loads(line)["negative"] for line in second.read_text().splitlines()] == ["w", "y"]
    assert len(first.read_text().splitlines()) == 14


def test_a_data_set_that_is_made_of_another_leaves_the_one_before(tmp_path):
    """By its name alone it would take the place of one that other trainings are still reading."""
    data = data_set(tmp_path / "set")
    made = [variant(data, tmp_path / "data" / "v", [{"anchor": str(i), "positive": "p"}]) for i in (1, 1, 2)]
    assert made[0] == made[1] != made[2]
    assert made[0].train.read_text() == '{"anchor": "1", "positive": "p"}\n'
    assert made[2].train.read_text() == '{"anchor": "2", "positive": "p"}\n'
    assert made[2].labels.read_bytes() == data.labels.read_bytes()
    own_labels = variant(data, tmp_path / "data" / "v", [{"anchor": "1", "positive": "p"}], {"1": ["b", "a"]})
    assert own_labels.labels.read_text() == '{"1": ["a", "b"]}'
    assert made[0].labels.read_bytes() == data.labels.read_bytes()
    assert len(list((tmp_path / "data").iterdir())) == 3


def test_a_rate_that_a_guard_stops_loses_the_choice_and_is_not_tried_again(tmp_path, monkeypatch):
    """It ended the whole experiment, each time again."""
    monkeypatch.setattr(lab, "_processes", lambda *_: Here())
    own = lab_of(tmp_path, (1e-3, 1e30))
    assert own.chosen(own.data("set"), guided=False) == {"learning_rate": 1e-3, "temperature": 0.05}
    (failed,) = own.work.glob("*.failed.json")
    assert json.loads(failed.read_text())["error"].startswith(
        f"data={own.data('set').train}, student={own.student}, steps=3, batch_size=4, "
        "learning_rate=1e+30, temperature=0.05, loss=infonce, seed=101: training stopped at step 3: the "
        "embedding is not finite for "
    )
    monkeypatch.setattr(lab, "_processes", lambda *_: pytest.fail("a training is run again"))
    assert own.chosen(own.data("set"), guided=False)["learning_rate"] == 1e-3


def test_where_no_setting_can_be_trained_with_the_first_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr(lab, "_processes", lambda *_: Here())
    own = lab_of(tmp_path, (1e30, 1e31))
    with pytest.raises(UserError) as error:
        own.chosen(own.data("set"), guided=False)
    assert str(error.value).startswith(
        "none of 2 settings to choose from could be trained with; the first: data="
    )
    assert "learning_rate=1e+30" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_reported_training_that_fails_is_named_once_the_others_are_kept(tmp_path, monkeypatch):
    """The one that failed was not named, and those after it were left out."""
    monkeypatch.setattr(lab, "_processes", lambda *_: Here())
    own = lab_of(tmp_path, (1e-3,))
    trainings = {
        rate: own.training(own.data("set"), learning_rate=rate, temperature=0.05) for rate in (1e30, 1e-3)
    }
    with pytest.raises(UserError) as error:
        own.train(trainings)
    assert str(error.value).startswith(
        f"1 of 2 trainings failed; the first: data={own.data('set').train}, student={own.student}, steps=3, "
        "batch_size=4, learning_rate=1e+30, temperature=0.05, loss=infonce, seed=1: training stopped at step"
    )
    assert kept_at(trainings[1e-3], 1, own.work).exists()
    assert not failed_at(trainings[1e30], 1, own.work).exists()


@pytest.mark.parametrize("refusal", [StorageError("no space"), KeyboardInterrupt(), ValueError("a bug")])
def test_what_is_no_matter_of_one_training_ends_all_at_once(tmp_path, monkeypatch, refusal):
    class Refusing(Here):
        def submit(self, *_):
            done = Future()
            done.set_exception(refusal)
            return done

    pool = Refusing()
    monkeypatch.setattr(lab, "_processes", lambda workers, _: lab._POOLS.setdefault(workers, (pool, 1))[0])
    own = lab_of(tmp_path, (1e-3,))
    monkeypatch.setattr(lab, "_POOLS", {})
    with pytest.raises(type(refusal)) as error:
        own.at_once(print, [(1,), (2,)])
    assert error.value is refusal
    assert lab._POOLS == {}


def test_a_key_tells_names_from_values():
    assert key_of(a="b", c="d") == key_of(c="d", a="b") != key_of(a="d", c="b")


def test_why_a_training_stopped_comes_out_of_its_process():
    """Errors go to the parent pickled."""
    sent = pickle.dumps(TrainingStopped("why"))
    assert str(pickle.loads(sent)) == "why"  # noqa: S301 — our own
