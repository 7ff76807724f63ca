"""What of a student is trained: adapters, or all but its first layers."""

import os
import signal
import sys

import pytest
import torch
from sentence_transformers import SentenceTransformer
from tests.pairs.pairs_samples import pairs_of
from tests.tiny_models import static_module
from transformers import (
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    ModernBertConfig,
    ModernBertModel,
    MPNetConfig,
    MPNetModel,
    Qwen2Config,
    Qwen2Model,
    T5Config,
    T5EncoderModel,
)

from gistembed import MaskPolicy, UserError
from gistembed.batches import BatchPlan, TokenCache
from gistembed.config import LoraSettings
from gistembed.models import load_model
from gistembed.train import Adaptation, TrainingPlan, adapt, merge_lora, remove_lora, train_student
from gistembed.train.adapt import embedding_part, layer_stack, linear_layers

PAIRS = pairs_of([(f"question {i}", f"answer {i * i}", []) for i in range(12)])
TEXTS = ["a question", "the answer to it"]
# Rows and columns of a layer of the tiny transformer: query, key, value, output, feed-forward in and out.
LAYER = [(32, 32), (32, 32), (32, 32), (32, 32), (64, 32), (32, 64)]
SMALL = {"vocab_size": 20, "hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 2}


@pytest.fixture
def bert(bert_folder):
    return load_model(str(bert_folder), option="--student")


@pytest.fixture
def static(static_folder):
    return load_model(str(static_folder), option="--student")


def lora(rank=4, **settings):
    return Adaptation(lora=LoraSettings(rank=rank, **settings), seed=7)


def state(model):
    return {name: weight.clone() for name, weight in model.state_dict().items()}


def trained(model):
    return {name for name, weight in model.named_parameters() if weight.requires_grad}


def learn(model, steps=3):
    """A few steps with large gradients, so that every trained weight moves."""
    optimizer = torch.optim.SGD([weight for weight in model.parameters() if weight.requires_grad], lr=0.5)
    for _ in range(steps):
        optimizer.zero_grad()
        model(model.preprocess(TEXTS))["sentence_embedding"].pow(3).sum().backward()
        optimizer.step()


def embeddings(student):
    return torch.from_numpy(student.embed(TEXTS, "anchor"))


def test_adapters_alone_are_trained(bert):
    """Two layers of six linear ones, each with A (rank × columns) and B (rows × rank)."""
    whole = sum(weight.numel() for weight in bert.model.parameters())
    layers = list(linear_layers(bert.model.transformers_model))
    record = adapt(bert.model, lora(rank=4))
    adapters = 2 * sum(4 * (rows + columns) for rows, columns in LAYER)
    assert record.model_dump() == {
        "words": "LoRA of rank 4 in 12 linear layers",
        "frozen": [],
        "lora_layers": layers,
        "trained_parameters": adapters,
        "all_parameters": whole + adapters,
    }
    assert all(".lora_A." in name or ".lora_B." in name for name in trained(bert.model))
    assert layers[0] == "encoder.layer.0.attention.self.query"
    assert not any("pooler" in name for name in layers), "it takes no part in the embedding"


def test_training_starts_from_the_student_as_it_is(bert):
    before = embeddings(bert)
    adapt(bert.model, lora())
    torch.testing.assert_close(embeddings(bert), before, rtol=0, atol=1e-6)


def test_first_weights_follow_from_the_seed_alone(bert_folder):
    """Not from what was drawn before; and what is drawn afterwards doesn't follow from them."""
    drawn = []
    for seed, disturbance in ((7, 1), (7, 2), (8, 1)):
        model = load_model(str(bert_folder), option="--student").model
        torch.manual_seed(disturbance)
        adapt(model, Adaptation(lora=LoraSettings(rank=4), seed=seed))
        after = torch.rand(1)
        torch.manual_seed(disturbance)
        assert torch.rand(1) == after
        drawn.append(next(weight for name, weight in model.named_parameters() if ".lora_A." in name))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize(("alpha", "scale"), [(None, 2.0), (4, 1.0), (2, 0.5)])
def test_merged_weights_are_the_sum(bert, alpha, scale):
    """W + alpha/rank · BA, under the names and with the modules of a student that never had an adapter."""
    before = state(bert.model)
    adapt(bert.model, lora(rank=4, alpha=alpha))
    for name, weight in bert.model.named_parameters():
        if name in trained(bert.model):
            torch.nn.init.normal_(weight, std=0.1)
    while_adapted, parts = embeddings(bert), state(bert.model)
    merge_lora(bert.model)
    merged = state(bert.model)
    assert merged.keys() == before.keys()
    for name, weight in merged.items():
        place = name.removesuffix(".weight")
        expected = before[name]
        if f"{place}.lora_A.default.weight" in parts:
            delta = parts[f"{place}.lora_B.default.weight"] @ parts[f"{place}.lora_A.default.weight"]
            expected = before[name] + scale * delta
        torch.testing.assert_close(weight, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(embeddings(bert), while_adapted, rtol=0, atol=1e-5)
    assert not hasattr(bert.model.transformers_model, "peft_config")


def test_removed_adapters_leave_the_student_as_it_was(bert):
    before = state(bert.model)
    adapt(bert.model, lora())
    learn(bert.model)
    remove_lora(bert.model)
    after = state(bert.model)
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], weight) for name, weight in before.items())


@pytest.mark.parametrize(
    ("targets", "layers"),
    [
        (("query", "value"), ["attention.self.query", "attention.self.value"]),
        (("output.dense",), ["attention.output.dense", "output.dense"]),
        (("0.attention.self.key",), ["attention.self.key"]),
    ],
)
def test_layers_are_meant_by_the_ends_of_their_names(bert, targets, layers):
    record = adapt(bert.model, lora(target_modules=targets))
    numbers = [0] if targets[0].startswith("0.") else [0, 1]
    assert record.lora_layers == [f"encoder.layer.{number}.{layer}" for number in numbers for layer in layers]


@pytest.mark.parametrize(
    ("freeze", "words", "frozen"),
    [
        ("embeddings", "embeddings frozen", ["embeddings"]),
        (1, "embeddings and the first layer frozen", ["embeddings", "encoder.layer.0"]),
    ],
)
def test_frozen_parts_keep_their_weights(bert, freeze, words, frozen):
    record = adapt(bert.model, Adaptation(freeze=freeze))
    assert (record.words, record.frozen, record.lora_layers) == (words, frozen, [])
    before = state(bert.model)
    counted = sum(w.numel() for name, w in bert.model.named_parameters() if name in trained(bert.model))
    assert record.trained_parameters == counted
    learn(bert.model)
    for name, weight in state(bert.model).items():
        inner = name.removeprefix("0.model.")
        if any(inner.startswith(f"{part}.") for part in frozen):
            assert torch.equal(weight, before[name]), name
        elif inner.startswith("encoder") and "key.bias" not in inner:
            assert not torch.equal(weight, before[name]), name


def test_a_student_that_is_trained_whole(bert):
    assert adapt(bert.model, Adaptation()) is None
    assert len(trained(bert.model)) == len(list(bert.model.parameters()))


def test_static_embeddings_under_another_layer_can_be_frozen():
    """Then the layer learns; that there is something to train is seen from the embedding."""
    from sentence_transformers.base.modules import Dense

    model = SentenceTransformer(modules=[static_module(32), Dense(32, 8)], device="cpu")
    record = adapt(model, Adaptation(freeze="embeddings"))
    assert record.frozen == ["embedding"]
    assert record.trained_parameters == 32 * 8 + 8


@pytest.mark.parametrize(
    ("adaptation", "message"),
    [
        (Adaptation(freeze=3), "--freeze 3: the student has only 2 layers; freeze fewer"),
        # Its pooler could still be trained, but the embedding doesn't depend on it.
        (
            Adaptation(freeze=2),
            "--freeze 2: nothing of the student would be left to train; freeze less",
        ),
        (
            lora(target_modules=("query", "q_proj")),
            "[lora] target_modules: the student has no linear layer 'q_proj'; they are called dense, key, "
            "query, value",
        ),
        (
            lora(target_modules=()),
            "[lora] target_modules: names no layer; leave it out for all linear layers",
        ),
    ],
)
def test_parts_that_are_not_there(bert, adaptation, message):
    with pytest.raises(UserError) as raised:
        adapt(bert.model, adaptation)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("adaptation", "message"),
    [
        (
            lora(),
            "--lora: the student is a static model, and LoRA needs the linear layers of a transformer; "
            "leave it out",
        ),
        (
            Adaptation(freeze="embeddings"),
            "--freeze embeddings: nothing of the student would be left to train; freeze less",
        ),
        (
            Adaptation(freeze=1),
            "--freeze 1: a static student has embeddings and no layers; leave it out",
        ),
    ],
)
def test_static_students_have_no_layers(static, adaptation, message):
    with pytest.raises(UserError) as raised:
        adapt(static.model, adaptation)
    assert str(raised.value) == message


def test_a_student_with_an_adapter_of_its_own(bert):
    adapt(bert.model, lora())
    with pytest.raises(UserError) as raised:
        adapt(bert.model, lora())
    message = "--lora: the student holds an adapter already; merge it into its weights first"
    assert str(raised.value) == message


def test_without_peft(bert, monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(UserError) as raised:
        adapt(bert.model, lora())
    assert str(raised.value) == "--lora: needs the package peft; run `pip install 'gistembed[lora]'`"


@pytest.mark.parametrize(
    ("model", "embedding", "stack"),
    [
        (lambda: BertModel(BertConfig(**SMALL, intermediate_size=8)), "embeddings", "encoder.layer"),
        (
            lambda: DistilBertModel(
                DistilBertConfig(vocab_size=20, dim=8, n_heads=2, n_layers=2, hidden_dim=8)
            ),
            "embeddings",
            "transformer.layer",
        ),
        (lambda: MPNetModel(MPNetConfig(**SMALL, intermediate_size=8)), "embeddings", "encoder.layer"),
        (
            lambda: ModernBertModel(
                ModernBertConfig(**SMALL, intermediate_size=8, pad_token_id=0, cls_token_id=1)
            ),
            "embeddings",
            "layers",
        ),
        (
            lambda: Qwen2Model(Qwen2Config(**SMALL, intermediate_size=8, num_key_value_heads=2)),
            "embed_tokens",
            "layers",
        ),
        (
            lambda: T5EncoderModel(
                T5Config(vocab_size=20, d_model=8, d_kv=4, d_ff=8, num_layers=2, num_heads=2)
            ),
            "shared",
            "encoder.block",
        ),
    ],
    ids=["bert", "distilbert", "mpnet", "modernbert", "qwen2", "t5"],
)
def test_parts_are_found_in_any_architecture(model, embedding, stack):
    transformer = model()
    name, layers = layer_stack(transformer)
    assert (embedding_part(transformer), name, len(layers)) == (embedding, stack, 2)
    assert linear_layers(transformer)


def test_an_interrupted_run_with_adapters_goes_on_as_the_same_run(bert_folder, tmp_path):
    """With dropout: the same weights to the bit, and no weight moves but the adapters'."""
    adaptation = lora(rank=4, dropout=0.1)
    batches = BatchPlan(12, 4, seed=0)
    plan = TrainingPlan(batches, 5, 1e-3, 0.0, 0.05, MaskPolicy(), adaptation=adaptation)

    def run(place, *, resume=False, on_step=lambda step: None):
        student = load_model(str(bert_folder), option="--student")
        outcome = train_student(
            student,
            PAIRS,
            [],
            plan,
            tokens=TokenCache.read(student, PAIRS),
            checkpoints=tmp_path / place,
            logs=tmp_path / "logs",
            resume=resume,
            on_step=on_step,
        )
        return state(student.model), outcome

    whole, _ = run("whole")
    _, cut = run("cut", on_step=lambda step: step == 2 and os.kill(os.getpid(), signal.SIGINT))
    assert (cut.finished, cut.steps) == (False, 2)
    resumed, outcome = run("cut", resume=True)
    assert (outcome.finished, outcome.steps) == (True, 5)
    assert all(torch.equal(resumed[name], weight) for name, weight in whole.items())
    fresh = load_model(str(bert_folder), option="--student").model
    adapt(fresh, adaptation)
    moved = {name for name, weight in state(fresh).items() if not torch.equal(weight, whole[name])}
    assert moved == trained(fresh)
