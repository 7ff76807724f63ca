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
        known_ids=known,
        known_offsets=None if known is None else ids(0, 1, 2),
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


def one_row(similarities, policy, **options):
    """One row whose guide threshold is cos 60° = 0.5, and hard negatives with these guide similarities.

    All cosines of the student are 0, so the loss is the logarithm of weighted counts.
    """
    values = torch.tensor([similarities], dtype=torch.float64)
    count = len(similarities)
    return guided_contrastive_loss(
        axes(0),
        axes(1),
        axes(*[2] * count).unsqueeze(0),
        guide_anchors=at_angles(0),
        guide_positives=at_angles(60),
        guide_negatives=torch.stack([values, (1 - values**2).sqrt()], dim=-1),
        policy=policy,
        **options,
    )


def test_softened_candidates_fade_with_their_distance_from_the_limit():
    """0.1 and 0.3 above the limit at a softness of 0.2: they count e^−0.5 and e^−1.5. Dropped: ln 2."""
    output = one_row([0.2, 0.6, 0.8], MaskPolicy(action="soften", softness=0.2))
    expected = math.log(2 + math.exp(-0.5) + math.exp(-1.5))
    assert output.loss.item() == pytest.approx(expected, rel=1e-12)
    assert output.metrics["mask_rate/an"] == pytest.approx(2 / 3)


def test_promoted_candidates_share_the_numerator():
    """Two of three leave and become positives: ln(4 / 3). Dropped: ln 2."""
    output = one_row([0.2, 0.6, 0.8], MaskPolicy(action="promote"))
    assert output.loss.item() == pytest.approx(math.log(4 / 3), rel=1e-12)
    assert output.metrics["negatives_per_row"] == 1


@pytest.mark.parametrize(("most", "kept"), [(None, 1), (0, 5), (1, 4), (3, 2), (0.5, 3), (0.39, 4)])
def test_no_more_leave_than_allowed(most, kept):
    """Four of five are above the limit."""
    output = one_row([0.2, 0.6, 0.7, 0.8, 0.9], MaskPolicy(max_masked=most))
    assert output.loss.item() == pytest.approx(math.log(1 + kept), rel=1e-12)


def test_the_most_similar_leave_first():
    """With cosines of the student for each negative, the sum tells which two stay."""
    policy = MaskPolicy(max_masked=1)
    student = at_angles(80, 70, 60).unsqueeze(0)
    similarities = torch.tensor([[0.9, 0.6, 0.2]], dtype=torch.float64)
    output = guided_contrastive_loss(
        at_angles(0),
        at_angles(90),
        student,
        guide_anchors=at_angles(0),
        guide_positives=at_angles(60),
        guide_negatives=torch.stack([similarities, (1 - similarities**2).sqrt()], dim=-1),
        temperature=1.0,
        policy=policy,
    )
    left = math.exp(cosine(70)) + math.exp(cosine(60))
    assert output.loss.item() == pytest.approx(math.log(1 + left), rel=1e-12)


@pytest.mark.parametrize(
    ("starved", "expected"),
    [("count", math.log(2)), ("keep_least_similar", math.log(4)), ("skip", 0.0)],
)
def test_a_starved_row(starved, expected):
    """One of four stays where three should: reported, filled up with the least similar, or left out."""
    output = one_row([0.2, 0.6, 0.7, 0.9], MaskPolicy(min_negatives=3, starved=starved))
    assert output.loss.item() == pytest.approx(expected, abs=1e-12)
    assert output.metrics["starved_rows"] == (starved != "keep_least_similar")


def test_a_skipped_row_stays_in_the_mean():
    """As a row that lost all its negatives does: its loss is 0, and the other row's counts half."""
    output = guided_contrastive_loss(
        axes(0, 1),
        axes(2, 3),
        guide_anchors=at_angles(0, 100),
        guide_positives=at_angles(60, 110),
        policy=MaskPolicy(
            min_negatives=1,
            starved="skip",
            limit_floor=-0.99,
            contrast_anchors=False,
            contrast_positives=False,
            margin=0.3,
        ),
    )
    # Row 0 keeps p_1 at 110° (limit 0.2); row 1 loses p_0 at 40° (limit cos 10° − 0.3).
    assert output.loss.item() == pytest.approx(math.log(2) / 2)


def test_trusted_negatives_stay_whatever_the_guide_says():
    trusted = torch.tensor([[True, False, False]])
    some = one_row([0.9, 0.8, 0.2], MaskPolicy(), trusted_negatives=trusted)
    assert some.loss.item() == pytest.approx(math.log(3), rel=1e-12)
    every = one_row([0.9, 0.8, 0.2], MaskPolicy(trust_negatives=True))
    assert every.loss.item() == pytest.approx(math.log(4), rel=1e-12)


def test_trust_is_of_the_own_row_and_does_not_bring_own_texts_back():
    """Row 0's trusted negative leaves in row 1, and one that is the row's own positive leaves everywhere."""
    output = guided_contrastive_loss(
        axes(0, 1),
        axes(2, 3),
        axes(4, 5).unsqueeze(1),
        guide_anchors=at_angles(0, 10),
        guide_positives=at_angles(60, 70),
        guide_negatives=at_angles(5, 5).unsqueeze(1),
        anchor_ids=ids(0, 1),
        positive_ids=ids(2, 3),
        negative_ids=ids(4, 3).unsqueeze(1),
        policy=MaskPolicy(trust_negatives=True, contrast_anchors=False, contrast_positives=False),
    )
    # Row 0: p_1 at 70° and its own n_0 stay, n_1 at 5° leaves. Row 1: p_0 at 50° and n_0 at 5° leave (limit
    # 60°), and n_1 is its own positive.
    assert output.loss.item() == pytest.approx((math.log(3) + 0) / 2)


def test_explicit_negatives_are_all_that_a_row_meets():
    """Rows with two, one and no negatives of their own: ln 3, ln 2 and 0."""
    output = guided_contrastive_loss(
        axes(0, 1, 2),
        axes(3, 4, 5),
        axes(0, 0, 0, 0, 0, 0).reshape(3, 2, -1).roll(1, 0),
        negative_mask=torch.tensor([[True, True], [False, True], [False, False]]),
        temperature=1e9,
        policy=MaskPolicy(negatives="explicit"),
    )
    assert output.loss.item() == pytest.approx((math.log(3) + math.log(2)) / 3, abs=1e-6)
    assert output.metrics["negatives_per_row"] == 1


@pytest.mark.parametrize(("vote", "kept"), [("mean", 3), ("any", 1), ("majority", 2), ("all", 3)])
def test_several_guides(vote, kept):
    """Thresholds 0.5 for three guides; the negatives have 0.6 0.6 0.6, 0.6 0.6 0.1, 0.6 0.4 0.1, 0 0 0."""
    by_guide = torch.tensor([[0.6, 0.6, 0.6, 0.0], [0.6, 0.6, 0.4, 0.0], [0.6, 0.1, 0.1, 0.0]]).double()
    output = guided_contrastive_loss(
        axes(0),
        axes(1),
        axes(2, 2, 2, 2).unsqueeze(0),
        guide_anchors=[at_angles(0)] * 3,
        guide_positives=[at_angles(60)] * 3,
        guide_negatives=[
            torch.stack([values, (1 - values**2).sqrt()], dim=-1).unsqueeze(0) for values in by_guide
        ],
        policy=MaskPolicy(guide_vote=vote),
    )
    # The means are 0.6, 0.43, 0.37 and 0.
    assert output.loss.item() == pytest.approx(math.log(1 + kept), rel=1e-12)


def test_the_student_can_be_its_own_guide():
    """Row 0 leaves out what is nearer to a_0 than p_0 at 50°: a_1 at 40°; p_1 against p_0 stands at 60°."""
    output = guided_contrastive_loss(
        at_angles(0, 40), at_angles(50, 110), temperature=1.0, policy=MaskPolicy(scorer="student")
    )
    kept_0 = math.exp(cosine(110)) + math.exp(cosine(60))
    # Row 1, limit 70°: p_0 at 10°, a_0 at 40° and p_0 against p_1 at 60° leave.
    assert output.loss.item() == pytest.approx(math.log1p(kept_0 / math.exp(cosine(50))) / 2, rel=1e-12)
    assert output.metrics["mask_rate/ap"] == 1 / 2


def test_extra_weight_is_no_part_of_the_accuracy():
    """The positive at 50° is nearer than the other at 60°, whatever weighs more in the loss."""
    output = guided_contrastive_loss(
        at_angles(0, 110),
        at_angles(50, 60),
        temperature=0.05,
        policy=ONLY_AP,
        hardness_mode="in_batch_negatives",
        hardness_strength=9.0,
    )
    plain = guided_contrastive_loss(at_angles(0, 110), at_angles(50, 60), temperature=0.05, policy=ONLY_AP)
    assert output.loss > plain.loss
    assert output.metrics["in_batch_accuracy"] == plain.metrics["in_batch_accuracy"] == 1


def test_a_zero_vector_of_the_student_has_no_direction():
    """A static model gives one for a text of unknown tokens: cosine 0 with everything, and no gradient."""
    anchors = torch.tensor([[0.0, 0.0], [1.0, 0.0]], dtype=torch.float64, requires_grad=True)
    output = guided_contrastive_loss(anchors, axes(0, 1)[:, :2], temperature=1.0, policy=ONLY_AP)
    output.loss.backward()
    # Row 0: both positives at 0. Row 1: its own at 90°, the other at 0°.
    assert output.loss.item() == pytest.approx((math.log(2) + math.log(1 + math.e)) / 2)
    assert torch.isfinite(anchors.grad).all()
    assert not anchors.grad[0].any()
    assert anchors.grad[1].any()


def test_ties_in_half_precision_stay():
    """Guide vectors in bfloat16 are compared in float32: equal vectors tie, and a tie stays."""
    guide = at_angles(0, 33, 33).to(torch.bfloat16)
    output = guided_contrastive_loss(
        axes(0, 1),
        axes(2, 3),
        guide_anchors=guide[:1].expand(2, -1),
        guide_positives=guide[1:],
        policy=ONLY_AP,
    )
    assert output.metrics["mask_rate/ap"] == 0


@pytest.mark.parametrize("strict", [True, False])
def test_a_tie_leaves_if_the_rule_is_not_strict(strict):
    output = guided_contrastive_loss(
        axes(0, 1),
        axes(2, 3),
        guide_anchors=axes(0, 1),
        guide_positives=axes(2, 2),
        policy=MaskPolicy(strict=strict, contrast_anchors=False, contrast_positives=False),
    )
    assert output.metrics["mask_rate/ap"] == (not strict)


def test_one_fixed_threshold_for_all_rows():
    """Floor and ceiling alike: 0.7 decides, whatever the row's own pair is worth to the guide."""
    output = one_row([0.65, 0.75], MaskPolicy(limit_floor=0.7, limit_ceiling=0.7))
    assert output.loss.item() == pytest.approx(math.log(2), rel=1e-12)
