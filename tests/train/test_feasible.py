"""Precision, recomputed activations and compilation: they work, or are refused before training."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformerTrainer
from tests.pairs.pairs_samples import pairs_of

from gistembed import MaskPolicy, UserError, guided_contrastive_loss
from gistembed.batches import BatchPlan, PairCollator, TokenCache
from gistembed.config import LoraSettings
from gistembed.models import load_model
from gistembed.train import (
    Adaptation,
    KeepBest,
    TrainingPlan,
    check_feasible,
    train_student,
    training_arguments,
)
from gistembed.train import module as train_module
from gistembed.train.module import BatchLoss

PAIRS = pairs_of([(f"question {i}", f"answer {i * i}", [f"no {i}"]) for i in range(8)])
PLAN = TrainingPlan(BatchPlan(8, 8, seed=0), 2, 1e-3, 0.0, 0.05, MaskPolicy())


@pytest.fixture
def bert(bert_folder):
    return load_model(str(bert_folder), option="--student")


@pytest.fixture
def static(static_folder):
    return load_model(str(static_folder), option="--student")


def trained(student, tmp_path, plan=PLAN, **trainer):
    """Two steps without dropout; gives the losses and the weights."""
    for part in student.model.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    outcome = train_student(
        student,
        PAIRS,
        [],
        replace(plan, trainer=trainer),
        tokens=TokenCache.read(student, PAIRS),
        checkpoints=tmp_path / "checkpoints",
        logs=tmp_path / "logs",
        resume=False,
    )
    losses = [point.loss for point in outcome.history]
    return losses, {name: weight.detach().clone() for name, weight in student.model.named_parameters()}


def arguments(tmp_path, **trainer):
    return training_arguments(replace(PLAN, trainer=trainer), tmp_path)


@pytest.mark.parametrize("name", ["gradient_checkpointing", "activation_checkpointing"])
@pytest.mark.parametrize(
    "adaptation", [Adaptation(), Adaptation(freeze=1), Adaptation(lora=LoraSettings(rank=4))], ids=str
)
def test_activations_that_are_computed_again_change_nothing(
    bert_folder, tmp_path, monkeypatch, name, adaptation
):
    """The same losses and weights, with frozen embeddings too, and the layers do run twice."""
    plan = replace(PLAN, adaptation=adaptation)
    runs, results = [], []
    for trainer in ({}, {name: True}):
        student = load_model(str(bert_folder), option="--student")
        layer = student.model.transformers_model.encoder.layer[1].intermediate
        calls = []
        layer.register_forward_hook(lambda part, *_, calls=calls: calls.append(1) if part.training else None)
        results.append(trained(student, tmp_path / str(len(runs)), plan, **trainer))
        runs.append(len(calls))
    (losses, weights), (again_losses, again_weights) = results
    assert runs[1] == 2 * runs[0]
    assert again_losses == pytest.approx(losses, rel=1e-6)
    for weight_name, weight in weights.items():
        torch.testing.assert_close(again_weights[weight_name], weight, rtol=0, atol=1e-6)


def test_a_student_trained_in_bf16_is_used_in_float32(bert_folder, tmp_path):
    """Its embeddings are those of its weights when they are read back, at its end and when it is scored."""
    student, scored = load_model(str(bert_folder), option="--student"), []

    def score(_):
        scored.append(student.embed(["a text", "another"], "anchor"))
        return float(scored[-1][0] @ scored[-1][1])

    best = KeepBest("score", score, every=1)
    train_student(
        student,
        PAIRS,
        [],
        replace(PLAN, trainer={"bf16": True}),
        tokens=TokenCache.read(student, PAIRS),
        checkpoints=tmp_path / "checkpoints",
        logs=tmp_path / "logs",
        resume=False,
        best=best,
    )
    student.model.save_pretrained(str(tmp_path / "saved"), create_model_card=False)
    again = load_model(str(tmp_path / "saved"), option="--student")
    embeddings = again.embed(["a text", "another"], "anchor")
    assert np.array_equal(student.embed(["a text", "another"], "anchor"), embeddings)
    assert best.step is not None
    assert np.array_equal(scored[best.step], embeddings)


def test_bf16_on_a_cpu(bert_folder, tmp_path):
    """The layers compute in bf16, the weights stay float32, and the losses are near those of float32."""
    seen = set()
    student = load_model(str(bert_folder), option="--student")
    layer = student.model.transformers_model.encoder.layer[0].output.dense
    # What the guards look at before and after is computed as the model is used: in float32.
    layer.register_forward_hook(
        lambda self, _, output: seen.add(output.dtype) if self.training else None,
    )
    losses, weights = trained(student, tmp_path / "bf16", bf16=True)
    whole, _ = trained(load_model(str(bert_folder), option="--student"), tmp_path / "whole")
    assert seen == {torch.bfloat16}
    assert {weight.dtype for weight in weights.values()} == {torch.float32}
    assert losses == pytest.approx(whole, rel=0.05)
    assert losses != whole


def test_the_loss_is_taken_in_float32_whatever_autocast_says(bert, monkeypatch):
    """In bf16 cosines have three digits, and at τ = 0.01 a loss of them would be noise."""
    bert.model.eval()
    handed, given = [], guided_contrastive_loss

    def spy(anchors, positives, negatives, **options):
        handed.append((anchors, positives, negatives))
        return given(anchors, positives, negatives, **options)

    monkeypatch.setattr(train_module, "guided_contrastive_loss", spy)
    collator = PairCollator(bert, PAIRS, TokenCache.read(bert, PAIRS))
    batch = SentenceTransformerTrainer.collect_features(None, collator(range(8)))
    module = BatchLoss(bert.model, [], MaskPolicy(), 0.01)
    with torch.autocast("cpu", torch.bfloat16):
        loss = module(*batch)
    assert loss.dtype == torch.float32
    ids = {
        name: batch[1][name]
        for name in ("anchor_ids", "positive_ids", "negative_ids", "known_ids", "known_offsets")
    }
    outside = given(*(part.detach().float() for part in handed[0]), **ids, temperature=0.01)
    assert loss.item() == outside.loss.item()


def test_a_compiled_student_is_trained_as_it_is(bert_folder, tmp_path):
    """By the backend that compiles nothing: its wrapper and its graphs, without the minutes."""
    results = [
        trained(load_model(str(bert_folder), option="--student"), tmp_path / name, **options)
        for name, options in (
            ("plain", {}),
            ("compiled", {"torch_compile": True, "torch_compile_backend": "eager"}),
        )
    ]
    assert results[1][0] == pytest.approx(results[0][0], rel=1e-6)
    for name, weight in results[0][1].items():
        torch.testing.assert_close(results[1][1][name], weight, rtol=0, atol=1e-6)


def test_weights_that_one_process_would_share_with_nobody(bert, tmp_path):
    asked = replace(arguments(tmp_path), fsdp=True)
    with pytest.raises(UserError) as raised:
        check_feasible(bert.model, asked)
    assert str(raised.value) == (
        "[trainer] fsdp: one process has nobody to share the weights with; start several by torchrun, or "
        "leave it out"
    )


def test_weights_that_are_not_shared_out_on_cpus(bert, tmp_path, monkeypatch):
    """Accelerate would pass it over without a word."""
    asked = replace(arguments(tmp_path), fsdp=True)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError) as raised:
        check_feasible(bert.model, asked)
    assert str(raised.value) == (
        "[trainer] fsdp: on CPUs weights are not shared out; leave it out, and each process has them all"
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_static_weights_of_fewer_bits_are_loaded_as_float32(static_folder, tmp_path, dtype):
    """In which small updates don't vanish; the library leaves those of a static model as they are saved."""
    stored = load_model(str(static_folder), option="--student").model.to(dtype)
    stored.save_pretrained(str(tmp_path / "few"), create_model_card=False)
    student = load_model(str(tmp_path / "few"), option="--student")
    assert {weight.dtype for weight in student.model.parameters()} == {torch.float32}
    expected = stored.state_dict()
    for name, weight in student.model.state_dict().items():
        torch.testing.assert_close(weight, expected[name].float(), rtol=0, atol=0)


def test_float16_weights(bert, tmp_path):
    bert.model.half()
    with pytest.raises(UserError) as raised:
        check_feasible(bert.model, arguments(tmp_path))
    assert str(raised.value) == (
        "the student's weights are float16 (0.model.embeddings.word_embeddings.weight), where small updates "
        "vanish; load it in float32 and set bf16 in [trainer] to compute in fewer bits"
    )


def test_activations_of_a_student_without_layers(static, tmp_path):
    """The trainer would pass it over without a word."""
    with pytest.raises(UserError) as raised:
        check_feasible(static.model, arguments(tmp_path, gradient_checkpointing=True))
    assert str(raised.value) == (
        "[trainer] gradient_checkpointing: the student has no layers that can be computed again; leave it out"
    )


@pytest.mark.skipif(torch.accelerator.is_available(), reason="an accelerator computes in fp16")
def test_fp16_on_a_cpu(bert, tmp_path):
    """The trainer would compute in float32 without a word."""
    with pytest.raises(UserError) as raised:
        check_feasible(bert.model, arguments(tmp_path, fp16=True))
    message = "[trainer] fp16: a CPU computes in float32 or bf16; set bf16, or leave it out"
    assert str(raised.value) == message


def test_compiling_without_a_compiler(bert, tmp_path, monkeypatch):
    """It would fail in the first step, with a page of trace."""
    monkeypatch.setenv("CXX", "no-such-compiler")
    wanted = arguments(tmp_path, torch_compile=True, use_cpu=True)
    with pytest.raises(UserError) as raised:
        check_feasible(bert.model, wanted)
    message = "[trainer] torch_compile: needs the C++ compiler no-such-compiler, which is not installed"
    assert str(raised.value) == message
    monkeypatch.setenv("CXX", sys.executable)
    check_feasible(bert.model, wanted)
