"""Each distinct text has one id, however many there are."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import xxhash
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gistembed.errors import StorageError
from gistembed.pairs import Texts
from gistembed.pairs.texts import index, table
from gistembed.pairs.texts.index import HashIndex


@pytest.fixture(params=[1 << 16, 3], ids=["in memory", "in files"])
def _chunks(request, monkeypatch, tmp_path):
    """The same with everything in memory, and with nearly everything in files."""
    monkeypatch.setattr(table, "_CHUNK_TEXTS", request.param)
    monkeypatch.setattr(table.tempfile, "gettempdir", lambda: str(tmp_path))


@pytest.mark.usefixtures("_chunks")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.text(max_size=3), max_size=8)))
def test_ids_number_distinct_texts_in_order(blocks):
    texts = Texts()
    ids = [text_id for block in blocks for text_id in texts.add_all(block).tolist()]
    every = [text for block in blocks for text in block]
    distinct = list(dict.fromkeys(every))
    assert ids == [distinct.index(text) for text in every]
    assert [texts[text_id] for text_id in range(len(texts))] == distinct
    assert texts.of(np.arange(len(texts))) == distinct
    assert list(texts.each(np.arange(len(texts))[::-1])) == distinct[::-1]
    assert texts.numbers_of([*distinct, "nobody's"]).tolist() == [*range(len(distinct)), -1]
    assert [texts.add(text) for text in distinct] == list(range(len(distinct)))


@pytest.mark.usefixtures("_chunks")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.lists(st.lists(st.text(max_size=2), max_size=4), max_size=8))
def test_one_by_one_and_all_at_once_are_one_numbering(blocks):
    """Every second block is added one by one: a text is found whichever way it came."""
    texts, every = Texts(), []
    for number, block in enumerate(blocks):
        ids = [texts.add(text) for text in block] if number % 2 else texts.add_all(block).tolist()
        every += zip(block, ids, strict=True)
    distinct = list(dict.fromkeys(text for text, _ in every))
    assert [(text, distinct.index(text)) for text, _ in every] == every
    assert [texts.id_of(text) for text in distinct] == list(range(len(distinct)))
    assert texts.of(np.arange(len(texts))) == distinct
    assert [row.tobytes() for row in texts.hashes()] == [
        xxhash.xxh3_128_digest(text.encode()) for text in distinct
    ]


def test_a_single_text_is_numbered_without_arrays(monkeypatch):
    """Steps over whole arrays cost some forty times as much as one text does by itself."""
    monkeypatch.setattr(HashIndex, "find", None)
    monkeypatch.setattr(HashIndex, "add", None)
    texts = Texts()
    assert [texts.add("a"), texts.add("b"), texts.add("a"), texts.id_of("b")] == [0, 1, 0, 1]
    assert [texts.number_of("b"), texts.number_of("c")] == [1, -1]


def test_near_equal_texts_are_distinct():
    texts = Texts()
    assert [texts.add(text) for text in ["a", "A", " a", "a\n", "é", "e\u0301"]] == list(range(6))


@pytest.mark.parametrize("text_id", [-1, 1])
def test_an_unknown_id_is_an_error(text_id):
    """-1 pads arrays of ids elsewhere; it must not quietly mean the last text."""
    texts = Texts()
    texts.add("a")
    with pytest.raises(IndexError):
        texts[text_id]
    with pytest.raises(KeyError):
        texts.id_of("b")


def test_half_a_surrogate_pair_adds_nothing():
    texts = Texts()
    with pytest.raises(UnicodeEncodeError):
        texts.add_all(["a", "\ud800"])
    with pytest.raises(UnicodeEncodeError):
        texts.add("\ud800")
    assert len(texts) == 0


def test_hashes_and_digest():
    texts = Texts()
    texts.add("é")
    texts.add("")
    hashes = [xxhash.xxh3_128_digest("é".encode()), xxhash.xxh3_128_digest(b"")]
    assert [row.tobytes() for row in texts.hashes()] == hashes
    assert texts.digest() == xxhash.xxh3_128_hexdigest(b"".join(hashes))
    assert Texts().hashes().shape == (0, 16)


def test_files_have_no_name_left(monkeypatch, tmp_path):
    """What is mapped stays readable; and what is killed leaves nothing."""
    monkeypatch.setattr(table, "_CHUNK_BYTES", 1000)
    monkeypatch.setattr(table.tempfile, "gettempdir", lambda: str(tmp_path))
    texts = Texts()
    for number in range(50):
        texts.add_all([f"{number} {'long ' * 20}"])
    assert list(tmp_path.iterdir()) == []
    mapped = Path("/proc/self/maps")
    if mapped.exists():
        assert "gistembed-texts-" in mapped.read_text(encoding="utf-8")
    assert [texts[number].partition(" ")[0] for number in range(50)] == [str(number) for number in range(50)]


def test_a_full_disk_is_one_line(monkeypatch, tmp_path):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    import pyarrow as pa

    monkeypatch.setattr(table, "_CHUNK_TEXTS", 2)
    monkeypatch.setattr(table.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(pa, "OSFile", full)
    texts = Texts()
    with pytest.raises(StorageError, match=f"^{tmp_path}: No space left on device; free space"):
        texts.add_all(["a", "b", "c"])


@settings(max_examples=50)
@given(st.lists(st.integers(0, 40), unique=True, max_size=40), st.integers(1, 8))
def test_hashes_that_want_one_place_all_find_theirs(numbers, clash):
    """All first slots are among a few: each look-up has to walk on."""
    hashes = np.zeros((len(numbers), 2), np.uint64)
    hashes[:, 0] = np.array(numbers, np.uint64) % np.uint64(clash)
    hashes[:, 1] = np.array(numbers, np.uint64)
    found = HashIndex()
    half = len(numbers) // 2
    as_bytes = hashes.view(np.uint8).reshape(-1, 16)
    found.add(as_bytes[:half])
    assert found.find(as_bytes).tolist() == [*range(half), *[-1] * (len(numbers) - half)]
    found.add(as_bytes[half:])
    assert found.find(as_bytes).tolist() == list(range(len(numbers)))
    assert (found.hashes() == as_bytes).all()
    digests = [row.tobytes() for row in as_bytes]
    assert [found.find_one(digest) for digest in digests] == list(range(len(numbers)))
    one_by_one = HashIndex()
    assert [one_by_one.find_one(digest) for digest in digests] == [-1] * len(numbers)
    assert [one_by_one.add_one(digest) for digest in digests] == list(range(len(numbers)))
    assert one_by_one.find(as_bytes).tolist() == list(range(len(numbers)))


def test_an_index_grows(monkeypatch):
    monkeypatch.setattr(index, "_SMALLEST", 4)
    found = HashIndex()
    hashes = np.random.default_rng(0).integers(0, 256, (1000, 16), np.uint8)
    for start in range(0, 1000, 70):
        found.add(hashes[start : start + 70])
    assert found.find(hashes).tolist() == list(range(1000))
    one_by_one = HashIndex()
    for row in hashes:
        one_by_one.add_one(row.tobytes())
    assert one_by_one.find(hashes).tolist() == list(range(1000))
