"""The next trial's settings: a function of the trials before, inside the axes, never twice the same."""

import pytest

from gistembed.search.propose import is_hopeless, propose
from gistembed.search.record import TrialRecord
from gistembed.search.space import Choices, Range

SPACE = {"temperature": Range(0.01, 1.0, log=True), "batch_size": Range(8, 64, whole=True)}


def trial(number, settings, score, status="finished", curve=()):
    return TrialRecord(
        number=number, settings=settings, status=status, score=score, curve=list(curve), seconds=1.0
    )


def searched(space, count, score, seed=0):
    """So many trials one after the other, scored by a function of their settings."""
    trials = []
    for number in range(count):
        settings = propose(space, trials, seed=seed)
        trials.append(trial(number, settings, score(settings)))
    return trials


def test_proposals_follow_from_the_trials_alone():
    trials = searched(SPACE, 12, lambda settings: -settings["temperature"])
    for number in range(12):
        assert propose(SPACE, trials[:number], seed=0) == trials[number].settings
    assert propose(SPACE, [], seed=1) != trials[0].settings
    for one in trials:
        assert all(axis.holds(one.settings[name]) for name, axis in SPACE.items())


def test_later_trials_are_better_than_chance():
    """The best temperature is the lowest: after ten random trials, most are near it, not one in four."""
    trials = searched(SPACE, 30, lambda settings: -settings["temperature"])
    low = [one.settings["temperature"] < 0.01 * 100**0.25 for one in trials]
    assert sum(low[15:]) >= 8


def test_settings_are_not_tried_twice():
    space = {"mask": Choices(({}, {"max_masked": 0.5})), "loss": Choices(("guided", "infonce"))}
    trials = searched(space, 4, lambda settings: 0.5)
    assert sorted(map(str, (one.settings for one in trials))) == sorted(
        str({"mask": mask, "loss": loss}) for mask in space["mask"].values for loss in space["loss"].values
    )
    assert propose(space, trials, seed=0) is None


@pytest.mark.parametrize("status", ["failed", "pruned"])
def test_trials_without_a_score_and_outside_the_axes_are_no_hindrance(status):
    trials = [
        trial(0, {"temperature": 5.0, "batch_size": 8}, 0.5),
        trial(1, {"temperature": 0.5, "batch_size": 8}, None, status, [0.1]),
    ]
    assert SPACE["temperature"].holds(propose(SPACE, trials, seed=0)["temperature"])


def test_a_hopeless_trial_is_in_the_worst_quarter_of_five_that_were_as_far():
    """Quantile 0.25 of 0.1 … 0.5 is 0.2; trials that were stopped themselves set no standard."""
    finished = [trial(i, {}, 0.9, curve=[i / 10, 0.8]) for i in range(1, 6)]
    stopped = [trial(6, {}, None, "pruned", [0.0])] * 9
    assert is_hopeless([0.19], [*finished, *stopped])
    assert not is_hopeless([0.2], [*finished, *stopped])
    assert is_hopeless([0.9, 0.79], finished)
    assert not is_hopeless([0.0], finished[1:])
    assert not is_hopeless([0.0, 0.0, 0.0], finished)
