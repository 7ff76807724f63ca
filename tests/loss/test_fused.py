"""The Triton kernel against the loop-written reference, and when it is used; on a GPU where there is one."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.loss.checks import check_float32, gradient_error, reference, run
from tests.loss.loss_batches import loss_batches

from gistembed import MaskPolicy, guided_contrastive_loss
from gistembed.loss import kernel

pytest.importorskip("triton")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@st.composite
def plain_batches(draw):
    """Batches under the rules that the kernel knows."""
    batch = draw(loss_batches(torch.float32))
    policy = batch["policy"]
    assume("guide_anchors" in batch and policy.scorer == "guide" and policy.negatives != "explicit")
    assume(policy.compat == "default")
    for name in ("trusted_negatives", "hardness_mode", "hardness_strength", "dims", "dim_weights"):
        batch.pop(name, None)
    for name in ("guide_anchors", "guide_positives", "guide_negatives"):
        if isinstance(batch.get(name), list):
            batch[name] = batch[name][0]
    starved = "count" if policy.starved == "keep_least_similar" else policy.starved
    plain = {"action": "drop", "softness": None, "max_masked": None, "trust_negatives": False}
    return batch | {"policy": replace(policy, **plain, starved=starved, guide_vote="mean")}


@settings(max_examples=40)
@given(plain_batches())
def test_the_kernel_equals_the_reference(batch):
    moved = {name: one.to(DEVICE) if isinstance(one, torch.Tensor) else one for name, one in batch.items()}
    check_float32(moved, kernel="triton")


def test_all_scores_far_below_zero():
    """Beside the last column of a tile, e^(0 - log of the denominator) was more than float32 holds."""
    anchors = torch.randn(4, 8, generator=torch.Generator().manual_seed(0)).abs()
    guide = torch.eye(4)
    batch = {
        "anchors": anchors,
        "positives": -anchors,
        "guide_anchors": guide,
        "guide_positives": guide,
        "policy": MaskPolicy(contrast_anchors=False, contrast_positives=False),
        "temperature": 0.005,
    }
    expected = reference(**batch)
    moved = {name: one.to(DEVICE) if isinstance(one, torch.Tensor) else one for name, one in batch.items()}
    output, gradients = run(moved, kernel="triton")
    assert output.loss.item() == pytest.approx(expected.loss, rel=1e-5)
    for name, gradient in gradients.items():
        assert gradient_error(moved, name, gradient, expected.gradients[name]) < 1e-5


def large_batch(rows=100, dim=40, guide_dim=33):
    """More rows, candidates and dimensions than one tile holds, with texts that several rows share."""
    generator = torch.Generator().manual_seed(3)

    def normal(*shape):
        return torch.randn(*shape, generator=generator).to(DEVICE)

    def ids(*shape):
        return torch.randint(0, 200, shape, generator=generator).to(DEVICE)

    return {
        "anchors": normal(rows, dim),
        "positives": normal(rows, dim),
        "negatives": normal(rows, 2, dim),
        "guide_anchors": normal(rows, guide_dim),
        "guide_positives": normal(rows, guide_dim),
        "guide_negatives": normal(rows, 2, guide_dim),
        "anchor_ids": ids(rows),
        "positive_ids": ids(rows),
        "negative_ids": ids(rows, 2),
        "known_ids": ids(rows),
        "known_offsets": torch.arange(rows + 1).to(DEVICE),
        "policy": MaskPolicy(margin={"ap": 0.05, "aa": 0.0, "an": -0.1, "pp": 0.2, "pa": 0.0}),
        "temperature": 0.1,
    }


def results(arguments, **more):
    """Loss, all gradients, all metrics."""
    leaves = {name: arguments[name].clone().requires_grad_() for name in ("anchors", "positives")}
    output = guided_contrastive_loss(**arguments | leaves | more)
    output.loss.backward()
    return [output.loss.detach(), *(leaf.grad for leaf in leaves.values()), *output.metrics.values()]


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"chunk_rows": 65},
        {"rows": slice(20, 91)},
        {"policy": MaskPolicy(contrast_reverse=True)},
        {"policy": MaskPolicy(strict=False, contrast_anchors=False)},
        {"policy": MaskPolicy(min_negatives=290, starved="skip")},
        {"anchor_ids": None, "positive_ids": None, "negative_ids": None, "known_ids": None}
        | {"known_offsets": None, "chunk_rows": 33, "rows": slice(20, 91)},
    ],
)
def test_many_tiles_equal_plain_torch(change):
    batch = large_batch() | change
    torch.testing.assert_close(
        results(batch, kernel="triton"), results(batch, kernel="torch"), rtol=2e-5, atol=1e-7
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"anchors": torch.ones(4, 2).double()}, "scores are torch.float64, not torch.float32"),
        (
            {f"guide_{role}": torch.ones(4, 3).double() for role in ("anchors", "positives")},
            "the guide's vectors are torch.float64, not torch.float32",
        ),
        ({"guide_anchors": None, "guide_positives": None}, "it needs one guide, not 0"),
        (
            {f"guide_{role}": [torch.ones(4, 3)] * 2 for role in ("anchors", "positives")}
            | {"policy": MaskPolicy(guide_vote="any")},
            "it needs one guide, not 2",
        ),
        ({"dims": [2, 1]}, "it takes all dimensions at once"),
        ({"dims": [1]}, "it takes all dimensions at once"),
        ({"policy": MaskPolicy(compat="paper")}, "it knows no compat 'paper'"),
        (
            {"policy": MaskPolicy(compat="sentence-transformers")},
            "it knows no compat 'sentence-transformers'",
        ),
        (
            {"hardness_mode": "all_negatives", "hardness_strength": 1.0},
            "it knows no extra weight for hard negatives",
        ),
        ({"policy": MaskPolicy(action="promote")}, "it knows no action 'promote'"),
        ({"policy": MaskPolicy(max_masked=1)}, "it knows no max_masked"),
        (
            {"policy": MaskPolicy(min_negatives=1, starved="keep_least_similar")},
            "it puts no candidates back",
        ),
        ({"policy": MaskPolicy(trust_negatives=True)}, "it knows no trusted negatives"),
        (
            {
                "policy": MaskPolicy(negatives="explicit"),
                "negatives": torch.ones(4, 1, 2),
                "guide_negatives": torch.ones(4, 1, 3),
            },
            "it scores whole batches",
        ),
        (
            {
                "anchor_ids": torch.arange(4),
                "positive_ids": torch.arange(4, 8),
                "known_ids": torch.arange(10, 18),
                "known_offsets": torch.tensor([0, 8, 8, 8, 8]),
            },
            "a row has more than 8 own texts",
        ),
    ],
)
def test_what_the_kernel_refuses(change, reason):
    batch = {
        "anchors": torch.ones(4, 2),
        "positives": torch.ones(4, 2),
        "guide_anchors": torch.ones(4, 3),
        "guide_positives": torch.ones(4, 3),
    }
    if change.get("anchors") is not None:
        change = change | {"positives": change["anchors"]}
    with pytest.raises(ValueError, match=f"^kernel: 'triton' can't be used: {re.escape(reason)}$"):
        guided_contrastive_loss(**batch | change, kernel="triton")
    guided_contrastive_loss(**batch | change)


def test_the_kernel_refuses_a_cpu_and_a_missing_package(monkeypatch):
    vectors = dict.fromkeys(("anchors", "positives", "guide_anchors", "guide_positives"), torch.ones(4, 2))
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(ValueError, match=r"embeddings are on cpu, not on a CUDA device$"):
        guided_contrastive_loss(**vectors, kernel="triton")
    monkeypatch.setattr(kernel.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"the package triton is not installed$"):
        guided_contrastive_loss(**vectors, kernel="triton")


@pytest.fixture
def as_on_gpu(monkeypatch):
    """Where ``auto`` takes any batch for one worth trying."""
    monkeypatch.setattr(kernel, "_on_gpu", lambda plan: True)
    monkeypatch.setattr(kernel, "_FEWEST_SCORES", 1)
    monkeypatch.setattr(kernel, "_choices", {})


def trials(monkeypatch, fused, plain):
    """What the two ways give; counts how often each was tried."""
    from gistembed.loss import sweep

    tried = []

    def try_out(plan, module):
        tried.append(module is not None)
        outcome = plain if module is None else fused
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(sweep, "_try_out", try_out)
    return tried


@pytest.mark.parametrize(("seconds", "used"), [(0.5, True), (2.0, False)])
def test_auto_takes_the_faster_one_and_tries_once(monkeypatch, as_on_gpu, seconds, used):
    tried = trials(monkeypatch, kernel.Trial(seconds, 3.0, 100), kernel.Trial(1.0, 3.0, 100))
    for _ in range(3):
        results(large_batch(rows=5))
    assert sorted(tried) == [False, True]
    assert (list(kernel._choices.values()) != [None]) == used


@pytest.mark.parametrize(
    ("fused", "message"),
    [
        (
            kernel.Trial(0.5, 3.1, 100),
            "the Triton kernel gives a loss of 3.1 with 100 candidates where PyTorch gives 3 with 100; ",
        ),
        (
            kernel.Trial(0.5, 3.0, 90),
            "the Triton kernel gives a loss of 3 with 90 candidates where PyTorch gives 3 with 100; ",
        ),
        (
            RuntimeError("no compiler\nand more"),
            "the Triton kernel can't run here (RuntimeError: no compiler); ",
        ),
    ],
)
def test_auto_says_why_it_does_not_trust_the_kernel(monkeypatch, as_on_gpu, fused, message):
    trials(monkeypatch, fused, kernel.Trial(1.0, 3.0, 100))
    message += "PyTorch's own operations are used. Please report this with your GPU's name and the versions"
    with pytest.warns(UserWarning, match=re.escape(message)):
        results(large_batch(rows=5))
    assert list(kernel._choices.values()) == [None]


@pytest.mark.parametrize(("wanted", "allowed"), [("highest", False), ("high", True)])
def test_the_precision_that_torch_goes_by(wanted, allowed):
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(wanted)
    try:
        assert kernel.tf32_allowed() == allowed
    finally:
        torch.set_float32_matmul_precision(before)


def test_the_newer_setting_of_precision():
    """It makes the older one unreadable, so that this takes a process of its own."""
    script = (
        "import torch; from gistembed.loss.kernel import tf32_allowed; "
        "torch.backends.fp32_precision = 'tf32'; assert tf32_allowed(); "
        "torch.backends.cuda.matmul.fp32_precision = 'ieee'; assert not tf32_allowed()"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_real_trial_leaves_the_results_alone(as_on_gpu):
    batch = large_batch(rows=70)
    torch.testing.assert_close(results(batch), results(batch, kernel="torch"), rtol=2e-5, atol=1e-7)
    assert len(kernel._choices) == 1


@pytest.mark.slow
def test_the_kernel_compiles_without_a_gpu():
    """To machine code for two generations of GPUs, in a process where no interpreter stands in for it."""
    script = Path(__file__).with_name("compile_kernel.py")
    environment = {"TRITON_INTERPRET": "0", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
