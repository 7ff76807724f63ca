"""The selftest passes on sound models, and finds what is planted in others."""

import json
import math

import pytest
import torch
from tests.loss.reference import reference
from tests.tiny_models import save_bert, save_static

from gistembed.models import load_model
from gistembed.selftest import CheckResult, check_count, dense_loss, run_selftest
from gistembed.selftest.checks import _difference


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {
        "bert": save_bert(root / "bert"),
        "static": save_static(root / "static"),
        "prompted": save_bert(root / "prompted", seed=1, prompts={"query": "q: ", "document": "d: "}),
    }


def results_of(folders, model, guide=None, spoil=None):
    student = load_model(folders[model], option="MODEL")
    if spoil is not None:
        spoil(student.model)
    teacher = None if guide is None else load_model(folders[guide], option="--guide")
    seen = []
    results = run_selftest(student, teacher, seen.append)
    assert seen == results
    assert len(results) == check_count(with_guide=guide is not None)
    return {result.name: result for result in results}


@pytest.mark.parametrize(
    ("model", "guide"),
    [("bert", None), ("bert", "prompted"), ("static", None), ("static", "bert"), ("prompted", "static")],
)
def test_sound_models_pass(folders, model, guide):
    results = results_of(folders, model, guide)
    assert [name for name, result in results.items() if not result.passed] == []
    negatives = results["a row never meets its own texts as negatives"].detail
    assert negatives == "2262 negatives among 2352 candidates"


def test_tokens_turned_back_into_text_are_another_mask(folders):
    """Byte tokens of a static student tell everything, but the guide's own prompts are missing."""
    name = "masked otherwise if the guide reads tokens, not texts"
    assert results_of(folders, "static", "bert")[name].measured < 0.05
    assert results_of(folders, "static", "prompted")[name].measured > 0


def noise_at_inference(model):
    def noisy(module, inputs, output):
        output["sentence_embedding"] = output["sentence_embedding"] + torch.randn(32) * 0.1

    model.register_forward_hook(noisy)


def padding_that_counts(model):
    """Mean pooling over all positions, padding included."""

    def all_positions(module, inputs):
        inputs[0]["attention_mask"] = torch.ones_like(inputs[0]["attention_mask"])

    model[1].register_forward_pre_hook(all_positions)


@pytest.mark.parametrize(
    ("spoil", "failed"),
    [
        (
            noise_at_inference,
            {
                "a text alone = the same text in a batch",
                "twice the same text, twice the same embedding",
                "cached gradients = uncached gradients",
            },
        ),
        (padding_that_counts, {"a text alone = the same text in a batch"}),
    ],
)
def test_planted_faults_are_found(folders, spoil, failed):
    results = results_of(folders, "bert", spoil=spoil)
    assert {name for name, result in results.items() if not result.passed} == failed


def test_a_check_that_breaks_off_is_no_pass(folders):
    def refuse(model):
        model.eval()
        model.register_forward_pre_hook(lambda module, inputs: 1 / 0 if module.training else None)

    results = results_of(folders, "bert", spoil=refuse)
    broken = results["dropout is replayed by the cached loss"]
    assert (broken.passed, broken.measured, broken.detail) == (False, None, "division by zero")


@pytest.mark.parametrize("with_ids", [True, False])
def test_the_dense_loss_equals_the_reference(with_ids):
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 12, (2, 9), generator=generator)
    vectors = {
        name: torch.randn(12, dim, generator=generator, dtype=torch.float64)[ids[number]]
        for number, (name, dim) in enumerate([("anchors", 6), ("positives", 6)])
    }
    guide = torch.randn(12, 4, generator=generator, dtype=torch.float64)
    if not with_ids:
        guide = guide + 0.1 * torch.randn(12, 4, generator=generator, dtype=torch.float64)
    vectors |= {"guide_anchors": guide[ids[0]], "guide_positives": guide[ids[1]]}
    if with_ids:
        vectors |= {"anchor_ids": ids[0], "positive_ids": ids[1]}
    else:
        vectors |= {name: torch.randn(9, 5, generator=generator).double() for name in list(vectors)[:4]}
    found = dense_loss(**vectors, temperature=0.1)
    assert found.item() == pytest.approx(reference(**vectors, temperature=0.1).loss, rel=1e-12)


def test_the_command(run, folders):
    code, out, err = run("selftest", folders["bert"], "--guide", folders["static"])
    assert code == 0
    assert out == "all 10 checks passed\n"
    assert "FAILED" not in err
    code, out, err = run("selftest", folders["static"], "--json")
    found = json.loads(out)
    assert (code, err, found["passed"]) == (0, "", True)
    assert len(found["checks"]) == check_count(with_guide=False)


def test_the_command_fails_with_a_check(run, folders, monkeypatch):
    monkeypatch.setattr("gistembed.selftest.checks._MINI_BATCH", 0)
    code, out, err = run("selftest", folders["static"])
    assert code == 1
    assert out == "4 of 10 checks failed\n"
    assert err.count("FAILED") == 4
    assert "chunk_rows:" in err


def test_the_command_refuses_what_is_no_model(run, tmp_path):
    code, out, err = run("selftest", tmp_path)
    message = f"MODEL {tmp_path}: not a model folder: it holds neither modules.json nor config.json"
    assert (code, out, err) == (2, "", f"gistembed: {message}\n")


@pytest.mark.parametrize("allowed", [1.0, None])
@pytest.mark.parametrize("measured", [math.nan, math.inf])
def test_what_is_no_number_is_no_pass(measured, allowed):
    assert not CheckResult("name", measured, allowed).passed


def test_no_distance_is_lost_behind_a_number():
    found = [torch.tensor([1.0]), torch.tensor([math.nan]), torch.tensor([2.0])]
    assert math.isnan(_difference(found, [torch.ones(1)] * 3))
    assert _difference([torch.tensor([3.0, 4.0])], [torch.tensor([0.0, 4.0])]) == 3 / 4
