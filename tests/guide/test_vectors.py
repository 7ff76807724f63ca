"""From pairs to guide vectors: each text encoded once, looked up by id and role."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Router
from tests.pairs.pairs_samples import pairs_of
from tests.tiny_models import DIMENSIONS, static_module

from gistembed.errors import StorageError, UserError
from gistembed.guide import GuideIdentity, GuideStore, GuideVectors, Keys, encode_texts, plan_encoding
from gistembed.models import EmbeddingModel, load_model
from gistembed.pairs import Texts

TEXTS = ["red", "a longer text", "green", "Red", "a still longer text 🔥", "blue"]
ROWS = [(TEXTS[0], TEXTS[1], [TEXTS[2]]), (TEXTS[2], TEXTS[4], []), (TEXTS[3], TEXTS[1], [TEXTS[4]])]
IDS = {"anchor": np.array([0, 2, 3]), "document": np.array([1, 2, 4])}


@pytest.fixture(scope="module")
def guide(static_folder):
    return load_model(str(static_folder), option="--guide")


@pytest.fixture
def encoded(monkeypatch):
    """Every (prompt, text) that any model encodes, in order."""
    seen = []
    embed_batches = EmbeddingModel.embed_batches

    def spy(self, texts, role, lengths, **options):
        for batch, vectors in embed_batches(self, texts, role, lengths, **options):
            seen.extend((self.prompts[role], texts[place]) for place in batch)
            yield batch, vectors

    monkeypatch.setattr(EmbeddingModel, "embed_batches", spy)
    return seen


@pytest.fixture
def pairs():
    """Pairs over a table that holds a text of other pairs too: ``blue``."""
    texts = Texts()
    for text in TEXTS:
        texts.add(text)
    return pairs_of(ROWS, texts)


def with_prompts(guide, anchor, document):
    return dataclasses.replace(guide, prompts={"anchor": anchor, "document": document})


def store_of(root, guide, max_length=None):
    return GuideStore(root, GuideIdentity(guide.identity, max_length, guide.dimensions))


def encode(root, guide, pairs, on_progress=lambda count: None):
    return encode_texts(guide, store_of(root, guide), plan_encoding(guide, pairs), pairs, on_progress)


def missing(guide, store, pairs):
    return len(plan_encoding(guide, pairs).missing(store))


def held(store, text):
    return store.find(Keys.of([text], prompt=""))[0] >= 0


def check_vectors(vectors, guide):
    for role, ids in IDS.items():
        wanted = guide.embed([TEXTS[i] for i in ids], role).astype(np.float16)
        np.testing.assert_allclose(vectors.of(ids, role), wanted, atol=1e-3)


def zeros(_model, texts, _role, _lengths):
    """In place of `EmbeddingModel.embed_batches`: nothing usable, the shortest text first."""
    for place in sorted(range(len(texts)), key=lambda place: len(texts[place])):
        yield [place], np.zeros((1, DIMENSIONS), np.float32)


def interrupt_at(call):
    """A progress function that is interrupted the n-th time that it is called."""
    calls = []

    def interrupt(_count):
        calls.append(1)
        if len(calls) == call:
            raise KeyboardInterrupt

    return interrupt


def as_lists(missing):
    return {role: ids.tolist() for role, ids in missing.ids.items()}


def test_a_plan_by_value(tmp_path, guide, pairs):
    """Text 2 is an anchor and a document: one key where the roles share their vectors, else two."""
    plan = plan_encoding(guide, pairs)
    assert {role: ids.tolist() for role, ids in plan.ids.items()} == {
        "anchor": [0, 2, 3],
        "document": [1, 2, 4],
    }
    key = Keys.of(TEXTS, prompt="").to_bytes()
    assert {role: keys.to_bytes() for role, keys in plan.keys.items()} == {
        "anchor": [key[0], key[2], key[3]],
        "document": [key[1], key[2], key[4]],
    }
    assert plan.distinct == 5
    store = store_of(tmp_path, guide)
    assert as_lists(plan.missing(store)) == {"anchor": [0, 2, 3], "document": [1, 4]}
    store.append(Keys.of([TEXTS[0], TEXTS[4]], prompt=""), np.ones((2, DIMENSIONS), np.float16))
    assert as_lists(plan.missing(store)) == {"anchor": [2, 3], "document": [1]}
    prompted = plan_encoding(with_prompts(guide, "q: ", ""), pairs)
    green = [Keys.of(["green"], prompt="q: ", task="query"), Keys.of(["green"], prompt="", task="document")]
    assert prompted.keys["anchor"].to_bytes()[1:2] == green[0].to_bytes()
    assert prompted.keys["document"].to_bytes()[1:2] == green[1].to_bytes()
    assert prompted.distinct == 6
    assert as_lists(prompted.missing(store)) == {"anchor": [0, 2, 3], "document": [1, 2, 4]}


def test_branches_of_a_router_are_told_apart(tmp_path, pairs):
    """Equal prompts, but a branch for each role: the same text has two vectors."""
    query, document = static_module(seed=1), static_module(seed=2)
    router = SentenceTransformer(modules=[Router.for_query_document([query], [document])], device="cpu")
    guide = EmbeddingModel("router", "0" * 32, router, {"anchor": "", "document": ""})
    assert missing(guide, store_of(tmp_path, guide), pairs) == 6
    vectors = encode(tmp_path, guide, pairs)
    check_vectors(vectors, guide)
    assert np.abs(vectors.of(np.array([2]), "anchor") - vectors.of(np.array([2]), "document")).max() > 0.01


def test_a_text_in_both_roles_is_encoded_once(tmp_path, guide, pairs, encoded):
    progress = []
    assert missing(guide, store_of(tmp_path, guide), pairs) == 5
    vectors = encode(tmp_path, guide, pairs, progress.append)
    assert sorted(encoded) == sorted(("", TEXTS[i]) for i in [0, 1, 2, 3, 4])
    assert sum(progress) == 5
    assert len(store_of(tmp_path, guide)) == 5
    np.testing.assert_array_equal(vectors.of(np.array([2]), "anchor"), vectors.of(np.array([2]), "document"))
    check_vectors(vectors, guide)


def test_a_second_run_encodes_nothing(tmp_path, guide, pairs, encoded):
    first = encode(tmp_path, guide, pairs)
    encoded.clear()
    assert missing(guide, store_of(tmp_path, guide), pairs) == 0
    second = encode(tmp_path, guide, pairs)
    assert encoded == []
    for role, ids in IDS.items():
        np.testing.assert_array_equal(first.of(ids, role), second.of(ids, role))


def test_a_later_run_encodes_only_what_is_new(tmp_path, guide, pairs, encoded):
    encode(tmp_path, guide, pairs_of([(TEXTS[0], TEXTS[1], [])]))
    encoded.clear()
    vectors = encode(tmp_path, guide, pairs)
    assert sorted(encoded) == sorted(("", TEXTS[i]) for i in [2, 3, 4])
    check_vectors(vectors, guide)


def test_prompts_by_role(tmp_path, guide, pairs, encoded):
    prompted = with_prompts(guide, "query: ", "")
    vectors = encode(tmp_path, prompted, pairs)
    assert sorted(encoded) == sorted(
        [("query: ", TEXTS[i]) for i in IDS["anchor"]] + [("", TEXTS[i]) for i in IDS["document"]]
    )
    check_vectors(vectors, prompted)
    assert np.abs(vectors.of(np.array([2]), "anchor") - vectors.of(np.array([2]), "document")).max() > 0.01


def test_another_prompt_or_limit_is_never_a_hit(tmp_path, guide, pairs):
    encode(tmp_path, guide, pairs)
    assert missing(with_prompts(guide, "q: ", "q: "), store_of(tmp_path, guide), pairs) == 5
    assert missing(guide, store_of(tmp_path, guide, max_length=7), pairs) == 5
    assert missing(guide, store_of(tmp_path, guide), pairs) == 0


def test_lookup_by_shape_and_padding(tmp_path, guide, pairs):
    vectors = encode(tmp_path, guide, pairs)
    found = vectors.of(np.array([[1, -1], [4, 2], [-1, -1]]), "document")
    assert found.shape == (3, 2, DIMENSIONS)
    assert not found[0, 1].any()
    assert not found[2].any()
    np.testing.assert_array_equal(found[1, 0], vectors.of(np.array([4]), "document")[0])
    assert vectors.of(np.empty((2, 0), np.int64), "anchor").shape == (2, 0, DIMENSIONS)
    vectors.of(np.array([1]), "document")[:] = 7
    assert np.abs(vectors.of(np.array([1]), "document")).max() <= 1, "a look-up gave a view of the matrix"


def test_a_text_without_that_role(tmp_path, guide, pairs):
    vectors = encode(tmp_path, guide, pairs)
    with pytest.raises(KeyError, match="text 1 has no guide vector as anchor"):
        vectors.of(np.array([0, -1, 1]), "anchor")


@settings(max_examples=50)
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
@pytest.mark.parametrize(
    ("text", "place"), [("green", "test:1"), ("Red", "test:3"), (TEXTS[1], "test:1"), (TEXTS[4], "test:2")]
)
def test_an_unusable_vector_is_found_where_its_text_first_stands(
    tmp_path, guide, pairs, monkeypatch, value, text, place
):
    """Text ``green`` is an anchor of the second pair, but a negative of the first."""
    embed_batches = EmbeddingModel.embed_batches

    def damaged(self, texts, role, lengths):
        for batch, vectors in embed_batches(self, texts, role, lengths):
            for row in (row for row, place in enumerate(batch) if texts[place] == text):
                vectors[row, slice(None) if value == 0 else 3] = value
            yield batch, vectors

    monkeypatch.setattr(EmbeddingModel, "embed_batches", damaged)
    with pytest.raises(UserError) as caught:
        encode(tmp_path, guide, pairs)
    assert str(caught.value) == (
        f"{place}: the guide {guide.name} gives no usable vector for the text {text!r}; "
        "drop that row or choose another guide"
    )
    assert not held(store_of(tmp_path, guide), text)


def test_the_place_is_that_of_the_source(tmp_path, guide, pairs, monkeypatch):
    """Pairs that were taken out and put in another order still say where they came from."""
    monkeypatch.setattr(EmbeddingModel, "embed_batches", zeros)
    with pytest.raises(UserError, match=r"^test:3: the guide .* no usable vector for the text 'Red'"):
        encode(tmp_path, guide, pairs.take(np.array([2])))


def test_a_long_text_is_named_by_its_start(tmp_path, guide, monkeypatch):
    pairs = pairs_of([("x" * 500 + "\n", "x" * 500 + "\n", [])])
    monkeypatch.setattr(EmbeddingModel, "embed_batches", zeros)
    with pytest.raises(UserError, match=f"for the text '{'x' * 60}'; drop that row"):
        encode(tmp_path, guide, pairs)


def test_an_interruption_keeps_what_was_committed(tmp_path, guide, monkeypatch, encoded):
    """Batches of two texts, the longest first; the third never comes, and nothing was due before."""
    monkeypatch.setattr("gistembed.models.embedding._EMBED_BLOCK", 2)
    monkeypatch.setattr("gistembed.guide.encoding.encode._COMMIT_TEXTS", 5)
    pairs = pairs_of([(text, text, []) for text in TEXTS])
    with pytest.raises(KeyboardInterrupt):
        encode(tmp_path, guide, pairs, interrupt_at(2))
    store = store_of(tmp_path, guide)
    committed = {text for text in TEXTS if held(store, text)}
    assert committed == {TEXTS[4], TEXTS[1], "green", "blue"}
    encoded.clear()
    encode(tmp_path, guide, pairs)
    assert sorted(encoded) == [("", "Red"), ("", "red")]


def test_a_refusing_disk_stops_the_encoding(tmp_path, guide, pairs):
    (tmp_path / "store").write_text("")
    with pytest.raises(StorageError, match="the guide's vectors can't be stored"):
        encode(tmp_path / "store", guide, pairs)


def test_what_is_encoded_after_an_interruption_has_the_same_bits(tmp_path, bert_folder, monkeypatch):
    """Texts meet the same others in a batch of the guide, whenever they are encoded."""
    monkeypatch.setattr("gistembed.models.embedding._TOKENS_AT_ONCE", 60)
    monkeypatch.setattr("gistembed.guide.encoding.encode._COMMIT_TEXTS", 4)
    guide = load_model(str(bert_folder), option="--guide")
    pairs = pairs_of(
        [(f"{'long ' * (number % 7)}query {number}", f"text {number}", []) for number in range(9)]
    )
    done = []
    whole = encode(tmp_path / "whole", guide, pairs, done.append)
    assert len(done) > 5
    assert max(done) > 2
    for stop in range(1, len(done)):
        root = tmp_path / str(stop)
        with pytest.raises(KeyboardInterrupt):
            encode(root, guide, pairs, interrupt_at(stop))
        assert len(store_of(root, guide)) == sum(done[:stop])
        again = encode(root, guide, pairs)
        for role, ids in (("anchor", pairs.anchors), ("document", pairs.positives)):
            np.testing.assert_array_equal(again.of(ids, role), whole.of(ids, role))
