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
    assert policy_from_settings({}) == MaskPolicy()
    assert policy_from_settings({"max_masked": 3}).max_masked == 3


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
        ({"starved": "skip"}, "starved: 'skip' has no effect without min_negatives"),
    ],
)
def test_refusals(settings, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        policy_from_settings(settings)
