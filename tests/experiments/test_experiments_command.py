"""`python -m experiments`: which scales may write the tables that come with it."""

import csv
import sys

import pytest
from benchmarks.tables import write_table
from experiments.__main__ import main
from experiments.harness.page import markdown
from experiments.harness.scale import read_scale

from gistembed.errors import UserError


@pytest.mark.parametrize(
    "given", [["--scale", "full"], ["--seeds", "1"], ["--scale", "my.toml", "--seeds", "5"]]
)
def test_another_scale_or_other_seeds_need_a_place_of_their_own(given, tmp_path, monkeypatch, capsys):
    """They took the place of the tables that come with it, and of those on the page."""
    monkeypatch.chdir(tmp_path)
    scale = (
        'student = "a"\nguide = "b"\nsteps = 1\nbatch_size = 1\nlearning_rates = [1]\ntemperatures = [1]\n'
    )
    (tmp_path / "my.toml").write_text(scale)
    monkeypatch.setattr(sys, "argv", ["experiments", "mask_curve", *given])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        "error: --out: where the tables go; experiments/results and docs/experiments.md have those of "
        "--scale small with its own seeds\n"
    )
    assert not (tmp_path / "runs").exists()


def test_a_table_says_its_scale_and_seeds_and_the_page_reads_it(tmp_path):
    write_table(tmp_path / "t.csv", [{"a": 1}], {"scale": "my.toml", "seeds": 3})
    first, *lines = (tmp_path / "t.csv").read_text().splitlines()
    assert first.startswith("# {'machine': {")
    assert first.endswith(", 'scale': 'my.toml', 'seeds': 3}")
    assert list(csv.DictReader(lines)) == [{"a": "1"}]
    assert markdown(tmp_path / "t.csv") == "| a |\n|---|\n| 1 |"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('student = ""', "student: string should have at least 1 character"),
        ("steps = 0", "steps: input should be greater than 0"),
        ("batch_size = -1", "batch_size: input should be greater than 0"),
        ("learning_rates = []", "learning_rates: tuple should have at least 1 item after validation, not 0"),
        ("temperatures = [0.1, 0]", "temperatures.1: input should be greater than 0"),
        ("learning_rates = [inf]", "learning_rates.0: input should be a finite number"),
        ("seeds = 0", "seeds: input should be greater than 0"),
        ("workers = 0", "workers: input should be greater than 0"),
    ],
)
def test_a_scale_that_nothing_could_be_trained_at_is_refused(line, problem, tmp_path):
    settings = {
        "student": '"a"',
        "guide": '"b"',
        "steps": "1",
        "batch_size": "1",
        "learning_rates": "[0.1]",
        "temperatures": "[0.1]",
    }
    name, _, value = line.partition(" = ")
    path = tmp_path / "s.toml"
    path.write_text("".join(f"{key} = {one}\n" for key, one in (settings | {name: value}).items()))
    with pytest.raises(UserError) as error:
        read_scale(str(path))
    assert str(error.value) == f"{path}: {problem}"


def test_seeds_can_be_others_than_the_scales_but_not_none():
    assert read_scale("small", 3).seeds == 3
    with pytest.raises(UserError) as error:
        read_scale("small", 0)
    assert str(error.value) == "--seeds 0: give 1 or more"
