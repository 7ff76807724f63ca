"""Several processes train as one does: the same order, losses and weights, whatever their number."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tests.tiny_models import save_bert
from tests.train.together import trained

ROOT = Path(__file__).parents[2]


def launched(folder, ranks, **specification):
    """What each of the processes ended with; torchrun starts them."""
    result = folder / f"result{ranks}"
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        str(ranks),
        "--master-port",
        "0",
    ]
    command += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]
    command += ["-m", "tests.train.together", json.dumps(specification), str(result)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(f"{result}.{rank}") for rank in range(ranks)]


@pytest.fixture(scope="module")
def no_dropout(tmp_path_factory):
    """A transformer whose embeddings are those of its texts, whichever process computes them."""
    return str(save_bert(tmp_path_factory.mktemp("student") / "bert", dropout=0.0))


@pytest.mark.slow
def test_adapters_of_several_processes_are_trained_as_one_does(no_dropout, tmp_path):
    student, outcome = trained(no_dropout, tmp_path, batch_size=7, lora=4)
    for one in launched(tmp_path, 2, student=no_dropout, batch_size=7, lora=4):
        assert one["losses"] == pytest.approx([point.loss for point in outcome.history], rel=1e-6)
        for name, weight in student.model.state_dict().items():
            torch.testing.assert_close(one["weights"][name], weight, rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("lora", [None, 4])
def test_several_processes_go_on_to_the_bit(tmp_path, lora):
    """With dropout, of which each process has its own, and an optimizer that has a memory."""
    student = str(save_bert(tmp_path / "bert", dropout=0.1))
    every = launched(
        tmp_path, 2, student=student, batch_size=7, lora=lora, steps=5, cut_at=3, optim="adamw_torch"
    )
    for one in every:
        assert one["resumed"].keys() == one["weights"].keys()
        assert all(torch.equal(weight, one["resumed"][name]) for name, weight in one["weights"].items())


SHARDED = {
    "fsdp": True,
    "fsdp_config": {"transformer_layer_cls_to_wrap": ["BertLayer"]},
}


def test_sharded_processes_train_as_one_does(no_dropout, tmp_path):
    """FSDP2: each process holds a part of each weight; in the end all have the whole student."""
    student, outcome = trained(no_dropout, tmp_path, batch_size=7)
    every = launched(tmp_path, 2, student=no_dropout, batch_size=7, **SHARDED)
    for one in every:
        assert one["losses"] == pytest.approx([point.loss for point in outcome.history], rel=1e-6)
        for name, weight in student.model.state_dict().items():
            torch.testing.assert_close(one["weights"][name], weight, rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.slow
def test_the_best_of_a_sharded_training_is_kept(no_dropout, tmp_path):
    """Scores are of the whole student as it is trained, and it ends as the best of them."""
    student, _ = trained(no_dropout, tmp_path, batch_size=7, steps=6, keep_best=True)
    last, _ = trained(no_dropout, tmp_path / "last", batch_size=7, steps=6)
    name = next(name for name, _ in student.model.named_parameters())
    assert not torch.equal(student.model.state_dict()[name], last.model.state_dict()[name])
    for one in launched(tmp_path, 2, student=no_dropout, batch_size=7, steps=6, keep_best=True, **SHARDED):
        for name, weight in student.model.state_dict().items():
            torch.testing.assert_close(one["weights"][name], weight, rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize(
    "asked",
    [
        {"optim": "adamw_torch"},
        pytest.param({"optim": "sgd"}, marks=pytest.mark.slow),
        pytest.param({"optim": "adamw_torch", "lora": 4}, marks=pytest.mark.slow),
        pytest.param({"optim": "adamw_torch", "freeze": 1}, marks=pytest.mark.slow),
        pytest.param(
            {
                "optim": "adamw_torch",
                "fsdp_config": SHARDED["fsdp_config"] | {"activation_checkpointing": True},
            },
            marks=pytest.mark.slow,
        ),
    ],
)
def test_sharded_processes_go_on_to_the_bit(tmp_path, asked):
    """A checkpoint holds the whole weights and the whole state of the optimizer, if it has a memory."""
    student = str(save_bert(tmp_path / "bert", dropout=0.1))
    every = launched(tmp_path, 2, student=student, batch_size=7, steps=5, cut_at=3, **(SHARDED | asked))
    for one in every:
        assert one["resumed"].keys() == one["weights"].keys()
        assert all(torch.equal(weight, one["resumed"][name]) for name, weight in one["weights"].items())


@pytest.mark.slow
@pytest.mark.parametrize("asked", [{}, SHARDED])
def test_processes_without_padding_train_as_one_does_with_it(no_dropout, tmp_path, asked):
    student, outcome = trained(no_dropout, tmp_path, batch_size=7)
    for one in launched(tmp_path, 2, student=no_dropout, batch_size=7, padding_free=True, **asked):
        assert one["padding_free"]
        assert one["losses"] == pytest.approx([point.loss for point in outcome.history], rel=1e-6)
        for name, weight in student.model.state_dict().items():
            torch.testing.assert_close(one["weights"][name], weight, rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize(
    ("ranks", "batch_size", "accumulation"),
    [(2, 7, 2), pytest.param(4, 7, 2, marks=pytest.mark.slow)],
)
def test_processes_train_as_one_does(no_dropout, tmp_path, ranks, batch_size, accumulation):
    """Batches of seven rows for four processes among them: not all can have as many as others.

    By plain gradient descent: Adam makes a step of the full learning rate out of a gradient that is only
    rounding.
    """
    student, outcome = trained(no_dropout, tmp_path, batch_size=batch_size, accumulation=accumulation)
    every = launched(tmp_path, ranks, student=no_dropout, batch_size=batch_size, accumulation=accumulation)
    for one in every:
        assert one["steps"] == outcome.steps
        assert one["losses"] == pytest.approx([point.loss for point in outcome.history], rel=1e-6)
        for metrics, point in zip(one["metrics"], outcome.history, strict=True):
            assert metrics.keys() == point.metrics.keys()
        assert all(torch.equal(weight, one["weights"][name]) for name, weight in every[0]["weights"].items())
    for name, weight in student.model.state_dict().items():
        torch.testing.assert_close(every[0]["weights"][name], weight, rtol=1e-5, atol=1e-6, msg=name)
