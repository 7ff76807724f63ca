"""The guide's store: what is committed is whole, and nothing else is ever used."""

import errno
import json
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file
from tests.guide.store_samples import IDENTITY, check, filled, held, keys_of, lengths_of, shards, vectors_of

from gistembed.errors import StorageError, UserError
from gistembed.guide import GuideIdentity, GuideStore, Keys, nameless_in, stores_in


@settings(max_examples=25)
@given(st.lists(st.lists(st.text(max_size=20), max_size=5), max_size=4))
def test_what_is_appended_is_found_by_this_store_and_the_next(appends):
    with tempfile.TemporaryDirectory() as root:
        store = GuideStore(Path(root), IDENTITY)
        wanted = {}
        for number, texts in enumerate(appends):
            new = [text for text in dict.fromkeys(texts) if text not in wanted]
            vectors = np.random.default_rng(number).standard_normal((len(new), 4)).astype(np.float16)
            store.append(Keys.of(new, prompt=""), vectors)
            wanted |= dict(zip(new, vectors, strict=True))
        order = sorted(wanted, reverse=True)
        for reader in (store, GuideStore(Path(root), IDENTITY)):
            assert len(reader) == len(wanted)
            assert reader.summary().damaged == {}
            rows = reader.find(Keys.of(order, prompt=""))
            np.testing.assert_array_equal(
                reader.read(rows), np.array([wanted[text] for text in order]).reshape(-1, 4)
            )


def test_rows_stay_what_they_are_while_the_store_grows(tmp_path):
    store = filled(tmp_path, 5, 1)
    before = store.find(keys_of(1, 5))
    store.append(keys_of(3, 2, 4), vectors_of(3, 2, 4))
    np.testing.assert_array_equal(store.find(keys_of(1, 5)), before)
    check(store, 1, 5, 2, 4, 3)
    assert store.find(keys_of(6, 1, 7)).tolist() == [-1, before[0], -1]


def test_lengths_are_found_with_their_texts(tmp_path):
    store = GuideStore(tmp_path, IDENTITY)
    store.append(keys_of(5, 1, 3), vectors_of(5, 1, 3), lengths_of(5, 1, 3))
    store.append(keys_of(2), vectors_of(2))
    store.append(keys_of(4, 0), vectors_of(4, 0), lengths_of(4, 0))
    for reader in (store, GuideStore(tmp_path, IDENTITY)):
        rows = reader.find(keys_of(0, 1, 2, 3, 4, 5))
        assert reader.lengths(rows).tolist() == [3, 4, 0, 6, 7, 8]
        assert reader.lengths(rows).dtype == np.int32
    assert store.lengths(np.empty(0, np.int64)).tolist() == []


def test_of_equal_keys_the_first_counts(tmp_path):
    store = GuideStore(tmp_path, IDENTITY)
    store.append(keys_of(1, 2, 1), vectors_of(1, 2, 3), lengths_of(1, 2, 3))
    check(store, 1, 2)
    assert store.lengths(store.find(keys_of(1))).tolist() == [4]
    assert len(store) == 2


def test_an_empty_store_is_not_written(tmp_path):
    store = GuideStore(tmp_path / "store", IDENTITY)
    store.append(keys_of(), vectors_of())
    assert len(store) == 0
    assert store.find(keys_of(1)).tolist() == [-1]
    assert store.read(np.empty(0, np.int64)).shape == (0, 4)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    "other",
    [
        GuideIdentity(files="b" * 32, max_length=128, dimensions=4),
        GuideIdentity(files="a" * 32, max_length=256, dimensions=4),
        GuideIdentity(files="a" * 32, max_length=None, dimensions=4),
        GuideIdentity(files="a" * 32, max_length=128, dimensions=8),
        GuideIdentity(files="a" * 32, max_length=128, dimensions=4, dtype="float32"),
        GuideIdentity(files="a" * 32, max_length=128, dimensions=4, dtype="int8"),
        GuideIdentity(files="a" * 32, max_length=128, dimensions=4, backend="openvino"),
    ],
)
def test_another_guide_sees_nothing(tmp_path, other):
    filled(tmp_path, 1)
    assert held(GuideStore(tmp_path, other), 1) == [False]


def test_an_unknown_dtype_is_refused(monkeypatch):
    # Users run without the shape checker of these tests, which would get in first.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=r"^dtype: 'int4' is unknown; choose one of float16, float32, int8$"):
        GuideIdentity(files="", max_length=None, dimensions=4, dtype="int4")


def test_the_manifest_names_the_guide(tmp_path):
    store = GuideStore(tmp_path, IDENTITY, "a/guide")
    store.append(keys_of(1), vectors_of(1))
    manifest = json.loads((store.folder / "guide.json").read_text())
    assert len(manifest.pop("seal")) == 32
    assert manifest == {
        "name": "a/guide",
        "guide": {
            "files": "a" * 32,
            "max_length": 128,
            "dimensions": 4,
            "dtype": "float16",
            "backend": "torch",
        },
        "facts": None,
    }
    assert store.folder.name == IDENTITY.digest()
    (found,) = stores_in(tmp_path)
    assert (found.name, found.identity, found.folder) == ("a/guide", IDENTITY, store.folder)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"name": "x"}', '{"name": "x", "files": 1}'])
def test_what_is_no_manifest_is_no_store(tmp_path, content):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "guide.json").write_text(content)
    with pytest.raises(UserError) as caught:
        stores_in(tmp_path)
    assert str(caught.value) == (
        f"--store {tmp_path}: holds no guide's vectors; `gistembed guide encode` makes some"
    )


def test_writers_do_not_disturb_each_other(tmp_path):
    stores = [GuideStore(tmp_path, IDENTITY) for _ in range(4)]

    def write(worker):
        for number in range(worker, 40, 4):
            stores[worker].append(keys_of(number), vectors_of(number))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    after = GuideStore(tmp_path, IDENTITY)
    assert len(after) == 40
    check(after, *range(40))


def test_damaged_files_are_named_and_not_used(tmp_path):
    (whole,) = shards(filled(tmp_path, 1))
    store = filled(tmp_path, 2, 3)
    (damaged,) = set(shards(store)) - {whole}
    damaged.write_bytes(damaged.read_bytes()[:-1])
    after = GuideStore(tmp_path, IDENTITY)
    assert after.summary().damaged == {damaged: "it is cut off or too long"}
    assert held(after, 1, 2, 3) == [True, False, False]
    after.append(keys_of(2), vectors_of(2))
    check(after, 2, 1)


def test_a_vector_that_is_damaged_is_not_found_and_can_be_appended_again(tmp_path):
    store = filled(tmp_path, 1, 2)
    (path,) = shards(store)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    after = GuideStore(tmp_path, IDENTITY)
    assert held(after, 1, 2) == [False, False]
    with pytest.raises(StorageError) as caught:
        after.read(np.array([0]))
    assert str(caught.value) == f"{path}: damaged; run `gistembed guide verify`, then start again"
    after.append(keys_of(2), vectors_of(2))
    check(after, 2)


def test_foreign_files_are_named_and_not_used(tmp_path):
    folder = filled(tmp_path, 1).folder
    save_file({"weights": vectors_of(2)}, folder / "f1.safetensors")
    save_file({"vectors": vectors_of(2)}, folder / "f2.safetensors", metadata={"rows": "1"})
    (folder / "f3.safetensors").write_text("Dear diary")
    (folder / "f4.safetensors").mkdir()
    (folder / "f5.safetensors").symlink_to("nowhere")
    (folder / "notes.txt").write_text("not a shard")
    after = GuideStore(tmp_path, IDENTITY)
    assert {path.name: reason for path, reason in after.summary().damaged.items()} == {
        "f1.safetensors": "its header can't be read",
        "f2.safetensors": "its header can't be read",
        "f3.safetensors": "its header can't be read",
        "f5.safetensors": "it is a link to nowhere",
    }
    assert after.summary().unreadable == {folder / "f4.safetensors": "Is a directory"}
    assert len(after) == 1


@pytest.mark.parametrize("dimensions", [4, 8])
def test_a_shard_of_another_guide_is_foreign(tmp_path, dimensions):
    """Whole as it is, its vectors are not this guide's; with equal dimensions nothing else would show it."""
    other = GuideStore(tmp_path, GuideIdentity(files="b" * 32, max_length=128, dimensions=dimensions))
    other.append(keys_of(1), np.ones((1, dimensions), np.float16))
    (shard,) = shards(other)
    store = filled(tmp_path, 2)
    shutil.copy(shard, store.folder)
    after = GuideStore(tmp_path, IDENTITY)
    assert list(after.summary().damaged) == [store.folder / shard.name]
    assert held(after, 1) == [False]


def test_vectors_whose_guide_is_not_told_are_found(tmp_path):
    store = filled(tmp_path, 1)
    assert nameless_in(tmp_path) == []
    (store.folder / "guide.json").write_text("{")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_text("a model, not vectors")
    (tmp_path / ("c" * 32)).mkdir()
    assert nameless_in(tmp_path) == [store.folder]
    assert stores_in(tmp_path) == []
    filled(tmp_path, 2)
    assert nameless_in(tmp_path) == []


def test_leftovers_of_a_crash_are_ignored(tmp_path):
    store = filled(tmp_path, 1)
    (shard,) = shards(store)
    (store.folder / f".{shard.name}.0123abcd").write_bytes(shard.read_bytes()[:50])
    (store.folder / f".{shard.name}").write_bytes(b"")
    after = GuideStore(tmp_path, IDENTITY)
    assert (len(after), after.summary().damaged) == (1, {})


@pytest.mark.parametrize(
    ("place", "name"), [(os, "fsync"), (Path, "replace"), (Path, "open"), (Path, "mkdir")]
)
@pytest.mark.parametrize(
    ("code", "reason", "advice"),
    [
        (errno.ENOSPC, "No space left on device", "free space or choose another folder with --store"),
        (errno.EDQUOT, "Disk quota exceeded", "free space or choose another folder with --store"),
        (errno.EROFS, "Read-only file system", "choose another folder with --store"),
    ],
)
def test_a_refusing_disk_is_one_clear_line(tmp_path, monkeypatch, place, name, code, reason, advice):
    store = filled(tmp_path, 1)
    before = shards(store)

    def refuse(*_arguments, **_options):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(place, name, refuse)
        with pytest.raises(StorageError) as caught:
            store.append(keys_of(2), vectors_of(2))
    assert str(caught.value) == (f"{store.folder}: the guide's vectors can't be stored ({reason}); {advice}")
    assert caught.value.exit_code == 4
    assert held(store, 2) == [False]
    assert [path for path in sorted(store.folder.iterdir()) if path.name != "guide.json"] == before
    store.append(keys_of(2), vectors_of(2))
    check(GuideStore(tmp_path, IDENTITY), 1, 2)


def test_a_store_where_a_file_stands(tmp_path):
    (tmp_path / "store").write_text("")
    store = GuideStore(tmp_path / "store", IDENTITY)
    with pytest.raises(StorageError) as caught:
        store.append(keys_of(1), vectors_of(1))
    assert str(caught.value) == (
        f"{store.folder}: the guide's vectors can't be stored (Not a directory); "
        "choose another folder with --store"
    )


def not_writable(root):
    with pytest.raises(UserError) as caught:
        GuideStore(root, IDENTITY).check_writable()
    assert (type(caught.value), caught.value.exit_code) == (UserError, 2)
    return str(caught.value)


def test_a_writable_store_is_left_as_it_is(tmp_path, monkeypatch):
    GuideStore(tmp_path / "new" / "store", IDENTITY).check_writable()
    assert list(tmp_path.iterdir()) == []
    filled(tmp_path / "store", 1).check_writable()
    assert [path.name for path in tmp_path.iterdir()] == ["store"]
    monkeypatch.chdir(tmp_path)
    GuideStore(Path("here"), IDENTITY).check_writable()


@pytest.mark.parametrize("below", ["", "store", "deep/store"])
def test_a_file_in_the_way_of_the_store_is_seen_beforehand(tmp_path, below):
    (tmp_path / "file").write_text("")
    root = tmp_path / "file" / below
    assert not_writable(root) == f"--store {root}: can't be written; choose another folder"


def test_a_link_to_nowhere_is_seen_beforehand(tmp_path):
    root = tmp_path / "link"
    root.symlink_to("nowhere")
    assert not_writable(root) == f"--store {root}: can't be written; choose another folder"


@pytest.mark.parametrize("refused", [os.W_OK, os.X_OK])
@pytest.mark.parametrize("exists", [False, True])
def test_missing_rights_are_seen_beforehand(tmp_path, monkeypatch, refused, exists):
    """The nearest folder that is there decides; the tests may run as a user whom no rights bind."""
    root = tmp_path / "store"
    nearest = filled(root, 1).folder if exists else tmp_path
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != nearest or not mode & refused)
    assert not_writable(root) == f"--store {root}: can't be written; choose another folder"
