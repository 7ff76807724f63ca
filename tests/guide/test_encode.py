"""Encoding in one process: what the guide is asked, what is committed, and when."""

import itertools
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from tests.guide.endpoint_runs import run_of
from tests.guide.store_samples import keys_of, lengths_of
from tests.pairs.pairs_samples import pairs_of
from tests.tiny_models import DIMENSIONS

from gistembed.errors import StorageError, UserError
from gistembed.guide import GuideIdentity, GuideStore, Keys, encode_texts, plan_encoding
from gistembed.guide.encoding.encode import TextRun, UnusableVectorError, encode_run
from gistembed.guide.store.writer import StoreWriter
from gistembed.models import EmbeddingModel, load_model

TEXTS = ["0", "1", "2", "3", "4", "5", "6"]
# To the byte: what some library somewhere lowers, strips, composes or cuts.
NEIGHBOURS = {
    "case": ["Straße", "straße", "STRASSE"],
    "accents": ["resume", "résumé", "resumé"],
    "composed": [unicodedata.normalize("NFC", "é한"), unicodedata.normalize("NFD", "é한")],
    "compatible": ["ﬁ", "fi", "①", "1"],
    "ideographs": ["𠮷野家", "吉野家", "埋め込み", "埋め込み "],
    "emoji": ["👩‍👩‍👧", "👩👩👧", "🔥", "🔥\ufe0f"],
    "right to left": ["שלום", "\u202bשלום\u202c", "مرحبا", "مَرحبا"],
    "white space": ["a b", "a  b", " a b", "a b\n", "a\u00a0b", "a\tb"],
    "nothing": ["", " ", "\u200b", "\0"],
    "100,000 characters": ["ſ" * 100_000, "ſ" * 99_999 + "s", "ſ" * 99_999],
}


@pytest.fixture(scope="module")
def guide(static_folder):
    return load_model(static_folder, option="--guide")


@pytest.fixture
def store(tmp_path, guide):
    return GuideStore(tmp_path, GuideIdentity(guide.identity, None, DIMENSIONS))


@pytest.fixture
def commits(monkeypatch):
    """The texts of each commit, as numbers of vectors; four make one due."""
    commits = []
    append = StoreWriter.append

    def spy(self, keys, vectors, lengths=None):
        commits.append(len(keys))
        append(self, keys, vectors, lengths)

    monkeypatch.setattr(StoreWriter, "append", spy)
    monkeypatch.setattr("gistembed.guide.encoding.encode._COMMIT_TEXTS", 4)
    return commits


def batches(monkeypatch, sizes, error=None):
    """Let the guide give batches of such sizes, of ones; then raise an error, if there is one."""

    def embed_batches(_self, _texts, _role, _lengths):
        start = 0
        for size in sizes:
            yield list(range(start, start + size)), np.ones((size, DIMENSIONS), np.float32)
            start += size
        if error is not None:
            raise error

    monkeypatch.setattr(EmbeddingModel, "embed_batches", embed_batches)


@pytest.mark.parametrize(
    ("sizes", "wanted"),
    [([7], [7]), ([3, 3, 1], [6, 1]), ([1] * 7, [4, 3]), ([4, 3], [4, 3]), ([2, 2], [4]), ([], [])],
    ids=str,
)
def test_whole_batches_are_committed_when_they_are_due(guide, store, commits, monkeypatch, sizes, wanted):
    batches(monkeypatch, sizes)
    done = []
    encode_run(guide, StoreWriter(store), run_of(TEXTS), done.append)
    assert commits == wanted
    assert done == sizes
    assert len(store.reopened()) == sum(sizes)


@pytest.mark.parametrize("error", [UserError("no"), KeyboardInterrupt(), RuntimeError("no")], ids=repr)
def test_what_came_before_an_error_is_committed(guide, store, commits, monkeypatch, error):
    batches(monkeypatch, [2, 2, 1], error)
    with pytest.raises(type(error)) as caught:
        encode_run(guide, StoreWriter(store), run_of(TEXTS))
    assert caught.value is error
    assert commits == [4, 1]
    assert len(store.reopened()) == 5


def test_an_interrupted_commit_is_made_up_for(guide, store, monkeypatch):
    batches(monkeypatch, [5])
    append = StoreWriter.append
    calls = []

    def interrupt(self, keys, vectors, lengths=None):
        calls.append(len(keys))
        if len(calls) == 1:
            raise KeyboardInterrupt
        append(self, keys, vectors, lengths)

    monkeypatch.setattr(StoreWriter, "append", interrupt)
    with pytest.raises(KeyboardInterrupt):
        encode_run(guide, StoreWriter(store), run_of(TEXTS))
    assert calls == [5, 5]
    assert len(store.reopened()) == 5


def test_an_interruption_may_come_at_any_moment(guide, tmp_path, monkeypatch):
    """Before each line in turn: between places and vectors, the commit on the way out failed."""
    batches(monkeypatch, [3, 3])
    for moment in itertools.count():
        store = GuideStore(tmp_path / str(moment), GuideIdentity(guide.identity, None, DIMENSIONS))
        left = [moment]

        def trace(frame, event, _argument, left=left):
            # The checks of shapes wrap the function: only what the module itself says is meant.
            if frame.f_code.co_name != "encode_run" or Path(frame.f_code.co_filename).name != "encode.py":
                return None
            if event == "line":
                left[0] -= 1
                if left[0] < 0:
                    raise KeyboardInterrupt
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            encode_run(guide, StoreWriter(store), run_of(TEXTS))
            break
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(before)
        # What an interruption right after a commit commits again is there twice, which does no harm.
        assert (store.reopened().find(run_of(TEXTS).keys) >= 0).sum() in (0, 3, 6)
    assert moment > 12
    assert len(store.reopened()) == 6


def test_what_the_disk_refuses_is_not_tried_twice(guide, store, monkeypatch):
    batches(monkeypatch, [5])
    calls = []

    def refuse(_self, keys, _vectors, _lengths=None):
        calls.append(len(keys))
        raise StorageError("full")

    monkeypatch.setattr(StoreWriter, "append", refuse)
    with pytest.raises(StorageError, match=r"^full$"):
        encode_run(guide, StoreWriter(store), run_of(TEXTS))
    assert calls == [5]


@pytest.mark.parametrize("dtype", ["float16", "float32", "int8"])
@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, 1e39], ids=str)
def test_an_unusable_vector_is_refused_in_every_dtype(guide, tmp_path, monkeypatch, dtype, value):
    def embed_batches(_self, texts, _role, _lengths):
        vectors = np.ones((len(texts), DIMENSIONS), np.float32)
        with np.errstate(over="ignore"):
            vectors[2, slice(None) if value == 0 else 5] = np.float32(value)
        yield list(range(len(texts))), vectors

    monkeypatch.setattr(EmbeddingModel, "embed_batches", embed_batches)
    store = GuideStore(tmp_path, GuideIdentity(guide.identity, None, DIMENSIONS, dtype))
    with pytest.raises(UnusableVectorError) as caught:
        encode_run(guide, StoreWriter(store), run_of(TEXTS))
    assert caught.value.text == "2"


def test_lengths_are_kept_with_their_texts(guide, store, monkeypatch):
    """The guide may give its batches in any order."""

    def embed_batches(_self, _texts, _role, lengths):
        np.testing.assert_array_equal(lengths, lengths_of(1, 2, 3))
        yield [2], np.ones((1, DIMENSIONS), np.float32)
        yield [0, 1], np.ones((2, DIMENSIONS), np.float32)

    monkeypatch.setattr(EmbeddingModel, "embed_batches", embed_batches)
    encode_run(
        guide, StoreWriter(store), TextRun("anchor", ["1", "2", "3"], keys_of(1, 2, 3), lengths_of(1, 2, 3))
    )
    after = store.reopened()
    np.testing.assert_array_equal(after.lengths(after.find(keys_of(3, 1, 2))), lengths_of(3, 1, 2))


def test_pieces_are_the_run(guide):
    run = TextRun("anchor", TEXTS, keys_of(*range(7)), lengths_of(*range(7)))
    pieces = list(run.pieces(3))
    assert [piece.texts for piece in pieces] == [["0", "1", "2"], ["3", "4", "5"], ["6"]]
    assert {piece.role for piece in pieces} == {"anchor"}
    assert Keys.joined([piece.keys for piece in pieces]).to_bytes() == run.keys.to_bytes()
    assert np.concatenate([piece.lengths for piece in pieces]).tolist() == list(range(3, 10))
    assert [piece.lengths for piece in run_of(TEXTS).pieces(4)] == [None, None]


@pytest.mark.parametrize("texts", NEIGHBOURS.values(), ids=NEIGHBOURS.keys())
def test_texts_reach_the_guide_raw_and_keep_apart_vectors(guide, store, monkeypatch, texts):
    """Each is encoded once, to the byte, and looked up as itself."""
    seen = []
    embed_batches = EmbeddingModel.embed_batches

    def spy(self, texts, role, lengths):
        seen.extend(texts)
        for batch, vectors in embed_batches(self, texts, role, lengths):
            # Where two texts have the same bag of bytes, or none, something still has to tell them apart.
            for row, place in enumerate(batch):
                vectors[row, 0] = 100 + wanted.index(texts[place])
            yield batch, vectors

    monkeypatch.setattr(EmbeddingModel, "embed_batches", spy)
    wanted = list(texts)
    pairs = pairs_of([(text, wanted[0], []) for text in wanted])
    vectors = encode_texts(guide, store, plan_encoding(guide, pairs), pairs)
    assert sorted(text.encode() for text in seen) == sorted(text.encode() for text in wanted)
    found = vectors.of(pairs.anchors, "anchor")
    assert found[:, 0].tolist() == [100 + place for place in range(len(wanted))]
    np.testing.assert_array_equal(vectors.of(pairs.positives[:1], "document"), found[:1])
