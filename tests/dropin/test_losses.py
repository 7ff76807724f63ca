"""The drop-in losses against sentence-transformers' own, on tiny models, and where they mean to differ."""

import functools
import inspect
import math
import re

import pytest
import torch
from datasets import Dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer import losses as peer
from tests.tiny_models import save_bert, save_static
from torch import nn

from gistembed import CachedGISTEmbedLoss, GISTEmbedLoss, GuideCollator, MarginSchedule, MaskPolicy

ROWS = [
    ("how do i reset it", "open settings", "buy a new one"),
    ("where is the key", "under the mat", "in the lake at night"),
    ("who wrote this", "nobody knows", "a cat"),
    ("what is red", "a rose is red, mostly", "the sky"),
    ("when", "on monday", "there"),
]
PEER = {"compat": "sentence-transformers"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {
        "student": save_bert(root / "student", seed=1),
        "guide": save_bert(root / "guide", seed=2),
        "prompted": save_bert(root / "prompted", seed=3, prompts={"query": "q: ", "document": "d: "}),
        "static": save_static(root / "static", seed=4),
        "static guide": save_static(root / "static guide", seed=5, dimensions=8),
    }


def load(folders, name, *, dropout=False):
    model = SentenceTransformer(str(folders[name]), device="cpu")
    return model.train() if dropout else model.eval()


def features(model, columns=3, rows=ROWS):
    return [model.preprocess([row[column] for row in rows]) for column in range(columns)]


def loss_and_gradients(loss, columns, labels=None):
    loss.zero_grad()
    value = loss(columns, labels)
    value.backward()
    gradients = {
        name.removeprefix("model."): parameter.grad.clone()
        for name, parameter in loss.named_parameters()
        if name.startswith("model.") and parameter.grad is not None
    }
    return value.detach(), gradients


def assert_same(first, second, tolerance=1e-5):
    torch.testing.assert_close(first[0], second[0], rtol=tolerance, atol=tolerance)
    assert first[1].keys() == second[1].keys()
    for name, gradient in first[1].items():
        scale = max(float(second[1][name].abs().max()), 1e-3)
        torch.testing.assert_close(gradient / scale, second[1][name] / scale, rtol=0, atol=10 * tolerance)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(GISTEmbedLoss, peer.GISTEmbedLoss), (CachedGISTEmbedLoss, peer.CachedGISTEmbedLoss)],
)
def test_the_constructor_is_the_peers(ours, theirs):
    expected = list(inspect.signature(theirs).parameters.values())
    found = list(inspect.signature(ours).parameters.values())
    assert [(one.name, one.default, one.kind) for one in found[: len(expected)]] == [
        (one.name, one.default, one.kind) for one in expected
    ]
    assert all(one.kind is inspect.Parameter.KEYWORD_ONLY for one in found[len(expected) :])


@pytest.mark.parametrize("columns", [2, 3])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"margin": 0.05, "temperature": 0.1},
        {"margin": -0.05, "margin_strategy": "relative", "contrast_anchors": False},
        {"contrast_positives": False},
    ],
    ids=["default", "margin", "relative", "blocks"],
)
def test_the_peers_loss_and_gradients(folders, columns, options):
    student, guide = load(folders, "student"), load(folders, "guide")
    inputs = [features(student, columns) for _ in range(2)]
    assert_same(
        loss_and_gradients(GISTEmbedLoss(student, guide, **options, **PEER), inputs[0]),
        loss_and_gradients(peer.GISTEmbedLoss(student, guide, **options), inputs[1]),
    )


def test_the_cached_peers_loss_and_gradients(folders):
    student, guide = load(folders, "student"), load(folders, "guide")
    options = {"margin": 0.05, "mini_batch_size": 2}
    inputs = [[*features(student), *features(student)[::-1][:1]] for _ in range(2)]
    assert_same(
        loss_and_gradients(CachedGISTEmbedLoss(student, guide, **options, **PEER), inputs[0]),
        loss_and_gradients(peer.CachedGISTEmbedLoss(student, guide, **options), inputs[1]),
    )


@pytest.mark.parametrize("options", [{}, {"mini_batch_num_tokens": 30}], ids=["rows", "tokens"])
@pytest.mark.parametrize("columns", [2, 3])
def test_caching_changes_nothing(folders, columns, options):
    student, guide = load(folders, "student"), load(folders, "guide")
    cached = CachedGISTEmbedLoss(student, guide, mini_batch_size=2, **options)
    plain = loss_and_gradients(GISTEmbedLoss(student, guide), features(student, columns))
    assert_same(loss_and_gradients(cached, features(student, columns)), plain)
    scaled = cached(features(student, columns), None) * 3
    cached.zero_grad()
    scaled.backward()
    name, gradient = next((n, p.grad) for n, p in student.named_parameters() if p.grad is not None)
    torch.testing.assert_close(gradient, 3 * plain[1][name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", ["student", "static"])
@pytest.mark.parametrize("shape", [(), (1,)])
def test_a_learned_temperature_gets_the_same_gradient(folders, kind, shape):
    """With and without caching, whatever the loss is multiplied by, and alone or under MatryoshkaLoss."""
    student, guide = load(folders, kind), load(folders, kind)
    inputs = [features(student) for _ in range(4)]
    made = []
    for loss_kind, options in ((GISTEmbedLoss, {}), (CachedGISTEmbedLoss, {"mini_batch_size": 2})):
        temperature = nn.Parameter(torch.full(shape, 0.05))
        loss = loss_kind(student, guide, temperature=temperature, **options)
        (loss(inputs.pop(), None) * 3).backward()
        alone = temperature.grad.clone()
        temperature.grad = None
        around = peer.MatryoshkaLoss(student, loss, [student.get_embedding_dimension(), 4], [1.0, 0.5])
        around(inputs.pop(), None).backward()
        made.append([alone, temperature.grad])
    torch.testing.assert_close(made[1], made[0], rtol=1e-4, atol=1e-5)
    assert made[0][0].abs() > 1e-3


def test_dropout_is_replayed(folders):
    """One mini-batch for each column draws the same random numbers as the plain loss does."""
    student, guide = load(folders, "student", dropout=True), load(folders, "guide")
    results = []
    for loss in (GISTEmbedLoss(student, guide), CachedGISTEmbedLoss(student, guide, mini_batch_size=8)):
        torch.manual_seed(0)
        results.append(loss_and_gradients(loss, features(student)))
    assert_same(results[1], results[0])
    torch.manual_seed(1)
    other = loss_and_gradients(GISTEmbedLoss(student, guide), features(student))
    assert abs(other[0] - results[0][0]) > 1e-4


@pytest.mark.parametrize("kind", [GISTEmbedLoss, CachedGISTEmbedLoss])
def test_any_number_of_negatives(folders, kind):
    student, guide = load(folders, "student"), load(folders, "guide")
    columns = [*features(student, 3), *features(student, 3)[1:]]
    loss = kind(student, guide, policy=MaskPolicy(limit_floor=2.0))
    loss(columns, None)
    # The third and fourth columns of negatives repeat positives and negatives: their texts are known.
    assert loss.metrics["negatives_per_row"] == 4 * 3 + 5 + 5 + 4


def test_equal_texts_are_no_negatives(folders):
    """Row 1 repeats the positive of row 0, and row 2 the anchor: the peer contrasts them with themselves."""
    student, guide = load(folders, "student"), load(folders, "guide")
    rows = [("a b", "c d"), ("e", "c d"), ("a b", "f")]
    found = {}
    for compat in ("default", "sentence-transformers"):
        loss = GISTEmbedLoss(student, guide, margin=-2.0, compat=compat)
        loss(features(student, 2, rows), None)
        found[compat] = loss.metrics["negatives_per_row"]
    # By row, ap + aa + pp: 1 + 1 + 1, 1 + 2 + 1, 2 + 1 + 2; all but the own positive: 2 + 3 + 3 each.
    assert found == {"default": pytest.approx(12 / 3), "sentence-transformers": 8}


@pytest.mark.parametrize("compat", ["default", "sentence-transformers"])
@pytest.mark.parametrize("kind", [GISTEmbedLoss, CachedGISTEmbedLoss])
def test_static_students(folders, kind, compat):
    """They share the guide's tokens, or the guide reads them decoded; both losses say the same."""
    student, guide = load(folders, "static"), load(folders, "static guide")
    loss = kind(student, guide, compat=compat)
    value, gradients = loss_and_gradients(loss, features(student))
    plain = loss_and_gradients(GISTEmbedLoss(student, guide, compat=compat), features(student))
    assert_same((value, gradients), plain)
    with torch.no_grad():
        assert loss(features(student), None).item() == pytest.approx(value.item())


@pytest.mark.parametrize("names", [("student", "static guide"), ("static", "guide")])
def test_a_guide_of_another_tokenizer_reads_decoded_tokens_and_says_so_once(folders, names):
    student, guide = load(folders, names[0]), load(folders, names[1])
    loss = GISTEmbedLoss(student, guide)
    lost = "cut at the student's 24 tokens" if names[0] == "student" else "without the signs that"
    with pytest.warns(UserWarning, match=f"reads the student's tokens turned back into text: {lost}") as seen:
        loss(features(student), None)
    # A second warning would be an error.
    first = loss(features(student), None)
    assert len(seen) == 1
    assert "data_collator=gistembed.GuideCollator(model, guide)" in str(seen[0].message)
    # Lower-case letters and spaces survive both tokenizers.
    read = [[row[column] for row in ROWS] for column in range(3)]
    given = {"guide_batches": [guide.preprocess(column) for column in read]}
    given["guide_units"] = torch.arange(15).reshape(3, 5).T
    assert loss(features(student), given).item() == pytest.approx(first.item(), rel=1e-5)


def test_the_warning_names_what_is_lost(folders):
    student, guide = load(folders, "static"), load(folders, "prompted")
    message = "without the guide's own prompt 'q: '"
    with pytest.warns(UserWarning, match=re.escape(message)):
        GISTEmbedLoss(student, guide)(features(student), None)


def test_a_guide_with_the_students_tokens_reads_no_prompt_of_its_own_and_says_so(folders):
    student, guide = load(folders, "student"), load(folders, "prompted")
    message = (
        "the guide reads the student's tokens, without its own prompt 'q: '. Give the trainer "
        "data_collator=gistembed.GuideCollator(model, guide), and the guide reads the raw texts"
    )
    loss = GISTEmbedLoss(student, guide)
    with pytest.warns(UserWarning, match=f"^{re.escape(message)}$"):
        loss(features(student), None)
    # A second warning would be an error.
    loss(features(student), None)


def test_a_model_without_tokenizer_is_refused_where_its_tokens_are_needed(folders):
    student = load(folders, "student")
    guide = SentenceTransformer(modules=[nn.Identity()], device="cpu")
    with pytest.raises(ValueError, match=r"^student and guide need a tokenizer; one of them has none$"):
        GISTEmbedLoss(student, guide)(features(student), None)
    GISTEmbedLoss(student, guide, policy=MaskPolicy(scorer="student"))(features(student), None)


def test_the_guide_is_frozen_and_no_part_of_the_loss(folders):
    student, guide = load(folders, "student"), load(folders, "guide", dropout=True)
    loss = GISTEmbedLoss(student, guide)
    assert {name.split(".")[0] for name, _ in loss.named_parameters()} == {"model"}
    assert {name.split(".")[0] for name in loss.state_dict()} == {"model"}
    assert loss.guide is guide
    before = {name: value.clone() for name, value in guide.state_dict().items()}
    loss_and_gradients(loss, features(student))
    assert not guide.training
    assert not any(parameter.requires_grad for parameter in guide.parameters())
    assert all(torch.equal(before[name], value) for name, value in guide.state_dict().items())


def test_a_guide_left_in_training_mode_does_not_flicker(folders):
    student, guide = load(folders, "student"), load(folders, "guide")
    loss = GISTEmbedLoss(student, guide)
    expected = loss(features(student), None)
    guide.train()
    assert loss(features(student), None) == expected


def test_a_student_that_is_its_own_guide(folders):
    """No second forward pass, and the student goes on learning."""
    student = load(folders, "student")
    calls = []
    handle = student.register_forward_pre_hook(lambda *_: calls.append(1))
    itself = loss_and_gradients(GISTEmbedLoss(student, student), features(student))
    handle.remove()
    assert len(calls) == 3
    policy = MaskPolicy(scorer="student")
    by_policy = GISTEmbedLoss(student, load(folders, "guide"), policy=policy)
    assert_same(loss_and_gradients(by_policy, features(student)), itself)
    assert all(parameter.requires_grad for parameter in student.parameters())


@pytest.mark.parametrize(
    ("kind", "options"),
    [(GISTEmbedLoss, {}), (CachedGISTEmbedLoss, {"mini_batch_size": 2})],
    ids=["plain", "cached"],
)
def test_matryoshka_around_it(folders, kind, options):
    """The sum over dimensions that our own call gives, with the guide asked once."""
    student, guide = load(folders, "student"), load(folders, "guide")
    calls = []
    handle = guide.register_forward_pre_hook(lambda *_: calls.append(1))
    dims, weights = [32, 16, 8], [1.0, 0.5, 0.25]
    inner = kind(student, guide, **options)
    around = peer.MatryoshkaLoss(student, inner, dims, weights)
    value = around(features(student), None)
    expected_calls = len(calls)
    student.zero_grad()
    value.backward()
    gradients = {name: p.grad.clone() for name, p in student.named_parameters() if p.grad is not None}
    handle.remove()
    assert expected_calls == (3 if kind is GISTEmbedLoss else 9)

    loss = GISTEmbedLoss(student, guide)
    total, summed = 0.0, {}
    for dim, weight in zip(dims, weights, strict=True):
        student.truncate_dim = None
        cut = _Cut(student, dim)
        loss.model = cut
        part, its = loss_and_gradients(loss, features(student))
        total += weight * part
        for name, gradient in its.items():
            name = name.removeprefix("inner.")
            summed[name] = summed.get(name, 0) + weight * gradient
    assert_same((value.detach(), gradients), (total, summed))


class _Cut(nn.Module):
    """A model whose embeddings are cut to their leading dimensions."""

    def __init__(self, inner, dim) -> None:
        super().__init__()
        self.inner, self.dim = inner, dim

    def forward(self, inputs):
        return {"sentence_embedding": self.inner(inputs)["sentence_embedding"][:, : self.dim]}


@pytest.mark.parametrize("kind", ["plain", "cached"])
def test_training_is_the_peers_training(folders, tmp_path, kind):
    """The same trainer, data and seed: after three steps the weights are the peer's.

    Without dropout, since the peer embeds its columns in another order; with plain descent, since Adam makes
    the most of gradients that are nothing but rounding.
    """
    options = {"mini_batch_size": 2} if kind == "cached" else {}
    ours = CachedGISTEmbedLoss if kind == "cached" else GISTEmbedLoss
    theirs = peer.CachedGISTEmbedLoss if kind == "cached" else peer.GISTEmbedLoss
    weights = [
        trained(folders, tmp_path, functools.partial(make, temperature=0.1, **options, **more))
        for make, more in ((ours, PEER), (theirs, {}))
    ]
    before = load(folders, "student").state_dict()
    for name, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][name], rtol=1e-3, atol=2e-5)
    assert any((value - before[name]).abs().max() > 1e-3 for name, value in weights[0].items())


@pytest.mark.parametrize("kind", [GISTEmbedLoss, CachedGISTEmbedLoss])
@pytest.mark.parametrize("student", ["student", "static"])
def test_it_trains_and_evaluates_with_the_raw_texts(folders, tmp_path, kind, student):
    log = []
    weights = trained(
        folders,
        tmp_path,
        lambda model, guide: kind(model, guide, temperature=nn.Parameter(torch.tensor(0.1))),
        student=student,
        guide="prompted",
        collator=GuideCollator,
        evaluate=True,
        log=log,
    )
    before = load(folders, student).state_dict()
    assert any(not torch.equal(value, before[name]) for name, value in weights.items())
    assert all(math.isfinite(entry["eval_loss"]) for entry in log if "eval_loss" in entry)
    assert any("eval_loss" in entry for entry in log)


def trained(
    folders, tmp_path, make_loss, student="student", guide="guide", collator=None, evaluate=False, log=None
):
    model, teacher = load(folders, student), load(folders, guide)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    data = Dataset.from_list(
        [dict(zip(("anchor", "positive", "negative"), row, strict=True)) for row in ROWS * 2]
    )
    loss = make_loss(model, teacher)
    trainer = SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(
            output_dir=str(tmp_path),
            max_steps=3,
            per_device_train_batch_size=4,
            per_device_eval_batch_size=4,
            learning_rate=1e-2 if evaluate else 1e-1,
            optim="adamw_torch" if evaluate else "sgd",
            lr_scheduler_type="constant",
            seed=3,
            logging_steps=1,
            save_strategy="no",
            eval_strategy="steps" if evaluate else "no",
            eval_steps=2,
            report_to="none",
            disable_tqdm=True,
            dataloader_pin_memory=False,
        ),
        train_dataset=data,
        eval_dataset=data if evaluate else None,
        loss=loss,
        data_collator=None if collator is None else collator(model, teacher),
    )
    learned = [
        parameter for group in trainer.create_optimizer().param_groups for parameter in group["params"]
    ]
    if isinstance(loss, GISTEmbedLoss | CachedGISTEmbedLoss):
        assert not {id(one) for one in teacher.parameters()} & {id(one) for one in learned}
    if isinstance(loss.temperature, nn.Parameter):
        assert any(one is loss.temperature for one in learned)
    trainer.train()
    if log is not None:
        log += trainer.state.log_history
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_a_scheduled_margin_counts_trained_batches(folders):
    student, guide = load(folders, "student"), load(folders, "guide")
    loss = GISTEmbedLoss(student, guide, margin=MarginSchedule(-3.0, 3.0, steps=1), contrast_anchors=False)
    with torch.no_grad():
        loss(features(student), None)
    loss(features(student), None)
    assert loss.metrics["mask_rate/ap"] == 0
    loss(features(student), None)
    assert loss.metrics["mask_rate/ap"] == 1


@pytest.mark.parametrize("kind", [GISTEmbedLoss, CachedGISTEmbedLoss])
def test_the_kernel_is_handed_on(folders, kind, monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    student, guide = load(folders, "student"), load(folders, "guide")
    with pytest.raises(ValueError, match=r"^kernel: 'triton' can't be used: "):
        kind(student, guide, kernel="triton")(features(student), None)


def test_settings_for_the_model_card(folders):
    student, guide = load(folders, "student"), load(folders, "guide")
    plain = GISTEmbedLoss(student, guide, margin=0.1, hardness_mode="all_negatives", hardness_strength=2.0)
    config = plain.get_config_dict()
    theirs = peer.GISTEmbedLoss(student, guide, margin=0.1).get_config_dict()
    assert {name: config[name] for name in theirs} == theirs
    assert (config["hardness_mode"], config["compat"]) == ("all_negatives", "default")
    cached = CachedGISTEmbedLoss(student, guide, temperature=nn.Parameter(torch.tensor(0.5)))
    assert cached.get_config_dict()["temperature"] == 0.5
    assert cached.get_config_dict()["mini_batch_size"] == 32
    assert "2402.16829" in cached.citation


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda s, g: GISTEmbedLoss(s, g, margin=math.nan),
            "margin: nan for block ap is not a finite number",
        ),
        (
            lambda s, g: GISTEmbedLoss(s, g, margin=0.1, policy=MaskPolicy()),
            "policy: given together with margin, blocks or compat; put them into the policy",
        ),
        (
            lambda s, g: CachedGISTEmbedLoss(s, g, mini_batch_size=0),
            "mini_batch_size: expected at least 1, got 0",
        ),
        (
            lambda s, g: CachedGISTEmbedLoss(s, g, mini_batch_num_tokens=-1),
            "mini_batch_num_tokens: expected at least 1, got -1",
        ),
        (
            lambda s, g: GISTEmbedLoss(s, g)(features(s, 1), None),
            "GISTEmbedLoss: expected columns (anchor, positive, negatives …), got 1",
        ),
        (
            lambda s, g: GISTEmbedLoss(s, g, temperature=0.0)(features(s), None),
            "temperature: expected a finite number above 0, got 0.0",
        ),
    ],
)
def test_refusals(folders, make, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        make(load(folders, "student"), load(folders, "guide"))


def test_gathering_without_ranks_is_said_to_have_no_effect(folders):
    student, guide = load(folders, "student"), load(folders, "guide")
    loss = GISTEmbedLoss(student, guide, gather_across_devices=True)
    with pytest.warns(UserWarning, match="^gather_across_devices has no effect: there is one process$"):
        loss(features(student), None)
    # A second warning would be an error.
    loss(features(student), None)
