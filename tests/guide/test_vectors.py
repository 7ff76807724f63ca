"""From text ids to guide vectors: each text encoded once, looked up by id and role."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tiny_models import DIMENSIONS

from gistembed.errors import StorageError, UserError
from gistembed.guide import GuideIdentity, GuideStore, GuideVectors, encode_texts, missing_texts
from gistembed.guide.store import text_key
from gistembed.models import EmbeddingModel, load_model
from gistembed.pairs import Texts

TEXTS = ["red", "a longer text", "green", "Red", "a still longer text 🔥", "blue"]
IDS = {"anchor": np.array([0, 2, 3]), "document": np.array([1, 2, 4])}


@pytest.fixture(scope="module")
def guide(static_folder):
    return load_model(str(static_folder), option="--guide")


@pytest.fixture
def encoded(monkeypatch):
    """Every (prompt, text) that any model encodes, in order."""
    seen = []
    embed = EmbeddingModel.embed

    def spy(self, texts, role, on_progress=lambda count: None):
        seen.extend((self.prompts[role], text) for text in texts)
        return embed(self, texts, role, on_progress)

    monkeypatch.setattr(EmbeddingModel, "embed", spy)
    return seen


@pytest.fixture
def texts():
    table = Texts()
    for text in TEXTS:
        table.add(text)
    return table


def with_prompts(guide, anchor, document):
    return dataclasses.replace(guide, prompts={"anchor": anchor, "document": document})


def store_of(root, guide, max_length=None):
    return GuideStore(root, GuideIdentity(guide.identity, max_length, guide.dimensions))


def check_vectors(vectors, guide, texts):
    for role, ids in IDS.items():
        wanted = guide.embed([texts[i] for i in ids], role).astype(np.float16)
        np.testing.assert_allclose(vectors.of(ids, role), wanted, atol=1e-3)


def test_a_text_in_both_roles_is_encoded_once(tmp_path, guide, texts, encoded):
    store = store_of(tmp_path, guide)
    progress = []
    assert missing_texts(guide, store, texts, IDS) == 5
    vectors = encode_texts(guide, store, texts, IDS, progress.append)
    assert sorted(encoded) == sorted(("", TEXTS[i]) for i in [0, 1, 2, 3, 4])
    assert sum(progress) == 5
    assert vectors.matrix.shape == (5, DIMENSIONS)
    np.testing.assert_array_equal(vectors.of(np.array([2]), "anchor"), vectors.of(np.array([2]), "document"))
    check_vectors(vectors, guide, texts)


def test_a_second_run_encodes_nothing(tmp_path, guide, texts, encoded):
    first = encode_texts(guide, store_of(tmp_path, guide), texts, IDS)
    encoded.clear()
    store = store_of(tmp_path, guide)
    assert missing_texts(guide, store, texts, IDS) == 0
    second = encode_texts(guide, store, texts, IDS)
    assert encoded == []
    np.testing.assert_array_equal(first.matrix, second.matrix)


def test_a_later_run_encodes_only_what_is_new(tmp_path, guide, texts, encoded):
    encode_texts(guide, store_of(tmp_path, guide), texts, {"anchor": np.array([0, 1])})
    encoded.clear()
    vectors = encode_texts(guide, store_of(tmp_path, guide), texts, IDS)
    assert sorted(encoded) == sorted(("", TEXTS[i]) for i in [2, 3, 4])
    check_vectors(vectors, guide, texts)


def test_prompts_by_role(tmp_path, guide, texts, encoded):
    prompted = with_prompts(guide, "query: ", "")
    vectors = encode_texts(prompted, store_of(tmp_path, guide), texts, IDS)
    assert sorted(encoded) == sorted(
        [("query: ", TEXTS[i]) for i in IDS["anchor"]] + [("", TEXTS[i]) for i in IDS["document"]]
    )
    check_vectors(vectors, prompted, texts)
    assert np.abs(vectors.of(np.array([2]), "anchor") - vectors.of(np.array([2]), "document")).max() > 0.01


def test_another_prompt_or_limit_is_never_a_hit(tmp_path, guide, texts):
    encode_texts(guide, store_of(tmp_path, guide), texts, IDS)
    assert missing_texts(with_prompts(guide, "q: ", "q: "), store_of(tmp_path, guide), texts, IDS) == 5
    assert missing_texts(guide, store_of(tmp_path, guide, max_length=7), texts, IDS) == 5
    assert missing_texts(guide, store_of(tmp_path, guide), texts, IDS) == 0


def test_lookup_by_shape_and_padding(tmp_path, guide, texts):
    vectors = encode_texts(guide, store_of(tmp_path, guide), texts, IDS)
    found = vectors.of(np.array([[1, -1], [4, 2], [-1, -1]]), "document")
    assert found.shape == (3, 2, DIMENSIONS)
    assert not found[0, 1].any()
    assert not found[2].any()
    np.testing.assert_array_equal(found[1, 0], vectors.of(np.array([4]), "document")[0])
    assert vectors.of(np.empty((2, 0), np.int64), "anchor").shape == (2, 0, DIMENSIONS)
    vectors.of(np.array([1]), "document")[:] = 7
    assert np.abs(vectors.of(np.array([1]), "document")).max() <= 1, "a look-up gave a view of the matrix"


def test_a_text_without_that_role(tmp_path, guide, texts):
    vectors = encode_texts(guide, store_of(tmp_path, guide), texts, IDS)
    with pytest.raises(KeyError, match="text 1 has no guide vector as anchor"):
        vectors.of(np.array([0, -1, 1]), "anchor")


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_lookup_is_the_row_of_the_matrix(data):
    rows = np.array(data.draw(st.lists(st.integers(-1, 3), min_size=1, max_size=6)))
    ids = np.array(data.draw(st.lists(st.integers(-1, len(rows) - 1), max_size=8)), np.int64)
    matrix = np.arange(8, dtype=np.float16).reshape(4, 2) + 1
    vectors = GuideVectors(matrix, {"anchor": rows, "document": rows})
    wanted = [rows[i] if i >= 0 else None for i in ids]
    if -1 in wanted:
        with pytest.raises(KeyError):
            vectors.of(ids, "anchor")
    else:
        expected = [[0, 0] if row is None else matrix[row] for row in wanted]
        np.testing.assert_array_equal(vectors.of(ids, "anchor"), np.array(expected).reshape(-1, 2))


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0], ids=str)
def test_an_unusable_vector_names_its_text(tmp_path, guide, texts, monkeypatch, value):
    embed = EmbeddingModel.embed

    def damaged(self, block, role, on_progress=lambda count: None):
        vectors = embed(self, block, role, on_progress)
        vectors[block.index("green"), slice(None) if value == 0 else 3] = value
        return vectors

    monkeypatch.setattr(EmbeddingModel, "embed", damaged)
    store = store_of(tmp_path, guide)
    with pytest.raises(UserError) as caught:
        encode_texts(guide, store, texts, IDS)
    assert str(caught.value) == (
        f"--guide {guide.name}: gives no usable vector for the text 'green'; "
        "drop that row or choose another guide"
    )
    assert store.summary().vectors == 0


def test_a_long_text_is_named_by_its_start(tmp_path, guide, monkeypatch):
    table = Texts()
    table.add("x" * 500 + "\n")
    monkeypatch.setattr(EmbeddingModel, "embed", lambda *_: np.zeros((1, DIMENSIONS), np.float32))
    with pytest.raises(UserError, match=f"for the text '{'x' * 60}'; drop that row"):
        encode_texts(guide, store_of(tmp_path, guide), table, {"anchor": np.array([0])})


def test_an_interruption_keeps_what_was_committed(tmp_path, guide, texts, monkeypatch, encoded):
    """Blocks of two texts, the longest first; the third block never comes."""
    monkeypatch.setattr("gistembed.guide.vectors._COMMIT_TEXTS", 2)

    def interrupt_at_third(_count, calls=[]):  # noqa: B006
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt

    ids = {"document": np.arange(6)}
    with pytest.raises(KeyboardInterrupt):
        encode_texts(guide, store_of(tmp_path, guide), texts, ids, interrupt_at_third)
    store = store_of(tmp_path, guide)
    committed = {text for text in TEXTS if text_key("", text) in store}
    assert committed == {TEXTS[4], TEXTS[1], "green", "blue"}
    encoded.clear()
    encode_texts(guide, store, texts, ids)
    assert sorted(encoded) == [("", "Red"), ("", "red")]


def test_a_refusing_disk_stops_the_encoding(tmp_path, guide, texts):
    (tmp_path / "store").write_text("")
    with pytest.raises(StorageError, match="the guide's vectors can't be stored"):
        encode_texts(guide, store_of(tmp_path / "store", guide), texts, IDS)
