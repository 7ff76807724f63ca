"""Training where memory runs out: the same weights with less of it, or one line."""

import accelerate
import pytest
import torch
from tests.pairs.pairs_samples import pairs_of

from gistembed import MaskPolicy, UserError
from gistembed.batches import BatchPlan, TokenCache
from gistembed.models import load_model
from gistembed.train import TrainingPlan, train_student
from gistembed.train import encoder as encoder_module

PAIRS = pairs_of([(f"question {'so ' * (i % 5)}{i}", f"answer {i * i}", []) for i in range(24)])
EVERYTHING = 1 << 40


@pytest.fixture
def train(bert_folder, tmp_path):
    """Train a fresh transformer with dropout; gives its weights and the outcome."""

    def call(*, accumulation=1, graph_bytes=EVERYTHING):
        student = load_model(str(bert_folder), option="--student")
        outcome = train_student(
            student,
            PAIRS,
            [],
            TrainingPlan(
                BatchPlan(len(PAIRS), 8, seed=0),
                4,
                1e-3,
                0.0,
                0.05,
                MaskPolicy(),
                {"gradient_accumulation_steps": accumulation},
                micro_batch_tokens=60,
                graph_bytes=graph_bytes,
            ),
            tokens=TokenCache.read(student, PAIRS),
            checkpoints=tmp_path / "checkpoints",
            logs=tmp_path / "logs",
            resume=False,
        )
        return [weight.detach().clone() for weight in student.model.parameters()], outcome

    return call


def same(some, others):
    return all(torch.equal(one, other) for one, other in zip(some, others, strict=True))


def out_of_memory():
    return torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")


@pytest.mark.parametrize("accumulation", [1, 3])
def test_a_run_with_room_for_fewer_graphs_gives_the_same_weights(train, monkeypatch, accumulation):
    """Room for three graphs, found out by running out of it."""
    whole, plenty = train(accumulation=accumulation)
    assert plenty.micro_batches > 4
    assert plenty.replayed == 0
    measured = encoder_module._measured
    failures = []

    class Machine(encoder_module.MicroBatchEncoder):
        def __call__(self, model, micro_batches) -> torch.Tensor:
            self.room = 3
            return super().__call__(model, micro_batches)

        def _with_graph(self, *arguments):
            def measured_with_room(model):
                if self.room == 0:
                    failures.append(self.kept)
                    raise out_of_memory()
                self.room -= 1
                return measured(model)

            monkeypatch.setattr(encoder_module, "_measured", measured_with_room)
            return super()._with_graph(*arguments)

    monkeypatch.setattr("gistembed.train.run.MicroBatchEncoder", Machine)
    weights, outcome = train(accumulation=accumulation)
    assert set(failures) == {3}
    assert outcome.micro_batches == plenty.micro_batches
    assert outcome.replayed > 0
    assert same(weights, whole)
    assert [point.loss for point in outcome.history] == [point.loss for point in plenty.history]
    assert [point.metrics for point in outcome.history] == [point.metrics for point in plenty.history]


@pytest.mark.parametrize("accumulation", [1, 3])
def test_memory_that_runs_out_after_gradients_were_added_adds_them_once(train, monkeypatch, accumulation):
    """In the second batch, when its backward pass is nearly through."""
    whole, plenty = train(accumulation=accumulation)
    backward, calls = accelerate.Accelerator.backward, []

    def second_fails(self, loss, **options):
        backward(self, loss, **options)
        calls.append(loss)
        if len(calls) == 2:
            raise out_of_memory()

    monkeypatch.setattr(accelerate.Accelerator, "backward", second_fails)
    weights, outcome = train(accumulation=accumulation)
    assert len(calls) == 4 * accumulation + 1
    assert outcome.replayed > 0
    assert same(weights, whole)
    assert [point.metrics for point in outcome.history] == [point.metrics for point in plenty.history]


def test_no_room_even_for_one_text_names_the_setting(train, monkeypatch):
    """Fewer graphs, then smaller micro-batches, then there is nothing left to try."""
    sizes = []

    def nothing_fits(_, micro_batch):
        sizes.append(len(micro_batch["input_ids"]))
        raise out_of_memory()

    monkeypatch.setattr(encoder_module, "_embeddings", nothing_fits)
    with pytest.raises(UserError) as raised:
        train()
    assert str(raised.value) == (
        "out of memory; choose a smaller --batch-size, or shorter texts by student_max_length"
    )
    assert sizes[-1] == 1


def test_a_budget_of_nothing_is_slower_and_the_same(train):
    """One graph is kept in any case."""
    whole, _ = train()
    weights, outcome = train(graph_bytes=0)
    assert outcome.micro_batches - outcome.replayed == 1
    assert same(weights, whole)
