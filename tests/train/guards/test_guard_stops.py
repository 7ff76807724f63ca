"""What is not finite stops a training within the step, with the rows' names and nothing bad on disk."""

from dataclasses import replace

import pytest
import torch
from tests.train.guards.guard_runs import KINDS, NAN, Training, broken_at, plan_of, random_guide
from transformers import TrainerControl, TrainerState

from gistembed import UserError
from gistembed.train import training_arguments
from gistembed.train.guards import Guards

LOOK = "look at these rows, or try a lower --learning-rate"
FIRST = "test:10, test:3, test:8"
MESSAGES = {
    "weight": "the weight 0.embedding.weight is not finite in a batch with {three} and 1 more; "
    "try a lower --learning-rate",
    "gradient": "the gradient of 0.embedding.weight is not finite in a batch with {three} and 1 more; "
    + LOOK,
    "loss": "the loss is not finite in a batch with {three} and 1 more; " + LOOK,
}


def all_cases():
    """Five kinds, four steps, three students."""
    return [
        (kind, step, student)
        for kind in KINDS
        for step in (2, 3, 5, 6)
        for student in ("static", "bert", "accumulating")
    ]


def check(kind, step, student, request, tmp_path):
    folder = request.getfixturevalue("static_folder" if student == "static" else "bert_folder")
    accumulation = {"gradient_accumulation_steps": 3} if student == "accumulating" else {}
    # A checkpoint after every step.
    plan = replace(plan_of(steps=6, **accumulation), save_every=1)
    training = Training(folder, tmp_path, plan, guides=[random_guide()])
    with broken_at(training, kind, step):
        # A weight breaks after a step and before its checkpoint, which is then not written.
        expected = step - 1 if kind == "weight" else step
        message = training.stopped()
    assert message.startswith(f"training stopped at step {expected}: ")
    assert "test:" in message
    assert training.done == step - 1
    assert [finding.code for finding in training.found if finding.severity == "error"] == ["not-finite"]
    assert training.saved().keys() <= {True}
    assert bool(training.saved()) == (expected > 1)


@pytest.mark.parametrize(
    ("kind", "step", "student"), [case for case in all_cases() if case[1:] == (2, "static")], ids=str
)
def test_it_stops_within_the_step(kind, step, student, request, tmp_path):
    check(kind, step, student, request, tmp_path)


@pytest.mark.torture
@pytest.mark.parametrize(("kind", "step", "student"), all_cases(), ids=str)
def test_it_stops_within_the_step_wherever_it_breaks(kind, step, student, request, tmp_path):
    check(kind, step, student, request, tmp_path)


def test_there_are_sixty_cases():
    assert len(set(all_cases())) == 60


@pytest.mark.parametrize("kind", MESSAGES)
def test_message_names_the_batch(kind, static_folder, tmp_path):
    training = Training(static_folder, tmp_path, plan_of(), guides=[random_guide()])
    with broken_at(training, kind, 2):
        message = training.stopped()
    first = [training.pairs.place(row) for row in training.plan.batches.epoch(0)[1]]
    expected = MESSAGES[kind].format(three=", ".join(first[:3]))
    assert message == f"training stopped at step 2: {expected}"
    found = training.found[-1]
    assert (found.code, found.severity, found.step) == ("not-finite", "error", 2)
    assert [example.place for example in found.examples] == first[:3]
    assert found.examples[0].text == training.pairs.texts[training.pairs.anchors[int(first[0][5:]) - 1]]


def test_message_names_the_rows_of_an_embedding(static_folder, tmp_path):
    """The token of one text has no finite vector: its row is named, and no other."""
    training = Training(static_folder, tmp_path, plan_of(rate=1e-9))
    weight = next(training.student.model.parameters())
    row = int(training.plan.batches.epoch(0)[1][2])
    place = training.pairs.place(row)

    def hook(module, given, features):
        if module.training and training.done == 1:
            own = training.student.inputs([training.pairs.texts[training.pairs.positives[row]]], "document")
            alone = torch.nn.functional.embedding_bag(own["input_ids"], weight, own["offsets"], mode="mean")
            vectors = features["sentence_embedding"]
            same = torch.isclose(vectors, alone).all(1, keepdim=True)
            features["sentence_embedding"] = torch.where(same, NAN, vectors)
        return features

    training.student.model.register_forward_hook(hook)
    assert (
        training.stopped() == f"training stopped at step 2: the embedding is not finite for {place}; {LOOK}"
    )


def test_message_blames_the_weights_where_all_rows_are_broken(static_folder, tmp_path):
    training = Training(static_folder, tmp_path, plan_of())

    def hook(module, given, features):
        if module.training:
            features["sentence_embedding"] = features["sentence_embedding"] * NAN
        return features

    training.student.model.register_forward_hook(hook)
    assert training.stopped() == (
        f"training stopped at step 1: the embedding is not finite for {FIRST} and 1 more; "
        "try a lower --learning-rate"
    )


def test_message_names_the_rows_of_a_guides_vector(static_folder, tmp_path):
    """The guide's vector of one row's positive is zero from the second step on."""
    training = Training(static_folder, tmp_path, plan_of(), guides=[random_guide()])
    row = int(training.plan.batches.epoch(0)[1][3])
    training.inject = lambda step: training.guides[0].source.__setitem__(training.pairs.positives[row], 0)
    assert training.stopped() == (
        "training stopped at step 2: the guide's vector is zero or not finite for "
        f"{training.pairs.place(row)}; look at the guide's vectors of these rows"
    )


def test_a_student_that_is_broken_before_is_not_trained(static_folder, tmp_path):
    def prepare(student):
        next(student.model.parameters()).data[:] = NAN

    training = Training(static_folder, tmp_path, plan_of(), prepare=prepare)
    assert training.stopped() == (
        f"training was not begun: the embedding is not finite for {FIRST} and 9 more; "
        "look at these rows, or choose another --student"
    )


def test_a_student_with_nothing_to_train_is_refused(static_folder, tmp_path):
    training = Training(
        static_folder, tmp_path, plan_of(), prepare=lambda student: student.model.requires_grad_(False)
    )
    assert training.stopped() == (
        f"--student {static_folder}: all of its weights are frozen; let some of them learn"
    )


def test_gradients_that_are_scaled_are_left_to_their_scaler(static_folder, tmp_path):
    """In fp16 the scaler tries scales that are too large, and passes over the step."""
    training = Training(static_folder, tmp_path, plan_of())
    guards = Guards(training.student, training.pairs)
    weight = next(training.student.model.parameters())
    weight.grad = torch.full_like(weight, torch.inf)

    def step(*, fp16):
        arguments = training_arguments(training.plan, tmp_path)
        arguments.fp16 = fp16
        control = TrainerControl()
        guards.on_pre_optimizer_step(arguments, TrainerState(), control, model=training.student.model)

    step(fp16=True)
    with pytest.raises(UserError, match=r"^training stopped at step 1: the gradient"):
        step(fp16=False)


def test_fp32_is_advised_where_it_is_not_used(static_folder, tmp_path):
    training = Training(static_folder, tmp_path, plan_of(bf16=True, use_cpu=True))
    with broken_at(training, "loss", 1):
        assert training.stopped().endswith(f"; {LOOK}, or fp32 in place of bf16")
