"""Commits that merge themselves: few files, and nothing lost, whoever else is at it."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.guide.store_samples import IDENTITY, check, filled, held, keys_of, lengths_of, shards, vectors_of

from gistembed.errors import StorageError
from gistembed.guide import GuideStore, compact
from gistembed.guide.store.upkeep import write_merged
from gistembed.guide.store.writer import StoreWriter


@pytest.fixture(autouse=True)
def merge_three(monkeypatch):
    monkeypatch.setattr("gistembed.guide.store.writer._MERGED_FILES", 3)


def written(writer, numbers):
    for number in numbers:
        writer.append(keys_of(number), vectors_of(number), lengths_of(number))


def sizes(root):
    return sorted(len(shard) for shard in GuideStore(root, IDENTITY).shards)


def test_three_files_of_a_level_become_one(tmp_path):
    """Like the digits of a number in base three: 26 = 222, 27 = 1000, 33 = 1020."""
    writer = StoreWriter(GuideStore(tmp_path, IDENTITY))
    wanted = {1: [1], 3: [3], 4: [1, 3], 9: [9], 26: [1, 1, 3, 3, 9, 9], 27: [27], 33: [3, 3, 27]}
    for count in range(1, 34):
        written(writer, [count])
        if count in wanted:
            assert sizes(tmp_path) == wanted[count]
    store = GuideStore(tmp_path, IDENTITY)
    check(store, *range(1, 34))
    rows = store.find(keys_of(*range(1, 34)))
    np.testing.assert_array_equal(store.lengths(rows), lengths_of(*range(1, 34)))


def test_what_others_wrote_is_left_alone(tmp_path):
    others = shards(filled(tmp_path, 100, 101))
    writer = StoreWriter(GuideStore(tmp_path, IDENTITY))
    written(writer, range(3))
    assert sizes(tmp_path) == [2, 3]
    assert set(others) < set(shards(GuideStore(tmp_path, IDENTITY)))


def test_a_reader_goes_on_with_files_that_are_merged(tmp_path):
    writer = StoreWriter(GuideStore(tmp_path, IDENTITY))
    written(writer, range(2))
    reader = GuideStore(tmp_path, IDENTITY)
    written(writer, [2])
    check(reader, 0, 1)
    assert reader.summary().bytes == 0


def test_another_process_compacts_meanwhile(tmp_path):
    """Its own files are gone before it merges them; they are in another's."""
    writer = StoreWriter(GuideStore(tmp_path, IDENTITY))
    written(writer, range(2))
    compact(GuideStore(tmp_path, IDENTITY))
    written(writer, [2])
    assert sizes(tmp_path) == [1, 2]
    written(writer, range(3, 9))
    compact(GuideStore(tmp_path, IDENTITY))
    written(writer, range(9, 12))
    store = GuideStore(tmp_path, IDENTITY)
    check(store, *range(12))
    assert len(store) == 12


def test_a_writer_merges_what_is_being_compacted(tmp_path, monkeypatch):
    """The files that a compaction is about to remove are gone; that is no reason to fail."""
    writer = StoreWriter(GuideStore(tmp_path, IDENTITY))
    written(writer, range(2))

    def progress(_count):
        if len(shards(GuideStore(tmp_path, IDENTITY))) == 2:
            written(writer, [2])

    compact(GuideStore(tmp_path, IDENTITY), progress)
    store = GuideStore(tmp_path, IDENTITY)
    check(store, *range(3))
    assert store.summary().damaged == {}


def test_another_process_compacts_during_a_merge(tmp_path, monkeypatch):
    """What was merged is in another file by then, and its old files are gone already."""

    def write_and_compact(view, rows, keys):
        path = write_merged(view, rows, keys)
        compact(GuideStore(tmp_path, IDENTITY))
        return path

    writer = StoreWriter(GuideStore(tmp_path, IDENTITY))
    monkeypatch.setattr("gistembed.guide.store.writer.write_merged", write_and_compact)
    written(writer, range(9))
    store = GuideStore(tmp_path, IDENTITY)
    check(store, *range(9))
    assert len(store) == 9


def test_a_disk_without_room_for_a_merge_loses_nothing(tmp_path, monkeypatch):
    writer = StoreWriter(GuideStore(tmp_path, IDENTITY))
    with monkeypatch.context() as patch:

        def full(*_arguments):
            raise StorageError("full")

        patch.setattr("gistembed.guide.store.writer.write_merged", full)
        written(writer, range(4))
    assert sizes(tmp_path) == [1, 1, 1, 1]
    written(writer, range(4, 9))
    assert sizes(tmp_path) == [1, 1, 1, 3, 3]
    check(GuideStore(tmp_path, IDENTITY), *range(9))


def test_a_refused_commit_is_said(tmp_path, monkeypatch):
    writer = StoreWriter(GuideStore(tmp_path, IDENTITY))

    def full(_descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match=r"can't be stored .No space left on device."):
            written(writer, [1])
    written(writer, [1])
    check(GuideStore(tmp_path, IDENTITY), 1)


def test_what_is_damaged_before_a_merge_is_left_out(tmp_path):
    writer = StoreWriter(GuideStore(tmp_path, IDENTITY))
    written(writer, range(2))
    damaged = next(path for path in shards(GuideStore(tmp_path, IDENTITY)))
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    written(writer, [2])
    store = GuideStore(tmp_path, IDENTITY)
    assert sizes(tmp_path) == [2]
    assert sorted(held(store, 0, 1, 2)) == [False, True, True]
    assert store.summary().damaged == {}


_MANY_FILES = """
import resource, sys
from pathlib import Path
from tests.guide.store_samples import IDENTITY, keys_of, shards, vectors_of
from gistembed.errors import StorageError
from gistembed.guide import GuideStore, compact
root, hard = Path(sys.argv[1]), int(sys.argv[2])
store = GuideStore(root, IDENTITY)
for number in range(150):
    store.append(keys_of(number), vectors_of(number))
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
try:
    compact(GuideStore(root, IDENTITY))
except StorageError as error:
    print(error)
print(len(shards(store)))
"""


def many_files(root, hard):
    here = Path(__file__).parents[2]
    command = [sys.executable, "-c", _MANY_FILES, str(root), str(hard)]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_more_files_than_the_soft_limit_open(tmp_path):
    assert many_files(tmp_path, 1024) == ["1"]
    check(GuideStore(tmp_path, IDENTITY), *range(150))


def test_more_files_than_the_hard_limit_are_not_taken_for_damaged(tmp_path):
    """A compaction would remove what it couldn't open."""
    folder = tmp_path / IDENTITY.digest()
    assert many_files(tmp_path, 100) == [
        f"{folder}: 150 files are more than this process may open (Too many open files); "
        "raise its limit (`ulimit -n`)",
        "150",
    ]
    check(GuideStore(tmp_path, IDENTITY), *range(150))
