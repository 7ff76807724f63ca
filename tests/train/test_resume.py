"""A run that is cut anywhere and resumed is the run that was never cut, to the bit."""

from dataclasses import replace

import pytest
import torch
from tests.train.trials import Setting, cut_and_resumed, fingerprints, stop_at, train, whole

from gistembed.batches import PlanSampler
from gistembed.train.checkpoints import checkpoint_path

# Into the third epoch, of 11 batches each.
LEAST_STEPS = 27


@pytest.fixture(scope="module")
def reference(bert_folder, tmp_path_factory):
    """The fingerprints of the run that is never cut, of each setting."""
    known = {}

    def call(setting):
        key = repr(setting)
        if key not in known:
            known[key] = whole(bert_folder, tmp_path_factory.mktemp("whole"), setting)
        return known[key]

    return call


@pytest.mark.parametrize(("accumulation", "step"), [(1, 1), (1, 11), (1, 14), (3, 4), (3, 7), (3, 8)])
def test_a_cut_run_is_the_whole_run(bert_folder, tmp_path, reference, accumulation, step):
    """11 batches an epoch: cuts at the first step, at an epoch's end and within, and by a shorter step.

    Logged every third step: a cut between two points must lose none of what is logged at the second.
    """
    setting = Setting(LEAST_STEPS // accumulation, accumulation)
    assert cut_and_resumed(bert_folder, tmp_path, setting, step) == reference(setting)


@pytest.mark.parametrize(("accumulation", "step"), [(1, 14), (3, 4)])
def test_a_cut_run_whose_graphs_are_replayed(bert_folder, tmp_path, reference, accumulation, step):
    setting = Setting(LEAST_STEPS // accumulation, accumulation, replayed=True)
    assert cut_and_resumed(bert_folder, tmp_path / "cut", setting, step) == reference(setting)
    _, outcome = train(bert_folder, tmp_path / "seen", replace(setting, steps=1))
    assert outcome.replayed == outcome.micro_batches - 1 > 0


def test_a_run_that_is_cut_again_and_again(bert_folder, tmp_path, reference):
    setting = Setting(LEAST_STEPS)
    for step in (3, 4, 16, 23):
        train(bert_folder, tmp_path, setting, resume=True, on_step=stop_at(step))
    assert whole(bert_folder, tmp_path, setting, resume=True) == reference(setting)


def test_a_cut_shows_if_dropout_begins_anew(bert_folder, tmp_path, reference, monkeypatch):
    """The proof that these fingerprints can tell."""
    monkeypatch.setattr("gistembed.train.trainer.set_random_state", lambda state: None)
    setting = Setting(LEAST_STEPS)
    resumed, expected = cut_and_resumed(bert_folder, tmp_path, setting, 14), reference(setting)
    differing = {name for name in expected if resumed[name] != expected[name]}
    assert differing >= {"weights", "optimizer", "random numbers, torch", "history"}


def test_going_on_looks_at_no_batch_twice(bert_folder, tmp_path, monkeypatch):
    """Stopped after 14 of 15 steps, in an epoch of 11: the next process hands on the batches 3 … only."""
    setting, handed = Setting(steps=15), []
    train(bert_folder, tmp_path, setting, on_step=stop_at(14))
    batches = PlanSampler.__iter__

    def noted(self):
        for batch in batches(self):
            handed.append(tuple(batch))
            yield batch

    monkeypatch.setattr(PlanSampler, "__iter__", noted)
    train(bert_folder, tmp_path, setting, resume=True)
    second_epoch = [tuple(batch) for batch in setting.plan().batches.epoch(1).tolist()]
    # The loader looks one batch ahead.
    assert handed == second_epoch[3:5]


def test_the_epoch_is_that_of_the_whole_run(bert_folder, tmp_path):
    setting = Setting(steps=9, accumulation=3, logging=1)
    train(bert_folder, tmp_path, setting, on_step=stop_at(6))
    _, outcome = train(bert_folder, tmp_path, setting, resume=True)
    epochs = [3 / 11, 6 / 11, 9 / 11, 1, 14 / 11, 17 / 11, 20 / 11, 2, 25 / 11]
    assert [point.epoch for point in outcome.history] == pytest.approx(epochs)


def test_tied_and_frozen_weights(bert_folder, tmp_path, monkeypatch):
    """What doesn't learn comes from the student's folder; what is tied is kept once and stays tied."""
    from gistembed.models import load_model
    from gistembed.train.snapshot import load_weights, save_weights, trained_tensors

    def student():
        model = load_model(str(bert_folder), option="--student").model
        layers = model[0].auto_model.encoder.layer
        layers[1].output.dense.weight = layers[0].output.dense.weight
        for parameter in model[0].auto_model.embeddings.parameters():
            parameter.requires_grad = False
        return model

    first, second = student(), student()
    with torch.no_grad():
        for parameter in first.parameters():
            parameter += 1
    (tmp_path / "one").mkdir()
    save_weights(trained_tensors(first), tmp_path / "one")
    load_weights(second, tmp_path / "one")
    theirs = dict(second.named_parameters(remove_duplicate=False))
    for name, parameter in first.named_parameters(remove_duplicate=False):
        assert torch.equal(theirs[name] + (0 if parameter.requires_grad else 1), parameter), name
    layers = second[0].auto_model.encoder.layer
    assert layers[1].output.dense.weight is layers[0].output.dense.weight


def test_workers_of_the_loader_have_no_say(bert_folder, tmp_path, reference):
    setting = Setting(LEAST_STEPS, workers=2)
    assert cut_and_resumed(bert_folder, tmp_path, setting, 14) == reference(Setting(LEAST_STEPS))


def test_fingerprints_name_the_parts(bert_folder, tmp_path):
    setting = Setting(steps=3, save_every=2)
    student, outcome = train(bert_folder, tmp_path, setting)
    parts = fingerprints(student, outcome, checkpoint_path(tmp_path, 2))
    assert {"weights", "optimizer", "scheduler", "random numbers, torch", "history"} < parts.keys()
