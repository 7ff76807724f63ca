"""Batches small enough to sum by hand, each where a plausible mistake would give another number."""

import math

import pytest
import torch
from torch import Tensor

from gistembed import MaskPolicy, guided_contrastive_loss

ONLY_AP = MaskPolicy(contrast_anchors=False, contrast_positives=False)


def axes(*numbers: int) -> Tensor:
    """Unit vectors along these axes: cosines are 0 or 1."""
    return torch.eye(8, dtype=torch.float64)[list(numbers)]


def at_angles(*degrees: float) -> Tensor:
    """Unit vectors in the plane: cosines are those of the differences."""
    angles = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def cosine(degrees: float) -> float:
    return math.cos(math.radians(degrees))


def ids(*numbers: int) -> Tensor:
    return torch.tensor(numbers)


def test_an_anchor_that_is_its_own_positive_costs_a_perfect_student_nothing():
    """If a row met its own anchor, or its own positive too, as a negative: ln 2 or ln 3, not 0."""
    output = guided_contrastive_loss(
        axes(0, 1),
        axes(0, 1),
        guide_anchors=axes(0, 1),
        guide_positives=axes(0, 1),
        anchor_ids=ids(0, 1),
        positive_ids=ids(0, 1),
    )
    assert output.loss.item() == pytest.approx(math.log1p(3 * math.exp(-100)), abs=1e-15)
    assert output.metrics["negatives_per_row"] == 3


def test_a_positive_of_two_rows_is_no_negative_of_either():
    """Two rows share their positive, the only other candidate. Without the rule by id: ln 2, not 0."""
    output = guided_contrastive_loss(
        axes(0, 1), axes(2, 2), anchor_ids=ids(0, 1), positive_ids=ids(2, 2), policy=ONLY_AP
    )
    assert output.loss == 0
    assert output.metrics["rows_without_negatives"] == 1


@pytest.mark.parametrize(
    ("known", "expected"), [(None, math.log(2)), (ids(2, 1), 0.0)], ids=["unknown", "known"]
)
def test_an_anchor_of_two_rows_is_no_negative_of_itself(known, expected):
    """Two rows share their anchor. Were it a candidate of the other row: ln(2 + e), not ln 2.

    The other row's positive is a candidate like any other until it is known as a positive of the anchor.
    """
    output = guided_contrastive_loss(
        axes(0, 0),
        axes(1, 2),
        anchor_ids=ids(0, 0),
        positive_ids=ids(1, 2),
        known_ids=None if known is None else known.unsqueeze(1),
        temperature=1.0,
        policy=MaskPolicy(contrast_positives=False),
    )
    assert output.loss.item() == pytest.approx(expected)


def test_a_negative_margin_does_not_bring_a_rows_own_texts_back():
    """The guide puts each pair at 18°, so the limit is cos 18° + 0.1 > 1 and the guide masks nothing.

    A rule that leaves a row's own texts out by similarity would keep them: ln(3 + 3/e), not ln(1 + 3/e).
    """
    output = guided_contrastive_loss(
        axes(0, 1),
        axes(0, 1),
        guide_anchors=at_angles(0, 90),
        guide_positives=at_angles(18, 108),
        temperature=1.0,
        policy=MaskPolicy(margin=-0.1),
    )
    assert output.loss.item() == pytest.approx(math.log(1 + 3 / math.e))


def test_a_batch_that_is_masked_whole_costs_nothing_and_says_so():
    """Every candidate is as near as the positive, and the margin takes it out. Unmasked: ln 4, not 0."""
    anchors = axes(0, 1).requires_grad_()
    output = guided_contrastive_loss(
        anchors,
        axes(2, 3),
        guide_anchors=axes(0, 0),
        guide_positives=axes(0, 0),
        policy=MaskPolicy(margin=0.1),
    )
    output.loss.backward()
    assert output.loss == 0
    assert not anchors.grad.any()
    assert {name: value.item() for name, value in output.metrics.items()} == {
        "mask_rate/ap": 1,
        "mask_rate/aa": 1,
        "mask_rate/pp": 1,
        "negatives_per_row": 0,
        "rows_without_negatives": 1,
        "in_batch_accuracy": 1,
    }


def test_one_row_alone_has_only_its_hard_negatives():
    """Without any: 0, where a row that met its own texts would give ln 3; with one at 90°: ln(1 + 1/e)."""
    alone = guided_contrastive_loss(axes(0), axes(0), temperature=1.0)
    assert alone.loss == 0
    assert alone.metrics["rows_without_negatives"] == 1
    with_negative = guided_contrastive_loss(axes(0), axes(0), axes(1).unsqueeze(0), temperature=1.0)
    assert with_negative.loss.item() == pytest.approx(math.log(1 + 1 / math.e))


@pytest.mark.parametrize(("margin", "expected"), [(0.2, math.log(2)), (-0.2, math.log(3))])
def test_a_relative_margin_moves_a_negative_threshold_the_same_way(margin, expected):
    """The threshold is −0.5, so the limits are −0.6 and −0.4; the negatives stand at −0.55 and −0.65.

    With ``t·(1 − m)`` for the limit the two margins would change places: ln 3 and ln 2.
    """
    similarities = torch.tensor([[-0.55, -0.65]], dtype=torch.float64)
    guide_negatives = torch.stack([similarities, (1 - similarities**2).sqrt()], dim=-1)
    output = guided_contrastive_loss(
        axes(0),
        axes(1),
        axes(2, 3).unsqueeze(0),
        guide_anchors=at_angles(0),
        guide_positives=at_angles(120),
        guide_negatives=guide_negatives,
        policy=MaskPolicy(margin=margin, margin_strategy="relative"),
    )
    assert output.loss.item() == pytest.approx(expected, abs=1e-12)


def test_an_equal_guide_vector_alone_does_not_mask():
    """Only what is *more* similar than the positive leaves. With ≥ for >: 0, not ln 2."""
    output = guided_contrastive_loss(
        axes(0, 1),
        axes(2, 3),
        guide_anchors=axes(0, 1),
        guide_positives=axes(2, 2),
        anchor_ids=ids(0, 1),
        positive_ids=ids(2, 3),
        policy=ONLY_AP,
    )
    assert output.loss.item() == pytest.approx(math.log(2))
    assert output.metrics["mask_rate/ap"] == 0
    # All cosines of the student are 0: a tie is no win.
    assert output.metrics["in_batch_accuracy"] == 0


def test_each_block_has_its_own_margin():
    """A margin for aa alone leaves ap and pp as they are: ln 3; for all blocks it would empty the row: 0."""
    output = guided_contrastive_loss(
        axes(0, 1),
        axes(2, 3),
        guide_anchors=axes(0, 0),
        guide_positives=axes(0, 0),
        policy=MaskPolicy(margin={"aa": 0.1, "ap": -0.1, "pp": -0.1}),
    )
    assert output.loss.item() == pytest.approx(math.log(3))


def _two_rows_in_the_plane(weights: Tensor | None = None):
    """See the test below; angles in degrees."""
    return guided_contrastive_loss(
        at_angles(0, 60),
        at_angles(10, 100),
        at_angles(200, 80).unsqueeze(1),
        guide_anchors=at_angles(0, 30),
        guide_positives=at_angles(40, 90),
        guide_negatives=at_angles(20, 170).unsqueeze(1),
        weights=weights,
        temperature=1.0,
    )


# Row 0 leaves out what the guide sees within 40° (a_1, n_0) and keeps p_1, p_1 against p_0, and n_1.
ROW_0 = math.log1p(
    (math.exp(cosine(100)) + math.exp(cosine(90)) + math.exp(cosine(80))) / math.exp(cosine(10))
)
# Row 1 leaves out what the guide sees within 60° (p_0, a_0, p_0 against p_1, n_0) and keeps n_1.
ROW_1 = math.log1p(math.exp(cosine(20)) / math.exp(cosine(40)))


def test_loss_and_metrics_of_two_rows_by_hand():
    output = _two_rows_in_the_plane()
    assert output.loss.item() == pytest.approx((ROW_0 + ROW_1) / 2)
    assert {name: value.item() for name, value in output.metrics.items()} == {
        "mask_rate/ap": 1 / 2,
        "mask_rate/aa": 2 / 2,
        "mask_rate/pp": 1 / 2,
        "mask_rate/an": 2 / 4,
        "negatives_per_row": (3 + 1) / 2,
        "rows_without_negatives": 0,
        "in_batch_accuracy": 1 / 2,
    }
    assert not any(value.requires_grad for value in output.metrics.values())


def test_weights_weigh_rows_and_need_not_sum_to_one():
    output = _two_rows_in_the_plane(weights=torch.tensor([3.0, 1.0]))
    assert output.loss.item() == pytest.approx((3 * ROW_0 + ROW_1) / 4)


def test_without_a_guide_there_are_no_mask_rates():
    output = guided_contrastive_loss(axes(0, 1), axes(2, 3))
    assert output.metrics.keys() == {"negatives_per_row", "rows_without_negatives", "in_batch_accuracy"}


def test_scale_of_the_inputs_does_not_matter():
    plain = guided_contrastive_loss(at_angles(0, 60), at_angles(10, 100), temperature=0.1)
    scaled = guided_contrastive_loss(7 * at_angles(0, 60), 0.01 * at_angles(10, 100), temperature=0.1)
    assert scaled.loss.item() == pytest.approx(plain.loss.item(), rel=1e-12)


def test_a_float_temperature_keeps_its_digits_in_float64():
    """0.1 rounded to float32 on its way would be off by 1.5e-8 of itself."""
    output = guided_contrastive_loss(axes(0, 1), axes(0, 1), temperature=0.1, policy=ONLY_AP)
    assert output.loss.item() == pytest.approx(math.log1p(math.exp(-10)), rel=1e-12)
