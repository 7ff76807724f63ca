"""Settings that could only be mistakes are refused in one line."""

import math

import pytest

from gistembed.errors import UserError
from gistembed.mine import MiningSettings


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_negatives": 0}, "--num-negatives 0: choose at least 1"),
        ({"range_min": -1}, "--range-min -1: choose 0 or more"),
        ({"seed": -1}, "--seed -1: choose 0 or more"),
        (
            {"range_min": 10, "range_max": 12},
            "--range-max 12: leaves no room for 3 negatives after the 10 that are skipped; "
            "choose at least 13",
        ),
        (
            {"sampling": "random"},
            "--sampling random: draws from the nearest documents; say from how many with --range-max",
        ),
        (
            {"search": "faiss"},
            "--search faiss: finds so many of the nearest; say how many with --range-max",
        ),
        ({"relative_margin": math.nan}, "--relative-margin nan: choose a finite number"),
        ({"max_cosine": math.inf}, "--max-cosine inf: choose a finite number"),
        ({"positive_share": 0.0}, "--positive-share 0.0: choose a share above 0, at most 1"),
        ({"positive_share": 1.5}, "--positive-share 1.5: choose a share above 0, at most 1"),
        (
            {"min_cosine": 0.5, "max_cosine": 0.25},
            "--min-cosine 0.5: above --max-cosine 0.25, which leaves nothing",
        ),
    ],
)
def test_refused(options, message):
    with pytest.raises(UserError) as error:
        MiningSettings(**options)
    assert str(error.value) == message


def test_depth():
    assert MiningSettings(num_negatives=2, range_min=5).depth == 7
    assert MiningSettings(num_negatives=2, range_min=5, range_max=50).depth == 50
