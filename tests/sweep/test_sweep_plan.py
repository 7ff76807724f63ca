"""From a sweep's file to its cells, and every way in which the file can be wrong."""

import pytest

from gistembed.errors import UserError
from gistembed.sweep import read_plan

BASE = """
data = "pairs.jsonl"
student = "s"
guide = "g"
"""


@pytest.fixture
def plan(tmp_path):
    """Read a sweep; gives its plan."""

    def call(text):
        path = tmp_path / "sweep.toml"
        path.write_text(text, encoding="utf-8")
        return read_plan(path, tmp_path / "out")

    return call


@pytest.fixture
def refusal(plan, tmp_path):
    """Read a sweep that is refused; gives the message without its beginning."""

    def call(text):
        with pytest.raises(UserError) as caught:
            plan(text)
        message = str(caught.value)
        assert message.startswith(f"{tmp_path / 'sweep.toml'}")
        return message.removeprefix(f"{tmp_path / 'sweep.toml'}")

    return call


def test_cells_are_all_combinations_with_all_seeds(plan):
    """The last axis varies fastest, the seeds faster; the split is that of the base's seed in all of them."""
    found = plan(
        f"seeds = [1, 2]\n[base]\nseed = 7\nmask = {{limit_floor = 0.3}}\n{BASE}\n"
        "[grid]\nlearning_rate = [1e-3, 2e-3]\nmask.max_masked = [0.5, 1.0]\n"
    )
    assert [axis.name for axis in found.axes] == ["learning_rate", "mask.max_masked"]
    cells = [
        (cell.config.learning_rate, cell.config.mask["max_masked"], cell.config.seed) for cell in found.cells
    ]
    assert cells == [(rate, most, seed) for rate in (1e-3, 2e-3) for most in (0.5, 1.0) for seed in (1, 2)]
    assert {cell.config.split_seed for cell in found.cells} == {7}
    assert {cell.config.mask["limit_floor"] for cell in found.cells} == {0.3}
    assert found.cells[0].name == "learning_rate=0.001,mask.max_masked=0.5,seed=1"


def test_names_tell_cells_apart_whatever_their_values(plan):
    """Without a digest, a/model and b/model, and two tables, would share a folder."""
    found = plan(
        f'[base]\n{BASE}\n[grid]\nstudent = ["a/model", "b/model"]\nmargin = [{{ap = 0.1}}, {{aa = 0.1}}]\n'
    )
    names = [cell.name for cell in found.cells]
    assert len(set(names)) == 4
    assert all(name.startswith("student=model,margin=_") for name in names)
    assert all("/" not in name and len(name) <= 109 for name in names)


def test_the_base_may_be_a_file_for_fit(plan, tmp_path):
    (tmp_path / "run.toml").write_text(f'out = "elsewhere"\n{BASE}', encoding="utf-8")
    found = plan(f'base = "{tmp_path / "run.toml"}"\nseeds = [3, 4]\n')
    assert [cell.config.seed for cell in found.cells] == [3, 4]
    assert found.cells[0].config.out == tmp_path / "out" / "cells" / "seed=3"
    assert found.cells[0].config.student == "s"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[grid]\nsteps = [1]\n",
            ": `base` is missing; give what all cells share as a [base] table, or the name of a file for "
            "`gistembed fit --config`",
        ),
        ("base = 3\n", ": base = 3: expected a table, or the name of a file"),
        (f"[base]\n{BASE}", ": nothing varies; give lists of values in [grid], or several seeds"),
        (f"[base]\n{BASE}[grid]\n", ": nothing varies; give lists of values in [grid], or several seeds"),
        (
            f"[base]\n{BASE}[grids]\nsteps = [1]\n",
            ": unknown part `grids`; a sweep has [base], [grid] and seeds, and settings of the runs stand in "
            "[base]",
        ),
        (
            f"[base]\n{BASE}[grid]\nsteps = []\n",
            ": [grid] steps = []: expected a list with at least one value",
        ),
        (f"[base]\n{BASE}[grid]\nsteps = 5\n", ": [grid] steps = 5: expected a list with at least one value"),
        (f"[base]\n{BASE}[grid]\nsteps = [5, 6, 5]\n", ": [grid] steps: names 5 twice"),
        (
            f"[base]\n{BASE}[grid]\nepocs = [1]\n",
            ": unknown setting `epocs`; did you mean `epochs`?",
        ),
        (
            f"[base]\n{BASE}[grid]\nbatch_size = [16, 1]\n",
            ": `batch_size` = 1: input should be greater than or equal to 2",
        ),
        (
            f"[base]\nsteps = 5\n{BASE}[grid]\nepochs = [1, 2]\n",
            ": [grid] epochs is ignored, because steps is given; leave it out",
        ),
        (
            f"[base]\nlora = 8\n{BASE}[grid]\nlora.alpha = [8, 16]\n",
            ": [grid] lora.alpha: `lora` = 8 in the base is no table",
        ),
        (
            f"[base]\n{BASE}[grid]\nseed = [1, 2]\n",
            ": [grid] seed: can't vary: list the seeds under `seeds`, outside of [grid]",
        ),
        (
            f'[base]\n{BASE}[grid]\nout = ["a", "b"]\n',
            ": [grid] out: can't vary: each cell has a folder of its own in --out",
        ),
        (f"seeds = []\n[base]\n{BASE}", ": seeds = []: expected a list of whole numbers"),
        (f"seeds = [1, 2.5]\n[base]\n{BASE}", ": seeds = [1, 2.5]: expected a list of whole numbers"),
        (f"seeds = [1, 1]\n[base]\n{BASE}", ": seeds: names 1 twice"),
        (
            f"seeds = [1, -1]\n[base]\n{BASE}",
            ": `seed` = -1: input should be greater than or equal to 0",
        ),
        (f"grid = 3\n[base]\n{BASE}", ": grid = 3: expected a table of lists"),
    ],
)
def test_what_is_wrong_is_said(refusal, text, message):
    assert refusal(text) == message


def test_a_wrong_base_file_is_named(refusal, tmp_path):
    (tmp_path / "run.toml").write_text(f"epocs = 3\n{BASE}", encoding="utf-8")
    assert refusal(f'base = "{tmp_path / "run.toml"}"\nseeds = [3, 4]\n') == (
        f" with {tmp_path / 'run.toml'}: unknown setting `epocs`; did you mean `epochs`?"
    )
