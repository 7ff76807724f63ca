"""Killed at any point, full disks, read-only folders: what was committed stays, and nothing else is used."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.guide.small_disk import CANNOT_MOUNT
from tests.guide.store_samples import IDENTITY, check

from gistembed.guide import GuideStore


def kills(folder, count, seed):
    command = [sys.executable, "-m", "tests.guide.crash", str(folder / "store"), str(count), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{count}\n"


def test_killed_writers_lose_nothing_that_was_committed(tmp_path):
    kills(tmp_path, 25, seed=0)


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(1, 5))
def test_a_thousand_killed_writers(tmp_path, seed):
    kills(tmp_path, 250, seed)


def test_a_full_disk_and_one_that_can_only_be_read(tmp_path):
    command = ["unshare", "--mount", sys.executable, "-m", "tests.guide.small_disk", str(tmp_path)]
    if shutil.which("unshare") is None:
        pytest.skip("no unshare here")
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode == CANNOT_MOUNT or "unshare failed" in done.stderr:
        pytest.skip("no rights to mount a small disk")
    assert done.returncode == 0, done.stderr


_WRITER = """
import sys
from pathlib import Path
from tests.guide.store_samples import IDENTITY, keys_of, vectors_of
from gistembed.guide import GuideStore
for run in range(int(sys.argv[2])):
    store = GuideStore(Path(sys.argv[1]), IDENTITY)
    missing = [number for number in range(run * 20, run * 20 + 20) if store.find(keys_of(number))[0] < 0]
    for number in missing:
        store.append(keys_of(number), vectors_of(number))
"""


def two_writers(root, runs):
    command = [sys.executable, "-c", _WRITER, str(root), str(runs)]
    here = Path(__file__).parents[2]
    writers = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=here) for _ in range(2)]
    for writer in writers:
        _, errors = writer.communicate(timeout=600)
        assert writer.returncode == 0, errors
    store = GuideStore(root, IDENTITY)
    assert store.summary().damaged == {}
    check(store, *range(20 * runs))


def test_two_processes_write_at_once(tmp_path):
    two_writers(tmp_path, 5)


@pytest.mark.torture
def test_two_processes_write_at_once_fifty_times(tmp_path):
    two_writers(tmp_path, 50)
