"""The guide's store: what is committed is whole, and nothing else is ever used."""

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from gistembed.errors import StorageError, UserError
from gistembed.guide import GuideIdentity, GuideStore
from gistembed.guide.store import key_head, text_key

IDENTITY = GuideIdentity(files="a" * 32, max_length=128, dimensions=4)


def vectors_of(*numbers):
    """A vector that tells its text, so that a mix-up shows."""
    return np.array([[number, number + 0.25, -number, 1] for number in numbers], np.float16)


HEAD = key_head("")


def keys_of(*numbers):
    return [text_key(HEAD, str(number)) for number in numbers]


def filled(root, *numbers):
    store = GuideStore(root, IDENTITY)
    store.append(keys_of(*numbers), vectors_of(*numbers))
    return store


def shards(store):
    return sorted(store.folder.glob("*.safetensors"))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.text(max_size=20), max_size=5), max_size=4))
def test_what_is_appended_is_read_by_this_store_and_the_next(appends):
    with tempfile.TemporaryDirectory() as root:
        store = GuideStore(Path(root), IDENTITY)
        wanted = {}
        for number, texts in enumerate(appends):
            new = [text for text in dict.fromkeys(texts) if text_key(HEAD, text) not in store]
            vectors = np.random.default_rng(number).standard_normal((len(new), 4)).astype(np.float16)
            keys = [text_key(HEAD, text) for text in new]
            store.append(keys, vectors)
            wanted |= dict(zip(keys, vectors, strict=True))
        order = sorted(wanted, reverse=True)
        for reader in (store, GuideStore(Path(root), IDENTITY)):
            assert reader.summary().vectors == len(wanted)
            assert reader.summary().damaged == ()
            np.testing.assert_array_equal(
                reader.read(order), np.array([wanted[key] for key in order]).reshape(-1, 4)
            )


@given(st.lists(st.tuples(st.text(), st.sampled_from(["", "query", "document"]), st.text()), unique=True))
def test_keys_tell_prompt_text_and_task_apart(combinations):
    """Prompt 'a' with text 'bc' is not prompt 'ab' with text 'c'."""
    keys = {text_key(key_head(prompt, task), text) for prompt, task, text in combinations}
    assert len(keys) == len(combinations)


def test_keys_are_of_the_bytes():
    texts = ["café", "cafe\u0301", "Café", "café ", "日本語", "🔥", "\0", ""]
    assert len({text_key(HEAD, text) for text in texts}) == len(texts)
    # Stores outlive versions of the program, so the keys must not change between them.
    assert text_key(key_head("query: ", "query"), "text").hex() == "63549581e93df0308b425b5cb598f673"


def test_an_unknown_key_is_an_error(tmp_path):
    store = filled(tmp_path, 1)
    assert keys_of(2)[0] not in store
    with pytest.raises(KeyError):
        store.read(keys_of(1, 2))


def test_an_empty_store_is_not_written(tmp_path):
    store = GuideStore(tmp_path / "store", IDENTITY)
    assert store.summary().vectors == 0
    assert store.read([]).shape == (0, 4)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    "other",
    [
        GuideIdentity(files="b" * 32, max_length=128, dimensions=4),
        GuideIdentity(files="a" * 32, max_length=256, dimensions=4),
        GuideIdentity(files="a" * 32, max_length=None, dimensions=4),
        GuideIdentity(files="a" * 32, max_length=128, dimensions=8),
        GuideIdentity(files="a" * 32, max_length=128, dimensions=4, dtype="float32"),
    ],
)
def test_another_guide_sees_nothing(tmp_path, other):
    filled(tmp_path, 1)
    assert keys_of(1)[0] not in GuideStore(tmp_path, other)


def test_the_manifest_names_the_guide(tmp_path):
    store = filled(tmp_path, 1)
    manifest = json.loads((store.folder / "guide.json").read_text())
    assert manifest == {"files": "a" * 32, "max_length": 128, "dimensions": 4, "dtype": "float16"}
    assert store.folder.name == IDENTITY.digest()


def test_writers_do_not_disturb_each_other(tmp_path):
    stores = [GuideStore(tmp_path, IDENTITY) for _ in range(4)]

    def write(worker):
        for number in range(worker, 40, 4):
            stores[worker].append(keys_of(number), vectors_of(number))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    after = GuideStore(tmp_path, IDENTITY)
    assert after.summary().vectors == 40
    np.testing.assert_array_equal(after.read(keys_of(*range(40))), vectors_of(*range(40)))


def test_the_same_text_twice_is_one_vector(tmp_path):
    filled(tmp_path, 1)
    filled(tmp_path, 1)
    assert GuideStore(tmp_path, IDENTITY).summary().vectors == 1


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 100, -1, -8, -40])
def test_a_truncated_shard_is_reported_and_not_used(tmp_path, length):
    (whole,) = shards(filled(tmp_path, 1))
    store = filled(tmp_path, 2, 3)
    (damaged,) = set(shards(store)) - {whole}
    damaged.write_bytes(damaged.read_bytes()[:length])
    after = GuideStore(tmp_path, IDENTITY)
    assert after.summary() == type(after.summary())(store.folder, 1, (damaged,))
    assert [key in after for key in keys_of(1, 2, 3)] == [True, False, False]
    after.append(keys_of(2), vectors_of(2))
    np.testing.assert_array_equal(after.read(keys_of(2, 1)), vectors_of(2, 1))


def test_a_flipped_bit_anywhere_is_seen(tmp_path):
    store = filled(tmp_path, 1, 2)
    (path,) = shards(store)
    content = path.read_bytes()
    for bit in range(0, 8 * len(content), 3):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        after = GuideStore(tmp_path, IDENTITY)
        assert after.summary().damaged == (path,), f"bit {bit} of {8 * len(content)}"
        assert after.summary().vectors == 0
    path.write_bytes(content)
    assert GuideStore(tmp_path, IDENTITY).summary().vectors == 2


def test_a_longer_shard_is_seen(tmp_path):
    (path,) = shards(filled(tmp_path, 1))
    path.write_bytes(path.read_bytes() + b"\0")
    assert GuideStore(tmp_path, IDENTITY).summary().damaged == (path,)


def test_foreign_files_are_reported_and_not_used(tmp_path):
    folder = filled(tmp_path, 1).folder
    keys = np.frombuffer(b"".join(keys_of(2)), np.uint8).reshape(1, 16)
    save_file({"weights": vectors_of(2)}, folder / "f1.safetensors")
    save_file({"keys": keys, "vectors": vectors_of(2)}, folder / "f2.safetensors")
    save_file({"keys": keys, "vectors": vectors_of(2)}, folder / "f3.safetensors", metadata={"checksum": ""})
    (folder / "f4.safetensors").write_text("Dear diary")
    (folder / "f5.safetensors").mkdir()
    (folder / "f6.safetensors").symlink_to("nowhere")
    (folder / "notes.txt").write_text("not a shard")
    after = GuideStore(tmp_path, IDENTITY)
    assert [path.name for path in after.summary().damaged] == [f"f{i}.safetensors" for i in range(1, 7)]
    assert after.summary().vectors == 1


@pytest.mark.parametrize("dimensions", [4, 8])
def test_a_shard_of_another_guide_is_foreign(tmp_path, dimensions):
    """Whole as it is, its vectors are not this guide's; with equal dimensions nothing else would show it."""
    other = GuideStore(tmp_path, GuideIdentity(files="b" * 32, max_length=128, dimensions=dimensions))
    other.append(keys_of(1), np.ones((1, dimensions), np.float16))
    (shard,) = shards(other)
    store = filled(tmp_path, 2)
    shutil.copy(shard, store.folder)
    after = GuideStore(tmp_path, IDENTITY)
    assert after.summary().damaged == (store.folder / shard.name,)
    assert keys_of(1)[0] not in after


def test_leftovers_of_a_crash_are_ignored(tmp_path):
    store = filled(tmp_path, 1)
    (shard,) = shards(store)
    (store.folder / f".{shard.name}.0123abcd").write_bytes(shard.read_bytes()[:50])
    (store.folder / f".{shard.name}").write_bytes(b"")
    after = GuideStore(tmp_path, IDENTITY).summary()
    assert (after.vectors, after.damaged) == (1, ())


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
    assert keys_of(2)[0] not in store
    assert [path for path in sorted(store.folder.iterdir()) if path.name != "guide.json"] == before
    store.append(keys_of(2), vectors_of(2))
    np.testing.assert_array_equal(GuideStore(tmp_path, IDENTITY).read(keys_of(1, 2)), vectors_of(1, 2))


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


_WRITER = """
import sys
from pathlib import Path
import numpy as np
from gistembed.guide.store import GuideIdentity, GuideStore, key_head, text_key
store = GuideStore(Path(sys.argv[1]), GuideIdentity(files="a" * 32, max_length=128, dimensions=4))
for number in range(100_000):
    vector = np.array([[number % 2048, 0.25, -1, 1]], np.float16)
    store.append([text_key(key_head(""), str(number))], vector)
    print(number, flush=True)
"""


def test_kill_loses_nothing_that_was_committed(tmp_path):
    """Killed at five random moments; five writers at once, so that their start is paid for once."""
    writers = {}
    for number in range(5):
        command = [sys.executable, "-c", _WRITER, str(tmp_path / str(number))]
        writers[tmp_path / str(number)] = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    moment = random.Random(0)
    for root, writer in writers.items():
        committed = int(writer.stdout.readline())
        time.sleep(moment.uniform(0, 0.1))
        writer.send_signal(signal.SIGKILL)
        committed = int((writer.stdout.read().splitlines() or [committed])[-1])
        assert writer.wait() == -signal.SIGKILL
        writer.stdout.close()
        store = GuideStore(root, IDENTITY)
        assert store.summary().damaged == ()
        wanted = [[number % 2048, 0.25, -1, 1] for number in range(committed + 1)]
        np.testing.assert_array_equal(store.read(keys_of(*range(committed + 1))), np.float16(wanted))
        assert store.summary().vectors - (committed + 1) in (0, 1)
