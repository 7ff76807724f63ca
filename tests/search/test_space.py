"""What is searched: axes from a table or by default, and every mistake in one line."""

import pytest

from gistembed.config import run_config
from gistembed.errors import UserError
from gistembed.search.space import Choices, Range, default_space, space_from_settings

LEAST = {"data": "pairs.csv", "student": "s", "guide": "g", "out": "o"}
RESOLVED = {"learning_rate": 2e-3, "batch_size": 32}


def defaults(given=(), pairs=1000, **settings):
    return default_space(run_config(LEAST | RESOLVED | settings, source="x"), given, pairs=pairs)


def test_the_usual_axes_lie_around_what_a_run_would_take():
    assert defaults() == {
        "learning_rate": Range(2e-3 / 5, 2e-3 * 5, log=True),
        "temperature": Range(0.005, 0.3, log=True),
        "margin": Range(0.0, 0.1),
        "batch_size": Choices((16, 32, 64)),
    }


def test_what_the_user_decided_on_is_not_searched():
    assert list(defaults(given=["learning_rate", "data"])) == ["temperature", "margin", "batch_size"]
    assert "margin" not in defaults(mask={"margin": 0.05})
    assert "margin" not in defaults(loss="infonce")
    assert defaults(batches="one_task")["batch_size"] == Choices((16, 32))
    assert defaults(pairs=40)["batch_size"] == Choices((16, 32))
    with pytest.raises(UserError) as caught:
        defaults(given=["learning_rate", "temperature", "margin", "batch_size"])
    assert str(caught.value) == (
        "search: learning_rate, temperature, margin, batch_size are all given, so that nothing is left to "
        "search; leave one out, or name what to search in a [search] table of the file for --config"
    )


def test_a_table_names_ranges_and_choices():
    table = {
        "temperature": {"low": 0.01, "high": 1, "log": True},
        "batch_size": {"low": 16, "high": 64},
        "mask": [{"max_masked": 0.5}, {}],
    }
    space = space_from_settings(table, source="run.toml")
    assert space == {
        "temperature": Range(0.01, 1, log=True, whole=False),
        "batch_size": Range(16, 64, whole=True),
        "mask": Choices(({"max_masked": 0.5}, {})),
    }
    assert {name: axis.record() for name, axis in space.items()} == table


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, ": names no setting; leave it out for the usual ones"),
        ({"seed": [1, 2]}, " seed: can't be searched: the best of several seeds is luck, not a setting"),
        ({"holdout": [0.1, 0.2]}, " holdout: can't be searched: the held-out pairs stay out of a search"),
        ({"epochs": [1]}, " epochs = [1]: expected at least two different choices"),
        ({"epochs": [1, 2, 1]}, " epochs = [1, 2, 1]: expected at least two different choices"),
        (
            {"margin": {"low": 0.1}},
            " margin = {'low': 0.1}: expected {low = …, high = …}, also with log = true, or a list of "
            "choices",
        ),
        ({"margin": {"low": 0.1, "high": 0.1}}, " margin: expected numbers, low below high"),
        (
            {"margin": {"low": 0.0, "high": 0.1, "log": True}},
            " margin: log is true or false, and true only for a low above 0",
        ),
        ({"loss": {"low": 0, "high": 1}}, " loss: takes no numbers; give a list of choices"),
    ],
)
def test_mistakes_in_a_table(table, message):
    with pytest.raises(UserError) as caught:
        space_from_settings(table, source="run.toml")
    assert str(caught.value) == f"run.toml: [search]{message}"


def test_numbers_have_digits_that_people_can_write():
    assert Range(1e-5, 1e-2).rounded(0.00031734) == 0.000317
    assert Range(1e-5, 1e-2).rounded(1.0001e-5) == 1e-5
    assert Range(0.12345, 0.2).rounded(0.12346) == 0.12345
    assert Range(0.0, 1.0).rounded(0.0) == 0.0
    assert Range(16, 4096, whole=True).rounded(1234) == 1234


def test_whether_a_value_lies_on_an_axis():
    assert Range(0.0, 0.1).holds(0)
    assert not Range(0.0, 0.1).holds({"ap": 0.05})
    assert not Range(0, 5).holds(True)
    assert not Range(16, 64, whole=True).holds(16.5)
    assert Choices((None, "hard")).holds(None)
