"""One training run: its arguments, its guards, its checkpoints and its end."""

import json
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformerTrainingArguments
from tests.pairs.pairs_samples import pairs_of

from gistembed import MaskPolicy, UserError
from gistembed.batches import BatchPlan, TokenCache
from gistembed.models import load_model
from gistembed.train import TrainingPlan, train_student, training_arguments
from gistembed.train.checkpoints import newest_checkpoint

PAIRS = pairs_of([(f"question {i}", f"answer {i * i}", []) for i in range(12)])


def plan_of(steps=6, rate=1e-3, **trainer):
    return TrainingPlan(BatchPlan(12, 4, seed=0), steps, rate, 0.0, 0.05, MaskPolicy(), trainer)


@pytest.fixture
def train(static_folder, tmp_path):
    """Train a fresh student; gives the student and the outcome."""

    def call(plan, *, resume=False, **callbacks):
        student = load_model(str(static_folder), option="--student")
        outcome = train_student(
            student,
            PAIRS,
            [],
            plan,
            tokens=TokenCache.read(student, PAIRS),
            checkpoints=tmp_path / "checkpoints",
            logs=tmp_path / "logs",
            resume=resume,
            **callbacks,
        )
        return student, outcome

    return call


def weights(student):
    return next(student.model.parameters()).detach().clone()


def test_steps_are_counted_and_logged(train):
    seen = []
    _, outcome = train(plan_of(steps=7), on_step=seen.append)
    assert seen == [1, 2, 3, 4, 5, 6, 7]
    assert (outcome.finished, outcome.interrupted, outcome.steps) == (True, False, 7)
    assert [point.step for point in outcome.history] == seen
    assert outcome.history[-1].epoch == pytest.approx(7 / 3)
    assert outcome.pairs_per_second > 0


def test_accumulation_counts_all_its_pairs(train):
    """A step of 3 batches of 4 pairs is an epoch."""
    _, outcome = train(plan_of(steps=2, gradient_accumulation_steps=3))
    assert outcome.history[-1].epoch == pytest.approx(2)


def test_interrupted_and_resumed_is_the_same_run(train, tmp_path):
    """Stopped after step 2 of 6: a checkpoint there, and the weights of a run that never stopped."""
    whole, _ = train(plan_of())
    told = []

    def stop_at_two(step):
        if step == 2:
            os.kill(os.getpid(), signal.SIGINT)

    _, cut = train(plan_of(), on_step=stop_at_two, on_interrupt=lambda: told.append("once"))
    assert (cut.finished, cut.interrupted, cut.steps, told) == (False, True, 2, ["once"])
    checkpoint = newest_checkpoint(tmp_path / "checkpoints")
    assert checkpoint is not None
    assert checkpoint.name == "checkpoint-2"
    assert not (checkpoint / "training_args.bin").exists()

    resumed, outcome = train(plan_of(), resume=True)
    assert (outcome.finished, outcome.steps) == (True, 6)
    assert [point.step for point in outcome.history] == [1, 2, 3, 4, 5, 6]
    assert torch.equal(weights(resumed), weights(whole))


def test_interrupt_in_the_last_step_is_not_lost(train):
    """All steps are done, so there is nothing to resume; but the user wants to stop."""
    _, outcome = train(
        plan_of(steps=3), on_step=lambda step: step == 3 and os.kill(os.getpid(), signal.SIGINT)
    )
    assert (outcome.finished, outcome.interrupted) == (True, True)


def test_second_interrupt_stops_at_once(train):
    with pytest.raises(KeyboardInterrupt):
        train(plan_of(), on_step=lambda step: [os.kill(os.getpid(), signal.SIGINT) for _ in range(2)])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("steps", [1, 6])
def test_weight_that_is_not_finite_stops_the_run(train, tmp_path, steps):
    """At this rate the first update throws the weights out of range; the peer's trainer would go on.

    The last update is seen by no loss any more.
    """
    with pytest.raises(UserError) as raised:
        train(plan_of(steps=steps, rate=1e38))
    assert str(raised.value) == (
        "training stopped at step 1: the weight 0.embedding.weight is not finite in a batch with test:10, "
        "test:3, test:8 and 1 more; try a lower --learning-rate"
    )
    assert newest_checkpoint(tmp_path / "checkpoints") is None


@pytest.mark.parametrize(
    ("trainer", "message"),
    [
        ({"learning_rate": 1}, "[trainer] learning_rate: set `learning_rate` instead"),
        ({"max_steps": 3}, "[trainer] max_steps: set `steps` instead"),
        (
            {"eval_strategy": "steps"},
            "[trainer] eval_strategy: the model is evaluated before and after training; leave it out",
        ),
        (
            {"save_only_model": True},
            "[trainer] save_only_model: gistembed depends on its value; leave it out",
        ),
        (
            {"eval_on_start": True},
            "[trainer] eval_on_start: the model is evaluated before and after training; leave it out",
        ),
        ({"save_strategy": "best"}, "[trainer] save_strategy: set `save_every` instead"),
        (
            {"neftune_noise_alpha": 5},
            "[trainer] neftune_noise_alpha: students of sentence-transformers have no place for the noise; "
            "leave it out",
        ),
        (
            {"weight_decai": 0.1},
            "[trainer] weight_decai: no training argument of sentence-transformers; "
            "did you mean `weight_decay`?",
        ),
        ({"xyzzy": 1}, "[trainer] xyzzy: no training argument of sentence-transformers"),
    ],
)
def test_arguments_that_cannot_be(tmp_path, trainer, message):
    with pytest.raises(UserError) as raised:
        training_arguments(plan_of(**trainer), tmp_path)
    assert str(raised.value) == message


@pytest.mark.parametrize("trainer", [{"report_to": "no-such-tracker"}, {"lr_scheduler_type": "zigzag"}])
def test_values_that_cannot_be_are_one_line(tmp_path, trainer):
    with pytest.raises(UserError, match=r"^\[trainer\] [^\n]+$"):
        training_arguments(plan_of(**trainer), tmp_path)


def test_a_process_trains_on_one_gpu(tmp_path, monkeypatch):
    """Left to itself, the trainer would share each micro-batch out among all that it sees."""
    monkeypatch.setattr(SentenceTransformerTrainingArguments, "n_gpu", property(lambda _: 4))
    assert training_arguments(plan_of(), tmp_path)._n_gpu == 1


def test_weight_that_is_not_finite_is_not_saved(train, tmp_path):
    """Without this look, a checkpoint of it would stand until the next loss stops the run."""
    with pytest.raises(
        UserError, match=r"^training stopped at step 1: the weight \S+ is not finite in a batch"
    ):
        train(replace(plan_of(steps=3, rate=1e39, logging_steps=3), save_every=1))
    assert newest_checkpoint(tmp_path / "checkpoints") is None


def test_memory_that_runs_out_names_the_setting(train, monkeypatch):
    def full(*_, **__):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ...")

    monkeypatch.setattr("gistembed.train.module.guided_contrastive_loss", full)
    with pytest.raises(UserError) as raised:
        train(plan_of())
    message = "out of memory; choose a smaller --batch-size, or shorter texts by student_max_length"
    assert str(raised.value) == message


def test_numbers_are_plain(train):
    """What goes into run.json must be JSON."""
    _, outcome = train(plan_of(steps=3))
    for point in outcome.history:
        json.dumps(point.model_dump(), allow_nan=False)
        assert all(np.isfinite(value) for value in point.metrics.values())
