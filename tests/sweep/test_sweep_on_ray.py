"""Cells on a Ray cluster of this machine: the table of one process, and one who dies alone."""

import json
import logging
import os
import signal
import tempfile

import pytest

from gistembed.console import Console
from gistembed.errors import Terminated
from gistembed.sweep import read_plan, run_sweep
from gistembed.sweep.on_ray import run_cells_on_ray

ray = pytest.importorskip("ray")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray", "ignore::FutureWarning:ray"),
]


@pytest.fixture
def cluster():
    # The paths of sockets in a test's own folder would be too long.
    with tempfile.TemporaryDirectory(prefix="ray") as folder:
        ray.init(
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=100 * 2**20,
            runtime_env={"env_vars": {"PYTHONPATH": os.environ.get("PYTHONPATH", ""), "HF_HUB_OFFLINE": "1"}},
            _temp_dir=folder,
        )
        yield
        ray.shutdown()


def test_the_table_is_that_of_one_process(cluster, sweep_file, tmp_path):
    """One of three batch sizes fails; no cell has to encode, because one task did it before them."""
    store = f'store = "{tmp_path / "store"}"\n'
    path = sweep_file("[grid]\nbatch_size = [20, 400, 10]\n", seeds="[1]")
    path.write_text(
        "".join(line for line in path.read_text().splitlines(True) if not line.startswith("store"))
    )
    path.write_text(path.read_text() + store)
    quiet = Console(quiet=True)
    spread = run_sweep(read_plan(path, tmp_path / "spread"), quiet, on_ray=True)
    assert [cell.status for cell in spread.record.cells] == ["finished", "failed", "finished"]
    assert spread.record.cells[1].error == (
        "--batch-size 400: larger than the 216 training pairs; choose a smaller one"
    )
    for size in (20, 10):
        folder = tmp_path / "spread" / "cells" / f"batch_size={size},seed=1"
        record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        assert record["guides"][0]["encoded"] == 0
    one = run_sweep(read_plan(path, tmp_path / "one"), quiet, quiet=True)
    assert one.csv.read_bytes() == spread.csv.read_bytes()


def test_who_dies_is_a_failed_cell(cluster, sweep_file, tmp_path, monkeypatch):
    """The worker of the first cell ends without a word; it is not tried again, and the second one goes on."""
    from gistembed.sweep import on_ray

    def dies(cell, folder, encoded):
        # Sent to the worker as it is, and so with what it needs.
        import os

        from gistembed.console import Console
        from gistembed.sweep.cell import run_cell

        return os._exit(1) if cell.seed == 1 else run_cell(cell, Console(quiet=True))

    monkeypatch.setattr(on_ray, "_run", dies)
    path = sweep_file("", seeds="[1, 2]")
    result = run_sweep(read_plan(path, tmp_path / "out"), Console(quiet=True), on_ray=True)
    first, second = result.record.cells
    assert (first.status, second.status, result.failed) == ("failed", "finished", 1)
    assert first.error.startswith("its worker on the Ray cluster died: ")


def test_sigterm_ends_it_as_it_ends_a_run(cluster, sweep_file, tmp_path, capfd):
    """Ray by itself would make an exit code of 1 of it, or end without a word."""
    plan = read_plan(sweep_file("", seeds="[1, 2, 3, 4]"), tmp_path / "out")
    cells = run_cells_on_ray(plan.cells, Console())
    assert next(cells).status == "finished"
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(Terminated):
        next(cells)
    assert "stopping the cells in hand when their steps are done" in capfd.readouterr().err
    with pytest.raises(StopIteration):
        next(cells)
