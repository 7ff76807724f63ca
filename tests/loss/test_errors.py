"""Every refusal of the loss, by its whole text."""

import re

import jaxtyping
import pytest
import torch

from gistembed import MaskPolicy, guided_contrastive_loss
from gistembed.loss import NotFiniteError
from gistembed.mask import MarginSchedule


@pytest.fixture(autouse=True)
def _as_installed():
    """Users run without the shape checker of these tests, which would get in first."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def batch():
    """Three rows with two negatives each, dim 4, guide dim 5, and every optional argument."""
    return {
        "anchors": torch.ones(3, 4),
        "positives": torch.ones(3, 4),
        "negatives": torch.ones(3, 2, 4),
        "guide_anchors": torch.ones(3, 5),
        "guide_positives": torch.ones(3, 5),
        "guide_negatives": torch.ones(3, 2, 5),
        "anchor_ids": torch.arange(3),
        "positive_ids": torch.arange(3, 6),
        "negative_ids": torch.arange(6, 12).reshape(3, 2),
        "known_ids": torch.tensor([20, 21]),
        "known_offsets": torch.tensor([0, 1, 2, 2]),
        "negative_mask": torch.ones(3, 2, dtype=torch.bool),
        "weights": torch.ones(3),
    }


NO_IDS = {"anchor_ids": None, "positive_ids": None, "negative_ids": None}
NO_NEGATIVES = {"negatives": None, "guide_negatives": None, "negative_ids": None, "negative_mask": None}
NO_GUIDE = {"guide_anchors": None, "guide_positives": None, "guide_negatives": None}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernel": "cuda"}, "kernel: 'cuda' is unknown; choose one of auto, torch, triton"),
        (NO_NEGATIVES | {"negative_ids": torch.ones(3, 2).long()}, "negative_ids: given without negatives"),
        (
            NO_NEGATIVES | {"guide_anchors": [], "guide_positives": []},
            "guide_anchors: expected at least one guide, got none",
        ),
        ({"temperature": torch.ones(2)}, "temperature: expected one number, got (2,)"),
        (
            {"anchors": torch.ones(4)},
            "anchors: expected (rows, dim) with at least one row, got (4,)",
        ),
        (
            {"anchors": torch.ones(0, 4)},
            "anchors: expected (rows, dim) with at least one row, got (0, 4)",
        ),
        (
            {"positives": torch.ones(2, 4)},
            "positives: expected the shape of anchors (3, 4), got (2, 4)",
        ),
        (
            {"negatives": torch.ones(3, 2, 5)},
            "negatives: expected (3, negatives per row, 4), got (3, 2, 5)",
        ),
        (
            {"negatives": torch.ones(3, 4)},
            "negatives: expected (3, negatives per row, 4), got (3, 4)",
        ),
        (
            {"negatives": None},
            "negative_mask: given without negatives",
        ),
        (
            {"negative_mask": torch.ones(3, 1, dtype=torch.bool)},
            "negative_mask: expected (3, 2), got (3, 1)",
        ),
        (
            {"weights": torch.ones(2)},
            "weights: expected (3,), got (2,)",
        ),
        (
            {"weights": torch.zeros(3)},
            "weights: expected numbers ≥ 0 that do not all vanish",
        ),
        (
            {"weights": torch.tensor([2.0, -1.0, 0.0])},
            "weights: expected numbers ≥ 0 that do not all vanish",
        ),
        (
            {"weights": torch.tensor([1.0, torch.nan, 0.0])},
            "weights: expected numbers ≥ 0 that do not all vanish",
        ),
        (
            {"weights": torch.tensor([1.0, torch.inf, 0.0])},
            "weights: expected numbers ≥ 0 that do not all vanish",
        ),
        (
            {"temperature": 0.0},
            "temperature: expected a finite number above 0, got 0.0",
        ),
        (
            {"temperature": -0.1},
            "temperature: expected a finite number above 0, got -0.1",
        ),
        (
            {"temperature": torch.tensor(torch.nan)},
            "temperature: expected a finite number above 0, got nan",
        ),
        (
            {"temperature": float("inf")},
            "temperature: expected a finite number above 0, got inf",
        ),
        (
            {"chunk_rows": 0},
            "chunk_rows: expected at least 1, got 0",
        ),
        (
            {"guide_anchors": None},
            "guide_anchors: missing; give the guide's vectors for all texts or for none",
        ),
        (
            {"guide_positives": None},
            "guide_positives: missing; give the guide's vectors for all texts or for none",
        ),
        (
            {"guide_anchors": torch.ones(4, 5), "guide_positives": torch.ones(4, 5)},
            "guide_anchors: expected (3, guide dim), got (4, 5)",
        ),
        (
            {"guide_positives": torch.ones(3, 6)},
            "guide_positives: expected the shape of guide_anchors (3, 5), got (3, 6)",
        ),
        (
            {"guide_negatives": None},
            "guide_negatives: expected exactly where there are negatives",
        ),
        (
            {"negatives": None, "negative_mask": None, "negative_ids": None},
            "guide_negatives: expected exactly where there are negatives",
        ),
        (
            {"guide_negatives": torch.ones(3, 2, 4)},
            "guide_negatives: expected (3, 2, 5), got (3, 2, 4)",
        ),
        (
            {"anchor_ids": None},
            "anchor_ids: missing; give the ids of all texts or of none",
        ),
        (
            {"positive_ids": None},
            "positive_ids: missing; give the ids of all texts or of none",
        ),
        (
            {"negative_ids": None},
            "negative_ids: missing; give the ids of all texts or of none",
        ),
        (
            {"anchor_ids": torch.arange(2)},
            "anchor_ids: expected (3,), got (2,)",
        ),
        (
            {"positive_ids": torch.arange(4)},
            "positive_ids: expected (3,), got (4,)",
        ),
        (
            {"negative_ids": torch.ones(3, 3, dtype=torch.int64)},
            "negative_ids: expected (3, 2), got (3, 3)",
        ),
        (
            NO_IDS,
            "known_ids: given without the ids of the texts",
        ),
        (
            {"known_offsets": None},
            "known_offsets: expected exactly where there are known_ids",
        ),
        (
            {"known_ids": None},
            "known_offsets: expected exactly where there are known_ids",
        ),
        (
            {"known_offsets": torch.tensor([0, 2])},
            "known_offsets: expected (4,), got (2,)",
        ),
        (
            {"known_ids": torch.arange(3)},
            "known_ids: expected (2,), got (3,)",
        ),
        (
            {"trusted_negatives": torch.ones(3, 1, dtype=torch.bool)},
            "trusted_negatives: expected (3, 2), got (3, 1)",
        ),
        (
            {"trusted_negatives": torch.ones(3, 2)},
            "trusted_negatives: expected truth values, got torch.float32",
        ),
        (
            {"negative_mask": torch.ones(3, 2)},
            "negative_mask: expected truth values, got torch.float32",
        ),
        (
            NO_NEGATIVES | {"trusted_negatives": torch.ones(3, 2, dtype=torch.bool)},
            "trusted_negatives: given without negatives",
        ),
        (
            NO_NEGATIVES | {"policy": MaskPolicy(negatives="explicit")},
            "negatives: the policy wants 'explicit' ones, and the batch has none",
        ),
        (
            {"weights": torch.ones(3, device="meta")},
            "weights: expected on cpu like anchors, got on meta",
        ),
        (
            {"guide_positives": torch.ones(3, 5, device="meta")},
            "guide_positives: expected on cpu like anchors, got on meta",
        ),
        (
            {"guide_positives": [torch.ones(3, 5)] * 2},
            "guide_positives: expected 1 guides like guide_anchors, got 2",
        ),
        (
            {"policy": MaskPolicy(scorer="student")},
            "guide_anchors: given, but the policy lets the student score; leave the guide out",
        ),
        (
            NO_GUIDE | {"policy": MaskPolicy(compat="sentence-transformers")},
            "guide_anchors: missing; compat 'sentence-transformers' needs a guide",
        ),
        (
            {"policy": MaskPolicy(margin=MarginSchedule(0.1, 0.0, steps=10))},
            "margin: follows a schedule; choose a step with policy.at_step(step)",
        ),
        (
            {"hardness_strength": 1.0},
            "hardness_strength: 1.0 has no effect without hardness_mode",
        ),
        (
            {"hardness_mode": "hard", "hardness_strength": 1.0},
            "hardness_mode: 'hard' is unknown; choose one of in_batch_negatives, hard_negatives, "
            "all_negatives",
        ),
        (
            {"hardness_mode": "all_negatives"},
            "hardness_strength: expected a finite number above 0, got 0.0",
        ),
        (
            {"dims": [4, 5]},
            "dims: expected different numbers within 1 … 4, got [4, 5]",
        ),
        (
            {"dims": []},
            "dims: expected different numbers within 1 … 4, got []",
        ),
        (
            {"dims": [2, 2]},
            "dims: expected different numbers within 1 … 4, got [2, 2]",
        ),
        (
            {"dims": [2, 4], "dim_weights": [1.0]},
            "dim_weights: expected 2 finite numbers ≥ 0, got [1.0]",
        ),
        (
            {"dim_weights": [1.0]},
            "dim_weights: given without dims",
        ),
        (
            {"rows": slice(2, 4)},
            "rows: expected a slice of neighbouring rows within 0 … 3, got slice(2, 4, None)",
        ),
        (
            {"rows": slice(0, 3, 2)},
            "rows: expected a slice of neighbouring rows within 0 … 3, got slice(0, 3, 2)",
        ),
    ],
    ids=lambda value: value.replace(" ", "_") if isinstance(value, str) else "",
)
def test_refusals(change, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        guided_contrastive_loss(**batch() | change)


@pytest.mark.parametrize("value", [0.0, torch.nan, torch.inf])
@pytest.mark.parametrize("name", ["guide_anchors", "guide_positives", "guide_negatives"])
def test_an_unusable_guide_vector_is_named(name, value):
    """A NaN would compare as "not more similar" and silently switch the row's mask off."""
    arguments = batch()
    arguments[name][1] = value
    message = f"^{name}: the vector of row 1 is zero or not finite; a mask from it would be wrong$"
    with pytest.raises(ValueError, match=message):
        guided_contrastive_loss(**arguments)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("name", ["anchors", "positives", "negatives"])
def test_a_vector_that_is_not_finite_is_named(name, value):
    arguments = batch()
    arguments[name][2] = value
    with pytest.raises(NotFiniteError, match=f"^{name}: the vector of row 2 is not finite$"):
        guided_contrastive_loss(**arguments)


def test_guide_vectors_of_padding_may_be_anything():
    arguments = batch()
    arguments["negative_mask"][1] = False
    arguments["guide_negatives"][1] = torch.nan
    assert torch.isfinite(guided_contrastive_loss(**arguments).loss)


@pytest.mark.parametrize(
    "change",
    [{}, NO_GUIDE, NO_IDS | {"known_ids": None, "known_offsets": None}],
    ids=["all", "no guide", "no ids"],
)
def test_the_batch_is_otherwise_good(change):
    assert torch.isfinite(guided_contrastive_loss(**batch() | change).loss)
