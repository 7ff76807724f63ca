"""Micro-batches within a budget of memory: the same numbers whatever is kept."""

import copy
import gc
import weakref
from typing import ClassVar

import numpy as np
import pytest
import torch
from tests.pairs.pairs_samples import pairs_of

from gistembed import MaskPolicy
from gistembed.batches import PairCollator, TokenCache
from gistembed.models import load_model
from gistembed.train.encoder import MicroBatchEncoder
from gistembed.train.memory import BeforeStep, default_graph_bytes, free_bytes
from gistembed.train.module import BatchLoss

WORDS = ("who", "what else", "where is it", "when", "why would that be so", "how", "which one of them")
PAIRS = pairs_of(
    [(f"{word} {i}?", f"{word} {'and so on ' * (i % 4)}{i}!", []) for i, word in enumerate(WORDS * 3)]
)
EVERYTHING = 1 << 40


@pytest.fixture(params=["static", "bert"])
def student(request):
    """A student in training mode: the transformer drops out."""
    student = load_model(str(request.getfixturevalue(f"{request.param}_folder")), option="--student")
    student.model.train()
    return student


@pytest.fixture
def bert(bert_folder):
    """A transformer in training mode."""
    student = load_model(str(bert_folder), option="--student")
    student.model.train()
    return student


def micro_batches(student, tokens):
    """All pairs as one batch; features of its micro-batches, and labels."""
    collator = PairCollator(student, PAIRS, TokenCache.read(student, PAIRS), micro_batch_tokens=tokens)
    batch = collator(range(len(PAIRS)))
    groups: dict[str, dict] = {}
    for name, value in batch.items():
        if name != "label":
            group, feature = name[:11], name[12:]
            groups.setdefault(group, {})[feature] = value
    return list(groups.values()), batch["label"]


def loss_and_gradients(student, encoder, tokens=120, seed=3):
    """What one batch gives."""
    features, labels = micro_batches(student, tokens)
    student.model.zero_grad()
    torch.manual_seed(seed)
    loss = BatchLoss(student.model, [], MaskPolicy(), 0.05, encoder=encoder)(features, labels)
    loss.backward()
    # BERT's pooler has no part in the embedding.
    gradients = {
        name: weight.grad.clone()
        for name, weight in student.model.named_parameters()
        if weight.grad is not None
    }
    return loss.detach(), gradients, torch.get_rng_state()


def test_what_is_replayed_changes_no_bit(student):
    """Dropout included: the loss, each gradient and the random state after it are those of kept graphs."""
    everything = MicroBatchEncoder(EVERYTHING)
    loss, gradients, random = loss_and_gradients(student, everything)
    assert everything.replayed == 0
    count = everything.kept
    for budget in (0, everything._taken // 3, everything._taken // 2):
        encoder = MicroBatchEncoder(budget)
        again, same, after = loss_and_gradients(student, encoder)
        assert torch.equal(loss, again)
        assert torch.equal(random, after)
        assert all(torch.equal(gradients[name], same[name]) for name in gradients)
        assert encoder.kept + encoder.replayed == count
        if count > 1:
            assert encoder.replayed


def test_dropout_is_on_in_these_tests(bert):
    """Other random numbers, another loss."""
    encoder = MicroBatchEncoder(0)
    assert loss_and_gradients(bert, encoder)[0] != loss_and_gradients(bert, encoder, seed=4)[0]


@pytest.mark.parametrize("tokens", [1, 50, 400])
@pytest.mark.parametrize("budget", [0, EVERYTHING])
@pytest.mark.parametrize("pieces", [1, 3])
def test_micro_batches_give_what_the_whole_batch_gives(student, tokens, budget, pieces):
    """Without dropout: loss and gradients within 5e-6 of the batch in one piece, in float64."""
    student.model.eval().double()
    whole, wanted, _ = loss_and_gradients(student, MicroBatchEncoder(EVERYTHING), tokens=10**9)
    student.model.float()
    encoder = MicroBatchEncoder(budget)
    encoder.pieces = pieces
    loss, gradients, _ = loss_and_gradients(student, encoder, tokens=tokens)
    assert loss == pytest.approx(float(whole), rel=5e-6)
    largest = max(float(gradient.abs().max()) for gradient in wanted.values())
    for name, gradient in wanted.items():
        assert float((gradients[name].double() - gradient).abs().max()) <= 5e-6 * largest, name


def test_as_many_graphs_are_kept_as_fit(bert):
    """What is kept grows with the budget, and what autograd holds stays within it."""
    everything = MicroBatchEncoder(EVERYTHING)
    loss_and_gradients(bert, everything)
    taken, kept = everything._taken, []
    for share in (0, 0.25, 0.5, 0.75, 1, 1.5):
        encoder = MicroBatchEncoder(int(share * taken))
        loss_and_gradients(bert, encoder)
        assert encoder.kept == 1 or encoder._taken <= share * taken
        kept.append(encoder.kept)
    assert kept == sorted(kept)
    assert kept[0] == 1
    assert kept[2] > 1
    assert kept[-1] == everything.kept


def test_short_texts_are_not_taken_for_long_ones():
    """The widest comes first: what it takes tells the most that others may, and they are kept."""
    taken = []

    class Wide(torch.nn.Module):
        """A graph of 400 bytes for each token."""

        def forward(self, features):
            taken.append(features["input_ids"].shape[1])
            tokens = torch.ones(features["input_ids"].shape, requires_grad=True)
            return {"sentence_embedding": (tokens[..., None] * torch.ones(100)).pow(2).sum(1)}

    short = [{"input_ids": torch.ones(4, width, dtype=torch.long)} for width in (1, 2, 3)]
    long = {"input_ids": torch.ones(1, 64, dtype=torch.long)}
    encoder = MicroBatchEncoder(2 * 64 * 400 + 2 * (4 + 8 + 12) * 400)
    embeddings = encoder(Wide(), [*short, long])
    assert taken == [64, 1, 2, 3]
    assert (encoder.kept, encoder.replayed) == (4, 0)
    assert embeddings.shape == (13, 100)
    assert embeddings[:, 0].tolist() == [1] * 4 + [2] * 4 + [3] * 4 + [64]


def test_a_graph_is_measured_as_what_autograd_saves():
    """Each storage once, and no weights."""
    weight = torch.nn.Linear(8, 8, bias=False)

    class Squared(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = weight

        def forward(self, features):
            hidden = self.weight(features["x"])
            return {"sentence_embedding": hidden * hidden}

    encoder = MicroBatchEncoder(EVERYTHING)
    encoder(Squared(), [{"x": torch.ones(4, 8)}])
    # The input, for the weight's gradient; the hidden state, once though it is saved twice.
    assert encoder._taken == 2 * 4 * 8 * 4


class _Exponential(torch.autograd.Function):
    """A node that saves its output, as many do."""

    nodes: ClassVar[list[weakref.ref]] = []

    @staticmethod
    def forward(ctx, value) -> torch.Tensor:
        ctx.save_for_backward(result := value.exp())
        _Exponential.nodes.append(weakref.ref(ctx))
        return result

    @staticmethod
    def backward(ctx, gradient) -> torch.Tensor:
        return gradient * ctx.saved_tensors[0]


def test_a_graph_that_no_backward_pass_frees_is_freed_with_its_embeddings():
    """Measuring leaves no circle of a node and its output behind."""

    class Exponential(torch.nn.Linear):
        def forward(self, features):
            return {"sentence_embedding": _Exponential.apply(super().forward(features["x"]))}

    gc.collect()
    gc.disable()
    try:
        embeddings = MicroBatchEncoder(EVERYTHING)(Exponential(8, 8), [{"x": torch.ones(4, 8)}])
        assert _Exponential.nodes[0]() is not None
        del embeddings
        assert _Exponential.nodes[0]() is None
    finally:
        gc.enable()


def test_without_gradients_nothing_is_kept(student):
    """As for evaluation."""
    encoder = MicroBatchEncoder(EVERYTHING)
    with torch.no_grad():
        embeddings = encoder(student.model, micro_batches(student, 100)[0])
    assert not embeddings.requires_grad
    assert encoder.kept == encoder.replayed == 0


def test_less_memory_is_fewer_graphs_and_then_smaller_micro_batches(bert):
    """Until each text goes alone; then there is nothing left to lower."""
    encoder = MicroBatchEncoder(EVERYTHING)
    steps = []
    while True:
        loss_and_gradients(bert, encoder)
        steps.append((encoder.kept, encoder.kept + encoder.replayed))
        if not encoder.lower():
            break
    kept, parts = zip(*steps, strict=True)
    assert kept[0] == parts[0] > 1
    assert kept[-1] == 1
    assert list(parts) == sorted(parts)
    assert parts[-1] == len(PAIRS.text_ids())
    assert parts[0] == parts[kept.index(1)], "graphs go before micro-batches are cut"


def test_a_step_that_failed_leaves_nothing_behind(bert):
    """Gradients that were there before stay; random numbers are drawn again."""
    _, gradients, _ = loss_and_gradients(bert, MicroBatchEncoder(EVERYTHING))
    torch.manual_seed(8)
    before = BeforeStep(bert.model)
    drawn = torch.rand(3)
    for name, parameter in bert.model.named_parameters():
        if name in gradients:
            parameter.grad += 1
    before.restore()
    assert torch.equal(torch.rand(3), drawn)
    for name, parameter in bert.model.named_parameters():
        assert name not in gradients or torch.equal(parameter.grad, gradients[name])
    bert.model.zero_grad()
    before = BeforeStep(bert.model)
    loss_and_gradients(bert, MicroBatchEncoder(EVERYTHING))
    before.restore()
    assert all(parameter.grad is None for parameter in bert.model.parameters())


def test_metrics_of_a_failed_attempt_are_forgotten(bert):
    """Also if it failed before it had any."""
    features, labels = micro_batches(bert, 100)
    loss = BatchLoss(bert.model.eval(), [], MaskPolicy(), 0.05)
    loss(features, labels)
    once = copy.copy(loss._sums)
    loss(features, labels)
    loss.undo()
    assert loss._batches == 1
    assert loss._sums == once
    with pytest.raises(KeyError):
        loss(features, {})
    loss.undo()
    assert loss._batches == 1


def test_what_a_control_group_leaves_counts(monkeypatch, tmp_path):
    """Not what the machine has; its cache makes room."""
    monkeypatch.setattr("gistembed.train.memory._CGROUP", tmp_path)
    device = torch.device("cpu")
    plain = free_bytes(device)
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("700000\n")
    (tmp_path / "memory.stat").write_text("anon 600000\ninactive_file 50000\nslab 3\n")
    assert free_bytes(device) == 350_000
    (tmp_path / "memory.max").write_text("max\n")
    assert free_bytes(device) == pytest.approx(plain, rel=0.5)
    assert np.log10(plain) > 7


def test_processes_of_one_machine_share_its_memory(monkeypatch):
    monkeypatch.setattr("gistembed.train.memory.free_bytes", lambda device: 1000)
    model = torch.nn.Linear(9, 5, bias=False)
    model.register_parameter("frozen", torch.nn.Parameter(torch.empty(1000), requires_grad=False))
    assert default_graph_bytes(model) == (1000 - 12 * 45) // 2
    model.requires_grad_(False)
    assert default_graph_bytes(model) == 500
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert default_graph_bytes(model) == 125
    monkeypatch.setattr("gistembed.train.memory.free_bytes", lambda device: 0)
    assert default_graph_bytes(model.requires_grad_(True)) == 0
