"""Adapters, frozen layers and Matryoshka through the whole way, with a prompt for each role."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from datasets import Dataset
from safetensors.numpy import load_file
from sentence_transformers import SentenceTransformer

from gistembed import UserError, fit
from gistembed.saving import save_trained
from tests.real_text import documentation_pairs

TEXTS = ["how to open a file", "close the window"]
PROMPTS = {"anchor": "ask: ", "document": "read: "}


@pytest.fixture(scope="module")
def pairs():
    anchors, positives = zip(*documentation_pairs()[:100], strict=True)
    return Dataset.from_dict({"query": list(anchors), "answer": list(positives)})


@pytest.fixture(scope="module")
def train(tmp_path_factory, pairs, bert_folder, static_folder):
    """Train the tiny transformer, guided by the static model."""

    def call(**settings):
        folder = tmp_path_factory.mktemp("run")
        least = {
            "batch_size": 15,
            "steps": 4,
            "learning_rate": 0.02,
            "student_prompts": PROMPTS,
            "quiet": True,
        }
        return fit(
            pairs, bert_folder, static_folder, out=folder / "out", store=folder / "s", **least | settings
        )

    return call


@pytest.fixture(scope="module")
def with_lora(train):
    """Adapters, Matryoshka, recomputed activations and bf16, all at once, and no padding."""
    return train(
        padding_free=True,
        lora={"rank": 4, "target_modules": ["query", "value"]},
        matryoshka=[16, 4],
        trainer={"bf16": True, "gradient_checkpointing": True},
    )


def weights(folder):
    return load_file(folder / "model.safetensors")


def test_the_model_holds_its_adapters_and_needs_no_peft(with_lora, bert_folder):
    """The names and files of the student's own folder, loaded where peft can't be imported."""
    base, tuned = weights(bert_folder), weights(with_lora.model)
    assert tuned.keys() == base.keys()
    moved = {name for name in base if not np.array_equal(base[name], tuned[name])}
    assert moved == {name for name in base if name.endswith((".query.weight", ".value.weight"))}
    assert not (with_lora.model / "adapter_config.json").exists()
    code = (
        "import sys; sys.modules['peft'] = None\n"
        "from sentence_transformers import SentenceTransformer\n"
        f"print(SentenceTransformer({str(with_lora.model)!r}, device='cpu').prompts)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str({"query": "ask: ", "document": "read: "})


def test_the_adapter_makes_the_student_the_trained_model(with_lora, bert_folder):
    """As peft's users load it; and it names the student as the user did."""
    adapter = with_lora.model.parent / "adapter"
    settings = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    assert settings["base_model_name_or_path"] == str(bert_folder)
    assert (settings["r"], settings["lora_alpha"]) == (4, 8)
    student = SentenceTransformer(str(bert_folder), device="cpu")
    before = student.encode(TEXTS)
    student.load_adapter(str(adapter))
    tuned = SentenceTransformer(str(with_lora.model), device="cpu")
    np.testing.assert_allclose(student.encode(TEXTS), tuned.encode(TEXTS, prompt=""), atol=1e-5)
    assert np.abs(student.encode(TEXTS) - before).max() > 1e-3


def test_the_record_says_what_was_trained(with_lora, bert_folder):
    """Two layers of two linear ones of 32 × 32."""
    record, size = with_lora.record, sum(weight.size for weight in weights(bert_folder).values())
    assert record.adaptation is not None
    assert record.adaptation.words == "LoRA of rank 4 in 4 linear layers"
    assert record.adaptation.trained_parameters == 4 * 4 * (32 + 32)
    assert record.adaptation.all_parameters == size + 4 * 4 * (32 + 32)
    assert record.trainings[0].padding_free
    page = with_lora.report.read_text(encoding="utf-8")
    assert "LoRA of rank 4 in 4 linear layers" in page


def test_scores_at_each_number_of_dimensions(with_lora):
    """The widest are those of the whole embeddings; base and tuned stand side by side."""
    for evaluation in with_lora.record.evaluations:
        assert [one.dimensions for one in evaluation.by_dimensions] == [32, 16, 4]
        for name, scores in evaluation.scores.items():
            assert evaluation.by_dimensions[0].scores[name] == scores[evaluation.metric]
            means = [one.scores[name].mean for one in evaluation.by_dimensions]
            assert len(set(means)) > 1, "cutting the embeddings changed nothing"
    page = with_lora.report.read_text(encoding="utf-8")
    assert "embeddings cut to their first numbers" in page


def test_a_run_without_matryoshka_has_no_such_scores(train):
    result = train(freeze=1)
    assert [evaluation.by_dimensions for evaluation in result.record.evaluations] == [[], []]
    page = result.report.read_text(encoding="utf-8")
    assert "embeddings cut to their first numbers" not in page
    assert "embeddings and the first layer frozen" in page
    assert not (result.model.parent / "adapter").exists()


def test_more_dimensions_than_there_are(train):
    with pytest.raises(UserError) as raised:
        train(matryoshka=[64, 16])
    assert str(raised.value) == "--matryoshka 64: the student's embeddings have 32 numbers; choose fewer"


def test_a_student_that_must_pad_is_refused_before_the_guide_works(
    pairs, bert_folder, static_folder, tmp_path
):
    with pytest.raises(UserError) as raised:
        fit(pairs, static_folder, bert_folder, out=tmp_path / "out", store=tmp_path / "s", padding_free=True)
    assert str(raised.value) == "padding_free: the student is no plain transformer; leave it out"
    assert not any(tmp_path.iterdir())


def test_gpus_that_stand_idle_are_named(train, monkeypatch, capfd):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    train(steps=1, quiet=False, trainer={"use_cpu": False}, guide_workers=1)
    line = "one of 4 GPUs is trained on; `torchrun --nproc-per-node 4 -m gistembed fit …` takes all of them"
    assert line in " ".join(capfd.readouterr().err.split())
    train(steps=1, quiet=False, trainer={"use_cpu": True}, guide_workers=1)
    assert "GPUs" not in capfd.readouterr().err


def test_a_model_that_reads_back_as_another_is_refused(train, monkeypatch):
    """As if merging had left the adapters out."""

    def without_merging(run, student, folder, place):
        with monkeypatch.context() as patch:
            from gistembed.train import remove_lora

            patch.setattr("gistembed.saving.merge_lora", remove_lora)
            save_trained(run, student, folder, place)

    monkeypatch.setattr("gistembed.pipeline.save_trained", without_merging)
    with pytest.raises(
        UserError, match=r"/model: what was saved is not what was trained: its embeddings differ by up to 0\."
    ):
        train(lora=4)
