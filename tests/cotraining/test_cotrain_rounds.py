"""Rounds of co-training by value: who is guided by what, when they end, and what is left of them."""

import json
from functools import partial

import numpy as np
import pytest
from datasets import Dataset
from safetensors.numpy import load_file
from tests.real_text import documentation_pairs
from tests.tiny_models import save_static

from gistembed import UserError, cotrain
from gistembed.console import Console
from gistembed.cotraining import rounds
from gistembed.cotraining.config import cotrain_config
from gistembed.cotraining.prepare import prepare_cotrain
from gistembed.models import load_model
from gistembed.record import Interval
from gistembed.train import train_student

RISING = {"a": [0.1, 0.2, 0.3, 0.4], "b": [0.1, 0.2, 0.15, 0.15]}


@pytest.fixture(scope="module")
def pairs():
    """120 real pairs as a data set in memory."""
    anchors, positives = zip(*documentation_pairs()[:120], strict=True)
    return Dataset.from_dict({"query": list(anchors), "answer": list(positives)})


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two static models of other vectors and other sizes."""
    folder = tmp_path_factory.mktemp("two")
    return save_static(folder / "first", seed=1), save_static(folder / "second", seed=2, dimensions=48)


@pytest.fixture(scope="module")
def settings(pairs, tmp_path_factory):
    """What all runs here have in common."""
    store = tmp_path_factory.mktemp("cotrain") / "store"
    return {
        "data": pairs,
        "retention": pairs.select(range(20)),
        "store": store,
        "batch_size": 16,
        "steps": 3,
        "temperature": 0.05,
        "learning_rate": 0.1,
        "quiet": True,
    }


def scripted(scores):
    """Dev scores as if they were measured, by model and round."""
    left = {key: iter(values) for key, values in scores.items()}

    def dev_score(training, model, stage):
        mean = next(left[stage.removeprefix("evaluate ")])
        return Interval(mean=mean, low=mean, high=mean)

    return dev_score


class Spy:
    """Trains as always, and keeps what the trainings were given."""

    def __init__(self, *, stops_at: int | None = None) -> None:
        """Stop as Ctrl-C does, before the training of this number."""
        self.starts, self.guides, self.seeds = [], [], []
        self._stops_at = stops_at

    def train(self, student, pairs, guides, plan, **words):
        if len(self.starts) == self._stops_at:
            raise KeyboardInterrupt
        [guide] = guides
        self.starts.append(student.model[0].embedding.weight.detach().numpy().copy())
        self.guides.append(unit(guide.of(pairs.anchors[:5], "anchor").astype(np.float32)))
        self.seeds.append(plan.batches.seed)
        self.texts = pairs.texts.of(pairs.anchors[:5])
        return train_student(student, pairs, guides, plan, **words)


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def weights(folder):
    [values] = load_file(folder / "model.safetensors").values()
    return values


def embedded(folder, texts):
    return load_model(str(folder), option="--student").embed(texts, "anchor")


@pytest.fixture(scope="module")
def finished(models, settings, tmp_path_factory):
    """Three mutual rounds; a gains in each, b in the first only; and what the trainings were given."""
    out = tmp_path_factory.mktemp("mutual") / "out"
    spy = Spy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rounds, "train_student", spy.train)
        patch.setattr(rounds, "dev_score", scripted(RISING))
        return cotrain(*models, out=out, rounds=3, **settings), spy, out


def test_each_is_guided_by_the_other_as_it_was_before_the_round(finished, models):
    """In the first round by the base model; b's second guide is a after the first, not the second."""
    _, spy, out = finished
    guides = [models[1], models[0]]
    guides += [out / f"round-{number}" / key for number in (1, 2) for key in ("b", "a")]
    for number, (guide, seen) in enumerate(zip(guides, spy.guides, strict=True)):
        assert np.abs(seen - embedded(guide, spy.texts)).max() < 1e-3, number
        for other in {*guides} - {guide}:
            vectors = embedded(other, spy.texts)
            assert vectors.shape != seen.shape or np.abs(seen - vectors).max() > 2e-3, (number, other)


def test_each_goes_on_from_where_it_stood(finished, models):
    _, spy, out = finished
    starts = [*models, *(out / f"round-{number}" / key for number in (1, 2) for key in ("a", "b"))]
    for start, seen in zip(starts, spy.starts, strict=True):
        np.testing.assert_array_equal(seen, weights(start))


def test_rounds_have_batches_of_their_own(finished):
    assert finished[1].seeds == [42, 42, 43, 43, 44, 44]


def test_the_best_round_of_each_is_what_is_left(finished):
    """The model a was best after the third round, b after the first."""
    result, _, out = finished
    assert (result.record.best, result.record.ended) == ({"a": 3, "b": 1}, "all rounds")
    np.testing.assert_array_equal(weights(out / "a"), weights(out / "round-3" / "a"))
    np.testing.assert_array_equal(weights(out / "b"), weights(out / "round-1" / "b"))
    assert result.models == {"a": out / "a", "b": out / "b"}
    assert sorted(path.name for path in out.iterdir()) == [
        "a",
        "b",
        "cotrain.json",
        "round-1",
        "round-2",
        "round-3",
    ]
    card = (out / "a" / "README.md").read_text(encoding="utf-8")
    assert f"**Verdict:** {result.verdicts['a'].split(':')[0]}" in card


def test_the_record_holds_every_round_and_what_the_further_ones_were_worth(finished):
    result, _, out = finished
    record = result.record
    assert json.loads((out / "cotrain.json").read_text(encoding="utf-8")) == record.model_dump(mode="json")
    assert [(one.round, one.model) for one in record.history] == [
        (number, key) for number in range(4) for key in ("a", "b")
    ]
    assert [one.dev.mean for one in record.of("a")] == RISING["a"]
    a, b = record.runs["a"].evaluations[0], record.runs["b"].evaluations[0]
    assert [(one.baseline, one.challenger) for one in a.comparisons] == [
        ("base", "round 3"),
        ("round 1", "round 3"),
        ("base", "round 1"),
    ]
    assert [(one.baseline, one.challenger) for one in b.comparisons] == [("base", "round 1")]
    assert [one.data for one in record.runs["a"].evaluations] == ["held-out", "retention"]
    assert record.runs["a"].split.train_pairs + record.dev_pairs + a.queries <= 120


def test_base_vectors_are_the_users_and_snapshots_vectors_are_gone(finished, settings):
    """The store keeps the guides of the first round, which other runs may have too."""
    result, _, out = finished
    stores = [one.guide.store for one in result.record.history if one.guide]
    assert [store.startswith(str(settings["store"])) for store in stores] == [True, True, *[False] * 4]
    assert not (out / "unfinished").exists()


def test_ends_when_neither_gains(models, settings, tmp_path, monkeypatch):
    """In the second round a gains, in the third neither; equal is no gain."""
    scores = {"a": [0.3, 0.2, 0.4, 0.4], "b": [0.3, 0.4, 0.1, 0.4]}
    monkeypatch.setattr(rounds, "dev_score", scripted(scores))
    result = cotrain(*models, out=tmp_path / "out", rounds=9, **settings)
    assert (result.record.ended, len(result.record.of("a"))) == ("no gain", 4)
    assert result.record.best == {"a": 2, "b": 1}


def test_a_model_that_never_gains_is_kept_as_it_was(models, settings, tmp_path, monkeypatch):
    monkeypatch.setattr(rounds, "dev_score", scripted({"a": [0.3, 0.3], "b": [0.3, 0.2]}))
    result = cotrain(*models, out=tmp_path / "out", **settings)
    np.testing.assert_array_equal(weights(tmp_path / "out" / "a"), weights(models[0]))
    queries = result.record.dev_queries
    line = f"not distinguishable: the model as it was, because no round is better on {queries} dev queries"
    assert result.verdicts == {"a": line, "b": line}


def test_guided_by_itself(models, settings, tmp_path, monkeypatch):
    spy = Spy()
    monkeypatch.setattr(rounds, "train_student", spy.train)
    monkeypatch.setattr(rounds, "dev_score", scripted({"a": [0.1, 0.2, 0.3]}))
    result = cotrain(models[0], out=tmp_path / "out", rounds=2, variant="self", **settings)
    for guide, seen in zip([models[0], tmp_path / "out" / "round-1" / "a"], spy.guides, strict=True):
        assert np.abs(seen - embedded(guide, spy.texts)).max() < 1e-3
    assert list(result.models) == ["a"]


def test_guided_by_the_average_over_rounds(models, settings, tmp_path, monkeypatch):
    """E1 = 0.75 E0 + 0.25 W1, E2 = 0.75 E1 + 0.25 W2; the third round is guided by E2 of the other."""
    spy, out = Spy(), tmp_path / "out"
    monkeypatch.setattr(rounds, "train_student", spy.train)
    monkeypatch.setattr(rounds, "dev_score", scripted(RISING))
    cotrain(*models, out=out, rounds=3, variant="ema", decay=0.75, **settings)
    average = weights(models[1])
    for number in (1, 2):
        average = 0.75 * average + 0.25 * weights(out / f"round-{number}" / "b")
        np.testing.assert_allclose(weights(out / f"round-{number}" / "b-average"), average, atol=1e-6)
    seen = spy.guides[4]
    assert np.abs(seen - embedded(out / "round-2" / "b-average", spy.texts)).max() < 1e-3


def test_resumed_is_as_never_stopped(finished, models, settings, tmp_path, monkeypatch):
    """Stopped before b's second training: the second round isn't there, and what is done isn't done again."""
    out, again = tmp_path / "out", partial(cotrain, *models, rounds=3, **settings)
    monkeypatch.setattr(rounds, "dev_score", scripted(RISING))
    monkeypatch.setattr(rounds, "train_student", Spy(stops_at=3).train)
    with pytest.raises(KeyboardInterrupt):
        again(out=out)
    begun = json.loads((out / "cotrain.json").read_text(encoding="utf-8"))
    assert (begun["status"], len(begun["history"])) == ("interrupted", 5)
    assert sorted(path.name for path in out.iterdir()) == ["cotrain.json", "round-1", "unfinished"]
    left = {"a": RISING["a"][3:], "b": RISING["b"][2:]}
    spy = Spy()
    monkeypatch.setattr(rounds, "dev_score", scripted(left))
    monkeypatch.setattr(rounds, "train_student", spy.train)
    result = again(out=out, resume=True)
    assert len(spy.starts) == 3
    for number in (1, 2, 3):
        for key in ("a", "b"):
            place = f"round-{number}/{key}"
            np.testing.assert_array_equal(weights(out / place), weights(finished[2] / place))
    assert result.record.best == finished[0].record.best
    assert result.verdicts == finished[0].verdicts


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variant": "ema"}, "with variant = 'mutual', not 'ema'; use the same settings, or another --out"),
        ({"dev": 0.2}, "with other dev pairs; go on with the same, or choose another --out"),
        ({"steps": 4}, "with steps = 3, not 4; use the same settings, or another --out"),
        ({"b": None, "variant": "self"}, "with two models; go on with the same, or choose another --out"),
    ],
)
def test_resumes_the_very_same_only(models, settings, tmp_path, monkeypatch, change, message):
    out = tmp_path / "out"
    monkeypatch.setattr(rounds, "train_student", Spy(stops_at=0).train)
    words = {"a": models[0], "b": models[1], "out": out, **settings}
    with pytest.raises(KeyboardInterrupt):
        cotrain(**words)
    with pytest.raises(UserError) as raised:
        cotrain(**words | change | {"resume": True})
    assert str(raised.value) == f"--resume: the run in {out} was begun {message}"


def test_dev_and_held_out_pairs_share_no_text_with_the_training_pairs(models, settings, tmp_path):
    """Pairs tied by texts they share: 40 chains of three."""
    rows = [(f"q{i} {j}", f"q{i} {j + 1}") for i in range(40) for j in range(3)]
    anchors, positives = zip(*rows, strict=True)
    data = Dataset.from_dict({"query": list(anchors), "answer": list(positives)})
    given = {"data": data, "out": tmp_path / "out", "store": tmp_path / "store"}
    config = cotrain_config(*map(str, models), given, {}, dev=0.2, source="cotrain")
    prepared = prepare_cotrain(config, Console(quiet=True))
    train = set(prepared.runs["a"].train.text_ids().tolist())
    dev = set(prepared.dev.pairs.text_ids().tolist())
    held_out = set(prepared.runs["a"].tasks["held-out"].pairs.text_ids().tolist())
    assert (len(train), len(dev), len(held_out)) == (4 * 29, 4 * 7, 4 * 4)
    assert not train & dev
    assert not train & held_out
    assert not dev & held_out
    assert prepared.runs["b"].train is prepared.runs["a"].train
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("same_text", ["exact", "normalised"])
def test_given_dev_pairs_share_no_text_with_the_others(models, tmp_path, same_text):
    """One of three is held out, one takes a pair out of training; "ROSE 7" is "rose 7" if that is asked."""
    rows = [(f"rose {i}", f"flower {i}") for i in range(20)]
    held_out, dev = [("fresh", "new")], [("fresh", "other"), ("ROSE 7", "red"), ("rose 3", "pink")]
    data, held_out, dev = (
        Dataset.from_dict(dict(zip(("query", "answer"), map(list, zip(*some, strict=True)), strict=True)))
        for some in (rows, held_out, dev)
    )
    given = {"data": data, "eval": held_out, "same_text": same_text, "out": tmp_path / "out"}
    config = cotrain_config(
        *map(str, models), given | {"store": tmp_path / "store"}, {}, dev=dev, source="cotrain"
    )
    prepared = prepare_cotrain(config, Console(quiet=True))
    texts = prepared.dev.pairs.texts
    assert texts.of(prepared.dev.pairs.anchors) == ["ROSE 7", "rose 3"]
    left = texts.of(prepared.runs["b"].train.anchors)
    gone = {"rose 3", "rose 7"} if same_text == "normalised" else {"rose 3"}
    assert sorted(left) == sorted({f"rose {i}" for i in range(20)} - gone)
    split = prepared.runs["a"].split
    assert (split.train_pairs, split.dropped_pairs) == (20 - len(gone), len(gone))


def test_dev_pairs_that_are_all_held_out_are_refused(models, settings, tmp_path):
    own = settings["data"].select(range(5))
    with pytest.raises(UserError) as raised:
        cotrain(*models, out=tmp_path / "out", dev=own, eval=own, **settings)
    assert str(raised.value) == (
        "--dev dataset: no pair is left to choose by, because each shares a text with the held-out pairs"
    )


def test_settings_of_one_model(models, settings, tmp_path):
    given = settings | {"out": tmp_path / "out", "learning_rate": 0.1, "a": {"learning_rate": 0.2}}
    del given["quiet"]
    config = cotrain_config(*map(str, models), given, {}, source="cotrain")
    assert {key: run.learning_rate for key, run in config.models.items()} == {"a": 0.2, "b": 0.1}
    config = cotrain_config(*map(str, models), given, {"learning_rate": 0.3}, source="cotrain")
    assert {key: run.learning_rate for key, run in config.models.items()} == {"a": 0.3, "b": 0.3}


def test_tables_of_one_model_add_to_the_common_ones(models, settings, tmp_path):
    """Taken in their place, they dropped what is common without a word."""
    given = settings | {
        "out": tmp_path / "out",
        "mask": {"limit_floor": 0.3, "max_masked": 0.5},
        "trainer": {"weight_decay": 0.1},
        "student_prompts": {"anchor": "q: ", "document": "d: "},
        "a": {
            "mask": {"max_masked": 0.9},
            "trainer": {"adam_beta1": 0.8},
            "student_prompts": {"anchor": "query: "},
        },
    }
    del given["quiet"]
    runs = cotrain_config(*map(str, models), given, {}, source="cotrain").models
    assert runs["a"].mask == {"limit_floor": 0.3, "max_masked": 0.9}
    assert runs["b"].mask == {"limit_floor": 0.3, "max_masked": 0.5}
    assert runs["a"].trainer == {"weight_decay": 0.1, "adam_beta1": 0.8}
    assert runs["b"].trainer == {"weight_decay": 0.1}
    assert runs["a"].student_prompts == runs["b"].guide_prompts == {"anchor": "query: ", "document": "d: "}
    assert runs["b"].student_prompts == runs["a"].guide_prompts == {"anchor": "q: ", "document": "d: "}


def test_a_model_reads_the_same_as_student_and_as_guide(models, settings, tmp_path):
    given = settings | {"out": tmp_path / "out", "b": {"student_prompts": {"anchor": "query: "}}}
    del given["quiet"]
    config = cotrain_config(*map(str, models), given, {}, source="cotrain")
    assert config.models["a"].guide_prompts == config.models["b"].student_prompts == {"anchor": "query: "}
    assert config.models["b"].guide_prompts == config.models["a"].student_prompts == {}
