"""A policy from settings by name."""

import re

import pytest

from gistembed.mask import MarginSchedule, MaskPolicy, policy_from_settings


def test_settings_become_a_policy():
    settings = {
        "margin": {"ap": 0.1, "pp": {"start": 0.2, "end": 0.0, "steps": 100}},
        "max_masked": 0.5,
        "min_negatives": 4,
        "starved": "keep_least_similar",
        "negatives": "in_batch",
    }
    schedule = MarginSchedule(0.2, 0.0, 100)
    assert policy_from_settings(settings) == MaskPolicy(**settings | {"margin": {"ap": 0.1, "pp": schedule}})
    assert policy_from_settings(settings | {"margin": {"ap": 0.1, "pp": schedule}}).margin["pp"] is schedule
    assert policy_from_settings({}) == MaskPolicy()
    assert policy_from_settings({"max_masked": 3}).max_masked == 3


@pytest.mark.parametrize("shape", ["linear", "cosine"])
def test_one_schedule_for_all_blocks(shape):
    settings = {"start": 0.2, "end": 0, "steps": 100, "shape": shape}
    policy = policy_from_settings({"margin": settings})
    assert policy.margin == MarginSchedule(0.2, 0.0, 100, shape)
    assert policy.at_step(50).margin_of("aa").value == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"min_negative": 1}, "unknown setting `min_negative`; did you mean `min_negatives`?"),
        ({"xyz": 1}, "unknown setting `xyz`; the settings are margin, margin_strategy, strict, "),
        (
            {"min_negatives": "many"},
            "min_negatives = 'many': input should be a valid integer, unable to parse string as an integer",
        ),
        ({"action": "keep"}, "action = 'keep': input should be 'drop', 'soften' or 'promote'"),
        ({"margin": "a lot"}, "margin = 'a lot': input should be a valid number"),
        ({"margin": None}, "margin = None: input should be a valid number"),
        ({"margin": {"ap": [1]}}, "margin.ap = [1]: input should be a valid number"),
        ({"margin": {"xy": 0.1}}, "margin: unknown block `xy`; the blocks are ap, aa, an, pp, pa"),
        ({"margin": {1: 0.1}}, "margin: unknown block `1`; the blocks are ap, aa, an, pp, pa"),
        ({"margin": {"ap": float("nan")}}, "margin: nan for block ap is not a finite number"),
        ({"margin": {"start": 0.2, "end": 0}}, "margin: a schedule needs `steps`"),
        ({"margin": {"pp": {"end": 0, "steps": 5}}}, "margin.pp: a schedule needs `start`"),
        # pydantic alone would ignore the misspelled name and take the default.
        (
            {"margin": {"start": 0.2, "end": 0, "steps": 5, "shap": "cosine"}},
            "margin: unknown setting `shap`; did you mean `shape`?",
        ),
        (
            {"margin": {"start": 0.2, "ap": 0.1}},
            "margin: unknown setting `ap`; the settings are start, end, steps, shape",
        ),
        (
            {"margin": {"start": 0.2, "end": 0, "steps": 1.5}},
            "margin.steps = 1.5: input should be a valid integer, got a number with a fractional part",
        ),
        (
            {"margin": {"pp": {"start": "x", "end": 0, "steps": 5}}},
            "margin.pp.start = 'x': input should be a valid number",
        ),
        (
            {"margin": {"start": 0.2, "end": 0, "steps": 5, "shape": "steep"}},
            "margin.shape = 'steep': input should be 'linear' or 'cosine'",
        ),
        ({"margin": {"start": 0.2, "end": 0, "steps": 0}}, "margin: a schedule needs at least 1 step, got 0"),
        ({"starved": "skip"}, "starved: 'skip' has no effect without min_negatives"),
    ],
)
def test_refusals(settings, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        policy_from_settings(settings)
