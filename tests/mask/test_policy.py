"""What a policy accepts, and the limits that follow from it, by value."""

import math
import re

import jaxtyping
import pytest
import torch

from gistembed.mask import Margin, MarginSchedule, MaskPolicy


@pytest.fixture
def _as_installed():
    """Users run without the type checker of these tests, which would get in first."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.parametrize(
    ("margin", "limits"),
    [
        (Margin(), [0.5, 0.0, -0.5]),
        (Margin(0.25), [0.25, -0.25, -0.75]),
        (Margin(-0.25), [0.75, 0.25, -0.25]),
        (Margin(0.25, "relative"), [0.375, 0.0, -0.625]),
        (Margin(-0.25, "relative"), [0.625, 0.0, -0.375]),
    ],
)
def test_margins(margin, limits):
    """A relative margin moves positive and negative thresholds the same way; with t·(1 − m) it would not."""
    assert margin.below(torch.tensor([0.5, 0.0, -0.5])).tolist() == limits


@pytest.mark.parametrize(
    ("floor", "ceiling", "limits"),
    [
        (None, None, [0.75, 0.25, -0.25]),
        (0.5, None, [0.75, 0.5, 0.5]),
        (None, 0.5, [0.5, 0.25, -0.25]),
        (0.25, 0.25, [0.25, 0.25, 0.25]),
    ],
)
def test_limits_are_held_between_floor_and_ceiling(floor, ceiling, limits):
    policy = MaskPolicy(margin=-0.25, limit_floor=floor, limit_ceiling=ceiling)
    assert policy.limits("ap", torch.tensor([0.5, 0.0, -0.5])).tolist() == limits


def test_margins_by_block():
    assert MaskPolicy(margin=0.1, margin_strategy="relative").margin_of("pp") == Margin(0.1, "relative")
    named = MaskPolicy(margin={"an": 0.2})
    assert [named.margin_of(block).value for block in ("ap", "aa", "an", "pp", "pa")] == [0, 0, 0.2, 0, 0]


@pytest.mark.parametrize(
    ("shape", "values"),
    [
        ("linear", [0.4, 0.3, 0.2, 0.0, 0.0]),
        ("cosine", [0.4, 0.4 - 0.4 * (1 - math.sqrt(0.5)) / 2, 0.2, 0, 0]),
    ],
)
def test_a_schedule_moves_the_margin(shape, values):
    schedule = MarginSchedule(0.4, 0.0, steps=100, shape=shape)
    assert [schedule.at(step) for step in (0, 25, 50, 100, 999)] == pytest.approx(values)
    policy = MaskPolicy(margin={"ap": schedule, "aa": 0.5})
    assert policy.at_step(25).margin_of("ap").value == pytest.approx(values[1])
    assert policy.at_step(25).margin_of("aa").value == 0.5
    assert MaskPolicy(margin=schedule).at_step(50).margin_of("an").value == pytest.approx(0.2)
    with pytest.raises(ValueError, match=r"^margin: follows a schedule; choose a step with policy.at_step"):
        policy.margin_of("ap")


def test_a_policy_without_schedules_is_the_same_at_every_step():
    policy = MaskPolicy(margin=0.1)
    assert policy.at_step(7) is policy


def test_blocks_stand_in_the_order_of_their_columns():
    assert MaskPolicy().blocks(negatives=True) == ("ap", "aa", "an", "pp")
    assert MaskPolicy().blocks(negatives=False) == ("ap", "aa", "pp")
    assert MaskPolicy(contrast_anchors=False).blocks(negatives=True) == ("ap", "an", "pp")
    assert MaskPolicy(contrast_positives=False).blocks(negatives=False) == ("ap", "aa")
    assert MaskPolicy(contrast_reverse=True).blocks(negatives=True) == ("ap", "aa", "an", "pp", "pa")
    assert MaskPolicy(negatives="in_batch").blocks(negatives=True) == ("ap", "aa", "pp")
    assert MaskPolicy(negatives="explicit").blocks(negatives=True) == ("ap", "an")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"margin": math.nan}, "margin: nan for block ap is not a finite number"),
        ({"margin": {"pp": math.inf}}, "margin: inf for block pp is not a finite number"),
        ({"margin": {"qq": 0.1}}, "margin: unknown block 'qq'; the blocks are ap, aa, an, pp, pa"),
        (
            {"margin_strategy": "percent"},
            "margin_strategy: 'percent' is unknown; choose one of absolute, relative",
        ),
        ({"action": "keep"}, "action: 'keep' is unknown; choose one of drop, soften, promote"),
        (
            {"compat": "peer"},
            "compat: 'peer' is unknown; choose one of default, paper, sentence-transformers",
        ),
        ({"limit_floor": math.inf}, "limit_floor: inf is not a finite number"),
        ({"limit_floor": 0.5, "limit_ceiling": 0.4}, "limit_floor: 0.5 is above limit_ceiling 0.4"),
        ({"max_masked": -1}, "max_masked: expected a whole number or a share below 1, got -1"),
        ({"max_masked": 1.5}, "max_masked: expected a whole number or a share below 1, got 1.5"),
        ({"min_negatives": -1}, "min_negatives: expected at least 0, got -1"),
        ({"starved": "skip"}, "starved: 'skip' has no effect without min_negatives"),
        ({"softness": 0.1}, "softness: needed with action 'soften' and only there, action is 'drop'"),
        ({"action": "soften"}, "softness: needed with action 'soften' and only there, action is 'soften'"),
        ({"action": "soften", "softness": 0.0}, "softness: expected a finite number above 0, got 0.0"),
        (
            {"guide_vote": "all", "scorer": "student"},
            "guide_vote: the student scores alone, there is nothing to vote on",
        ),
        (
            {"guide_vote": "any", "action": "soften", "softness": 0.1},
            "guide_vote: 'soften' needs the mean of the guides, a vote has no distance",
        ),
        (
            {"negatives": "explicit", "contrast_reverse": True},
            "contrast_reverse: has no effect with negatives 'explicit'",
        ),
        ({"compat": "paper", "margin": 0.1}, "compat: 'paper' has no margin; leave it out"),
        (
            {"compat": "sentence-transformers", "min_negatives": 1},
            "compat: 'sentence-transformers' has no min_negatives; leave it out",
        ),
    ],
    ids=lambda value: value.replace(" ", "_") if isinstance(value, str) else "",
)
@pytest.mark.usefixtures("_as_installed")
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        MaskPolicy(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((math.inf, 0.0, 10), "margin: a schedule from inf to 0.0 is not finite"),
        ((0.1, 0.0, 0), "margin: a schedule needs at least 1 step, got 0"),
        (
            (0.1, 0.0, 5, "step"),
            "margin: unknown shape 'step' of a schedule; choose one of linear, cosine",
        ),
    ],
)
@pytest.mark.usefixtures("_as_installed")
def test_refusals_of_schedules(arguments, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        MarginSchedule(*arguments)
