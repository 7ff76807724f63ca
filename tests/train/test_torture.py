"""The whole proof of docs/reliability.md: hundreds of runs that are cut, killed or left without space."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.torture
@pytest.mark.parametrize("part", ["cuts", "reruns", "kills", "disks", "terminations"])
def test_nothing_is_lost(part):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.reliability", "--no-page", "--part", part],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
