"""Guards in whole trainings: what they notice, and that they leave the training as it is."""

import numpy as np
import pytest
import torch
from tests.pairs.pairs_samples import pairs_of
from tests.train.guards.guard_runs import Training, plan_of, random_guide

from gistembed import MarginSchedule, MaskPolicy
from gistembed.batches import BatchPlan
from gistembed.models import load_model
from gistembed.train import TrainingPlan
from gistembed.train.guards import Guards
from gistembed.train.guards.start import Probe, rivals_of

# Texts of other letters each, whose positive is the text without its last letter: a bag of letters can tell.
WORDS = ["".join(np.random.default_rng(i).choice(list("abcdefghijklmnopqrstuvwxyz"), 12)) for i in range(64)]
TELLING = pairs_of([(word, word[:-1], []) for word in WORDS])
MISALIGNED = pairs_of(
    [(word, other[:-1], []) for word, other in zip(WORDS, WORDS[1:] + WORDS[:1], strict=True)]
)


def telling_plan(steps=16, rate=1e-3, policy=None, warmup=0.1):
    return TrainingPlan(BatchPlan(64, 16, seed=0), steps, rate, warmup, 0.05, policy or MaskPolicy())


def noticed(*given, **options):
    training = Training(*given, **options)
    training.run()
    return [finding.code for finding in training.found]


def own_guide(folder, pairs):
    """The student as it was before."""
    from gistembed.guide import embed_now

    return embed_now(load_model(str(folder), option="--student"), pairs)


def test_healthy_training_is_left_in_peace(static_folder, tmp_path):
    guide = own_guide(static_folder, TELLING)
    assert noticed(static_folder, tmp_path, telling_plan(), pairs=TELLING, guides=[guide]) == []


@pytest.mark.parametrize(
    ("code", "plan"),
    [
        ("nothing-learned", telling_plan(rate=0.0)),
        ("stays-in-warm-up", telling_plan(warmup=0.99)),
        ("nothing-learned", telling_plan(steps=1)),
    ],
)
def test_trouble_of_the_plan_is_noticed(code, plan, static_folder, tmp_path):
    assert code in noticed(static_folder, tmp_path, plan, pairs=TELLING)


def test_texts_that_do_not_belong_together_are_noticed(static_folder, tmp_path):
    assert "student-guesses" in noticed(static_folder, tmp_path, telling_plan(), pairs=MISALIGNED)


def test_guide_of_random_vectors_is_noticed(static_folder, tmp_path):
    guides = [random_guide(TELLING)]
    assert "guide-guesses" in noticed(static_folder, tmp_path, telling_plan(), pairs=TELLING, guides=guides)


def test_mask_that_leaves_nothing_is_noticed_once(static_folder, tmp_path):
    """At every logged point, but one word is enough."""
    plan = telling_plan(policy=MaskPolicy(margin=3.0))
    guide = own_guide(static_folder, TELLING)
    found = noticed(static_folder, tmp_path, plan, pairs=TELLING, guides=[guide])
    assert found.count("starved") == 1


def test_loss_is_not_judged_while_the_margin_moves(static_folder):
    moving = telling_plan(policy=MaskPolicy(margin=MarginSchedule(0.1, 0.0, steps=10)))
    assert moving.scheduled
    assert not telling_plan().scheduled


@pytest.mark.parametrize("mode", [True, False])
def test_looking_leaves_the_student_and_all_random_states_alone(mode, bert_folder):
    student = load_model(str(bert_folder), option="--student")
    student.model.train(mode)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    weights = [parameter.clone() for parameter in student.model.parameters()]
    first = Probe.first_rows(student, TELLING, telling_plan().batches)
    again = first.again(student)
    assert np.array_equal(first.embeddings(), again.embeddings()), "without dropout"
    assert student.model.training == mode
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert all(map(torch.equal, weights, student.model.parameters()))


def test_training_is_the_same_without_guards(bert_folder, tmp_path, monkeypatch):
    """With dropout: one random number more or less would give other weights."""

    def trained(folder):
        training = Training(bert_folder, folder, plan_of(steps=3))
        training.run()
        return [parameter.detach().clone() for parameter in training.student.model.parameters()]

    watched = trained(tmp_path / "watched")
    for name in ("before", "finished", "on_pre_optimizer_step", "check_weights", "on_log"):
        monkeypatch.setattr(Guards, name, lambda *_, **__: None)
    assert all(map(torch.equal, watched, trained(tmp_path / "alone")))


def test_rows_are_those_of_the_first_batches(static_folder):
    student = load_model(str(static_folder), option="--student")
    plan = BatchPlan(64, 20, seed=3)
    probe = Probe.first_rows(student, TELLING, plan)
    assert probe.pairs.places.tolist() == TELLING.places[plan.epoch(0).ravel()].tolist()
    assert len(probe.anchors) == 60


def test_known_positives_and_the_anchor_itself_are_no_rivals():
    pairs = pairs_of([("a", "x", []), ("a", "y", []), ("b", "x", []), ("c", "b", []), ("b", "z", [])])
    rivals = {(int(row), int(other)) for row, other in zip(*np.nonzero(rivals_of(pairs)), strict=True)}
    assert rivals == {
        *((row, other) for row in (0, 1) for other in (3, 4)),
        *((row, other) for row in (2, 4) for other in (1,)),
        *((3, other) for other in (0, 1, 2, 4)),
    }
