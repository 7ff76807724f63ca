"""Checking, merging and exporting a store."""

import errno
import os
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from filelock import FileLock
from tests.guide.store_samples import IDENTITY, check, filled, held, keys_of, lengths_of, shards, vectors_of

from gistembed.errors import StorageError, UserError
from gistembed.guide import Compaction, GuideStore, compact, export, verify
from gistembed.guide.store.shard import BLOCK_ROWS

MANY = range(BLOCK_ROWS + 10)


def damaged(path, place=-1):
    """Flip a bit."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_a_sound_store(tmp_path):
    filled(tmp_path, *MANY)
    store = filled(tmp_path, 1, 2000)
    seen = []
    found = verify(store, seen.append)
    assert (found.vectors, found.damaged, found.unreadable, found.lost) == (len(MANY) + 2, {}, {}, 0)
    assert sum(seen) == len(MANY) + 2


def test_what_is_damaged_is_found_and_counted(tmp_path):
    (large,) = shards(filled(tmp_path, *MANY))
    damaged(large)
    first = shards(filled(tmp_path, 2000, 2001))
    keys = next(path for path in first if path != large)
    damaged(keys, 8 + int.from_bytes(keys.read_bytes()[:8], "little"))
    store = filled(tmp_path, 2002)
    header = next(path for path in shards(store) if path not in first)
    damaged(header, 20)
    found = verify(GuideStore(tmp_path, IDENTITY))
    assert found.damaged == {
        large: f"10 of its {len(MANY):,} vectors are damaged",
        keys: "its keys are damaged",
        header: "its header can't be read",
    }
    assert (found.vectors, found.lost) == (BLOCK_ROWS, 12)


def test_many_files_become_one(tmp_path):
    for number in range(5):
        store = filled(tmp_path, number, number + 1)
    before = store.summary()
    reader = GuideStore(tmp_path, IDENTITY)
    rows = reader.find(keys_of(*range(6)))
    seen = []
    result = compact(store, seen.append)
    after = GuideStore(tmp_path, IDENTITY)
    assert result == Compaction(6, 5, 1, before.bytes - after.summary().bytes)
    assert sum(seen) == 6
    assert after.summary().shards == 1
    check(after, *range(6))
    # Whoever had opened the store before goes on with what it had.
    np.testing.assert_array_equal(reader.read(rows), vectors_of(*range(6)))
    check(store, *range(6))


def test_lengths_outlast_a_merge(tmp_path):
    for numbers in ((5, 1), (3,), (4, 0, 5)):
        store = GuideStore(tmp_path, IDENTITY)
        store.append(keys_of(*numbers), vectors_of(*numbers), lengths_of(*numbers))
    filled(tmp_path, 2)
    compact(store)
    after = GuideStore(tmp_path, IDENTITY)
    assert len(after.shards) == 1
    assert after.lengths(after.find(keys_of(0, 1, 2, 3, 4, 5))).tolist() == [3, 4, 0, 6, 7, 8]


def test_one_sound_file_is_left_alone(tmp_path):
    store = filled(tmp_path, 1, 2)
    before = shards(store)
    assert compact(store) == Compaction(2, 1, 1, 0)
    assert shards(store) == before


def test_merging_keeps_what_is_sound_and_removes_the_rest(tmp_path):
    (large,) = shards(filled(tmp_path, *MANY))
    damaged(large)
    store = filled(tmp_path, 2000)
    (store.folder / "broken.safetensors").write_text("")
    compact(store)
    after = GuideStore(tmp_path, IDENTITY)
    assert (len(after), after.summary().damaged) == (BLOCK_ROWS + 1, {})
    assert held(after, *MANY).count(True) == BLOCK_ROWS
    check(after, 2000)
    only_damaged = filled(tmp_path / "other", 1)
    damaged(shards(only_damaged)[0])
    compact(only_damaged)
    assert shards(only_damaged) == []


def test_what_can_not_be_read_is_not_damaged(tmp_path, monkeypatch):
    """A sound file of another user would be deleted."""
    (locked,) = shards(filled(tmp_path, 1))
    filled(tmp_path, 2)
    filled(tmp_path, 3)
    opened = Path.open

    def refused(self, *arguments, **keywords):
        if self == locked:
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return opened(self, *arguments, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refused)
        store = GuideStore(tmp_path, IDENTITY)
        assert store.summary().damaged == {}
        assert store.summary().unreadable == {locked: "Permission denied"}
        found = verify(store)
        assert (found.vectors, found.damaged, found.unreadable) == (2, {}, {locked: "Permission denied"})
        assert compact(store).vectors == 2
    check(GuideStore(tmp_path, IDENTITY), 1, 2, 3)


def test_leftovers_go_once_no_one_can_be_writing_them(tmp_path):
    store = filled(tmp_path, 1)
    old = store.folder / ".0123.safetensors.abcd"
    new = store.folder / ".4567.safetensors.abcd"
    other = store.folder / ".notes"
    for path in (old, new, other):
        path.write_text("")
    long_ago = time.time() - 7200
    for path in (old, other):
        os.utime(path, (long_ago, long_ago))
    compact(store)
    assert [path.exists() for path in (old, new, other)] == [False, True, True]


def test_two_do_not_merge_at_once(tmp_path):
    store = filled(tmp_path, 1)
    with FileLock(store.folder / ".compact.lock"), pytest.raises(UserError) as caught:
        compact(store)
    assert str(caught.value) == f"{store.folder}: another process is compacting it; wait for it to end"
    compact(store)


def test_a_full_disk_leaves_everything_as_it_was(tmp_path, monkeypatch):
    filled(tmp_path, 1)
    store = filled(tmp_path, 2)
    before = shards(store)

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"can't be stored .No space left on device."):
        compact(store)
    assert shards(store) == before
    assert [path for path in store.folder.glob(".*") if "safetensors" in path.name] == []


@pytest.mark.parametrize("count", [0, 3, BLOCK_ROWS + 10])
def test_vectors_as_parquet_and_as_array(tmp_path, monkeypatch, count):
    monkeypatch.setattr("gistembed.guide.store.upkeep._EXPORT_ROWS", BLOCK_ROWS)
    store = GuideStore(tmp_path / "store", IDENTITY)
    for start in range(0, count, 700):
        part = range(start, min(start + 700, count))
        store.append(keys_of(*part), vectors_of(*part))
    seen = []
    assert export(store, tmp_path / "out.parquet", seen.append) == count
    assert export(store, tmp_path / "out.npy", seen.append) == count
    assert sum(seen) == 2 * count
    table = pq.read_table(tmp_path / "out.parquet")
    by_key = dict(zip(keys_of(*range(count)).to_bytes(), vectors_of(*range(count)).tolist(), strict=True))
    found = dict(zip(table["key"].to_pylist(), table["vector"].to_pylist(), strict=True))
    assert found == by_key
    assert list(found) == sorted(found)
    array = np.load(tmp_path / "out.npy", allow_pickle=False)
    keys = np.load(tmp_path / "out.keys.npy", allow_pickle=False)
    assert (array.dtype, array.shape) == (np.float16, (count, 4))
    assert {key.tobytes(): row.tolist() for key, row in zip(keys, array, strict=True)} == by_key


def test_another_kind_of_file_is_refused(tmp_path):
    store = filled(tmp_path, 1)
    with pytest.raises(UserError) as caught:
        export(store, tmp_path / "out.csv")
    assert str(caught.value) == (
        f"{tmp_path / 'out.csv'}: vectors are exported as .parquet or .npy; choose such a name"
    )


@pytest.mark.parametrize("there", ["out.parquet", "out.npy", "out.keys.npy"])
def test_an_export_never_replaces_anything(tmp_path, there):
    store = filled(tmp_path / "store", 1)
    (tmp_path / there).write_text("mine")
    with pytest.raises(UserError) as caught:
        export(store, tmp_path / there.replace(".keys", ""))
    assert str(caught.value) == f"{tmp_path / there}: is there already; choose another name, or remove it"
    assert {path.name for path in tmp_path.iterdir()} == {"store", there}
    assert (tmp_path / there).read_text() == "mine"


@pytest.mark.parametrize("at", [1, 2, 3])
def test_an_export_leaves_both_files_or_none(tmp_path, monkeypatch, at):
    """Keys without vectors, or vectors without keys, would look like an export."""
    store = filled(tmp_path / "store", 1)
    calls, flush = [], os.fsync

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) == at:
            raise OSError(errno.ENOSPC, "No space left on device")
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        export(store, tmp_path / "out.npy")
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
