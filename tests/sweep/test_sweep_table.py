"""How rows are ranked by dev, from runs written by hand."""

import numpy as np
import pytest
from tests.compare.compare_samples import write_run

from gistembed.sweep.folder import SweepFolder
from gistembed.sweep.record import CellRecord, SweepRecord
from gistembed.sweep.table import sweep_table
from gistembed.sweep.words import summary_line

# How hard each query is; what a seed adds to all of them.
HARD = np.random.default_rng(0).uniform(0.1, 0.6, 60)
LUCK = {1: 0.05, 2: -0.02, 3: -0.01, 4: -0.02, 5: 0.0}


@pytest.fixture
def table(tmp_path):
    """The table of a sweep over x, from the gain of each value and the seeds of its finished cells."""
    folder = SweepFolder(tmp_path, resume=False)

    def call(rows):
        cells = []
        for x, (gain, seeds) in rows.items():
            for seed in LUCK:
                name = f"x={x},seed={seed}"
                status = "finished" if seed in seeds else "failed"
                cells.append(CellRecord(name=name, settings={"x": x}, seed=seed, status=status))
                if seed in seeds:
                    after = HARD + gain + LUCK[seed]
                    scores = {
                        (data, model): values
                        for data in ("dev", "held-out")
                        for model, values in (("base", HARD), ("guided", after))
                    }
                    write_run(tmp_path / "cells" / name, scores, seed=seed, keep_best="nDCG@10")
        record = SweepRecord(status="failed", base={}, axes={"x": list(rows)}, seeds=list(LUCK), cells=cells)
        return sweep_table(record, folder)

    return call


def test_one_lucky_seed_does_not_win(table):
    """On the seed that both have, x 0.5 is worse than x 0.1; the mean of its one seed is the highest."""
    found = table({0.5: (-0.005, [1]), 0.1: (0.0, [1, 2, 3, 4, 5]), 0.2: (-0.01, [1, 2, 3, 4, 5])})
    assert [row.settings["x"] for row in found.rows] == [0.1, 0.2, 0.5]
    assert [row.settings["x"] for row in found.ranked] == [0.1, 0.2]
    assert found.rows[2].scores["dev"].score.mean > found.rows[0].scores["dev"].score.mean
    assert found.tied == 0
    assert found.warnings[0] == (
        "not ranked, as a mean over fewer seeds may be high by their luck: x 0.5 (1 of 5)"
    )
    words = summary_line(found)
    assert words.startswith("best by dev nDCG@10 of 2 settings: x 0.1: ")
    assert words.endswith("; 1 more not ranked, as seeds are missing; 4 of 15 cells failed")


def test_alone_with_all_seeds_is_the_only_one_that_is_ranked(table):
    words = summary_line(table({0.5: (0.1, [1]), 0.1: (0.0, [1, 2])}))
    assert ", the only settings that are ranked; held-out " in words


def test_without_settings_that_have_all_seeds_nothing_is_ranked(table):
    found = table({0.5: (0.0, [1, 2]), 0.1: (0.0, [2, 3])})
    assert (found.ranked, found.left_out) == ((), ())
    assert summary_line(found) == (
        "nothing is ranked: no settings have all seeds that others have, and held-out pairs are not for "
        "choosing; 6 of 10 cells failed"
    )
