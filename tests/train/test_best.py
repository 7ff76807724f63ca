"""The best model by a score: which it is, that it is kept, and when training stops looking."""

import os
import signal

import pytest
import torch
from tests.train.trials import Setting, stop_at, train

from gistembed import UserError
from gistembed.train import KeepBest, steps_between


@pytest.mark.parametrize(
    ("every", "steps", "between"), [(0.1, 200, 20), (0.1, 3, 1), (7.0, 200, 7), (1.0, 200, 1), (0.25, 10, 2)]
)
def test_steps_between_scores(every, steps, between):
    assert steps_between(every, steps) == between


def watching(scores, seen=None, **settings):
    """Makes what watches: with given scores, and a place for copies of what it saw."""
    seen = {} if seen is None else seen
    made = []

    def make(student):
        def score(step):
            seen[step] = weights(student)
            return scores[step]

        made.append(KeepBest("score", score, **{"every": 2} | settings))
        return made[-1]

    make.made = made
    return make


def weights(student):
    return torch.cat([parameter.detach().clone().ravel() for parameter in student.model.parameters()])


# The best is at 4; the last step is scored though it is odd.
SCORES = {0: 0.5, 2: 0.2, 4: 0.4, 6: 0.4, 8: 0.1, 9: 0.3}


def test_the_student_is_the_best_in_the_end(static_folder, tmp_path):
    """That the model before training scored higher makes it no trained one; of equals, the first stays."""
    seen, best = {}, None
    best = watching(SCORES, seen)
    student, outcome = train(static_folder, tmp_path, Setting(steps=9), best=best)
    assert outcome.finished
    assert best.made[0].step == 4
    assert best.made[0].curve == list(SCORES.items())
    assert torch.equal(weights(student), seen[4])
    assert not torch.equal(weights(student), seen[9])


def test_the_last_is_taken_if_it_is_the_best(static_folder, tmp_path):
    seen = {}
    scores = SCORES | {9: 0.9}
    student, _ = train(static_folder, tmp_path, Setting(steps=9), best=watching(scores, seen))
    assert torch.equal(weights(student), seen[9])


def test_scores_change_nothing_else(bert_folder, tmp_path):
    """With dropout: were random numbers drawn for a score, the training would be another."""
    plain, _ = train(bert_folder, tmp_path / "plain", Setting(steps=9))
    scores = dict.fromkeys(range(10), 0.0) | {9: 1.0}
    watched, _ = train(bert_folder, tmp_path / "watched", Setting(steps=9), best=watching(scores))
    assert torch.equal(weights(plain), weights(watched))


def test_patience_ends_it(static_folder, tmp_path):
    """Best at 4; 6 and 8 are two scores without a gain, so that step 9 is never done."""
    seen = {}
    best = watching(SCORES, seen, patience=2)
    student, outcome = train(static_folder, tmp_path, Setting(steps=9), best=best)
    assert (outcome.finished, outcome.steps, best.made[0].stopped) == (True, 8, True)
    assert torch.equal(weights(student), seen[4])


@pytest.mark.parametrize("step", [1, 4, 7])
def test_a_run_that_is_cut_finds_the_same_best(static_folder, tmp_path, step):
    """Old checkpoints go, that of the best stays; what was scored before is not scored again."""
    seen = {}
    setting = Setting(steps=9, save_every=1)
    whole, _ = train(static_folder, tmp_path / "whole", setting, best=watching(SCORES, {}))
    train(static_folder, tmp_path, setting, best=watching(SCORES, {}), on_step=stop_at(step))
    best = watching(SCORES, seen)
    resumed, outcome = train(static_folder, tmp_path, setting, best=best, resume=True)
    assert outcome.finished
    assert torch.equal(weights(resumed), weights(whole))
    assert best.made[0].curve == list(SCORES.items())
    assert list(seen) == [at for at in SCORES if at > step]


def test_out_of_patience_and_told_to_stop_at_once(static_folder, tmp_path):
    """Nobody goes on from there: a checkpoint would train one step more."""

    def stop(step):
        if step == 8:
            os.kill(os.getpid(), signal.SIGINT)

    best = watching(SCORES, patience=2)
    _, outcome = train(static_folder, tmp_path, Setting(steps=9), best=best, on_step=stop)
    assert (outcome.finished, outcome.interrupted) == (True, True)
    assert not (tmp_path / "checkpoint-8").exists()


def test_a_best_that_was_damaged_meanwhile_is_told(static_folder, tmp_path):
    def damage(step):
        if step == 6:
            (tmp_path / "checkpoint-4" / "weights.safetensors").unlink()

    with pytest.raises(UserError) as raised:
        train(static_folder, tmp_path, Setting(steps=9), best=watching(SCORES), on_step=damage)
    assert str(raised.value) == (
        f"{tmp_path}/checkpoint-4: the best model was kept here, but can't be used "
        "(weights.safetensors is missing); run the command again with another --out"
    )
