"""Short trainings of tiny students in which something goes wrong at a step."""

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.pairs.pairs_samples import pairs_of

from gistembed import MaskPolicy, UserError
from gistembed.batches import BatchPlan, TokenCache
from gistembed.guide import GuideVectors
from gistembed.models import load_model
from gistembed.train import TrainingPlan, train_student
from gistembed.train.module import BatchLoss

PAIRS = pairs_of([(f"question {i}", f"answer {i * i}", []) for i in range(12)])
NAN = float("nan")


def plan_of(steps=6, rate=1e-3, policy=None, **trainer):
    """Three batches of four pairs an epoch."""
    return TrainingPlan(BatchPlan(12, 4, seed=0), steps, rate, 0.0, 0.05, policy or MaskPolicy(), trainer)


def random_guide(pairs=PAIRS):
    """A vector for each text, the same in both roles."""
    vectors = np.random.default_rng(0).standard_normal((len(pairs.texts), 8)).astype(np.float32)
    every = np.arange(len(pairs.texts))
    return GuideVectors(vectors, {"anchor": every, "document": every})


class Training:
    """One training: what it noticed, how far it got, and what it left on disk."""

    def __init__(self, folder, where, plan, *, pairs=PAIRS, guides=(), prepare=lambda student: None) -> None:
        """Load a student, and do with it what is to be done before."""
        self.student = load_model(str(folder), option="--student")
        prepare(self.student)
        self.pairs, self.plan, self.guides, self.where = pairs, plan, guides, where
        self.found, self.done = [], 0
        self.inject = lambda step: None

    def run(self):
        def on_step(step):
            self.done = step
            self.inject(step)

        return train_student(
            self.student,
            self.pairs,
            self.guides,
            self.plan,
            tokens=TokenCache.read(self.student, self.pairs),
            checkpoints=self.where / "checkpoints",
            logs=self.where / "logs",
            resume=False,
            on_step=on_step,
            on_finding=self.found.append,
        )

    def stopped(self):
        """Run it, and give the message it stopped with."""
        with pytest.raises(UserError) as raised:
            self.run()
        return str(raised.value)

    def saved(self):
        """Names of the files of weights on disk, by whether all their numbers are finite."""
        files = sorted(self.where.rglob("*.safetensors"))
        finite = {}
        for file in files:
            numbers = load_file(file).values()
            whole = all(bool(torch.isfinite(one).all()) for one in numbers if one.is_floating_point())
            finite.setdefault(whole, []).append(str(file.relative_to(self.where)))
        return finite


@contextmanager
def broken_at(training, kind, step):
    """Have something of a kind become not finite while a step runs, seen from its number."""
    with pytest.MonkeyPatch.context() as patch:
        _BREAKERS[kind](training, patch, lambda: training.done == step - 1)
        yield


def _weight(training, patch, now):
    weight = next(training.student.model.parameters())

    def inject(step=0):
        if now():
            # The vector of a sign that no text holds: no embedding and no gradient shows it.
            weight.detach().view(-1)[-1] = NAN

    training.inject = inject


def _gradient(training, patch, now):
    next(training.student.model.parameters()).register_hook(lambda grad: grad * NAN if now() else grad)


def _embedding(training, patch, now):
    def hook(module, given, features):
        if now() and module.training:
            features["sentence_embedding"] = features["sentence_embedding"].clone()
            features["sentence_embedding"][0] = NAN
        return features

    training.student.model.register_forward_hook(hook)


def _loss(training, patch, now):
    forward = BatchLoss.forward
    patch.setattr(BatchLoss, "forward", lambda self, *given: forward(self, *given) * (NAN if now() else 1))


def _guide(training, patch, now):
    look_up = GuideVectors.of

    def of(self, ids, role):
        found = look_up(self, ids, role)
        # Training looks up a batch at a time; all rows at once are looked at before.
        if now() and len(ids) == training.plan.batches.batch_size:
            found = found.copy()
            found[0] = NAN
        return found

    patch.setattr(GuideVectors, "of", of)


_BREAKERS = {
    "weight": _weight,
    "gradient": _gradient,
    "embedding": _embedding,
    "loss": _loss,
    "guide": _guide,
}
KINDS = tuple(_BREAKERS)
