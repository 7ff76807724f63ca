"""What comes out of the cache is, value by value, what the model's own preprocessing gives."""

import pickle
import tempfile
from collections import UserDict
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Router
from sentence_transformers.sentence_transformer.modules import Pooling
from tests.pairs.pairs_samples import pairs_of
from tests.real_text import documentation_pairs
from tests.tiny_models import DIMENSIONS, MAX_LENGTH, static_module

from gistembed.batches import (
    PairCollator,
    TokenCache,
    batch_ids,
    text_lengths,
    texts_by_role,
    tokens,
)
from gistembed.errors import StorageError, UserError
from gistembed.models import TASKS, EmbeddingModel, load_model

PROMPTS = {
    "none": {"anchor": "", "document": ""},
    "one": {"anchor": "q: ", "document": "q: "},
    "two": {"anchor": "query: ", "document": ""},
}
WORDS = ["a", "bc", "d" * 9, "e f", "!", "ggg hhh", "Ä", "i" * 40, "日本語", "j k l m n o p"]


texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join)
some_rows = st.lists(st.tuples(texts, texts, st.lists(texts, max_size=2)), min_size=1, max_size=10)


def plain(folder, prompts):
    return load_model(str(folder), option="--student", prompts=prompts)


def left_padding(folder, prompts):
    student = plain(folder, prompts)
    student.model.tokenizer.padding_side = "left"
    return student


def pooled_without_prompt(folder, prompts):
    student = plain(folder, prompts)
    model = SentenceTransformer(
        modules=[student.model[0], Pooling(DIMENSIONS, include_prompt=False)], device="cpu"
    )
    return EmbeddingModel("no prompt", "", model, student.prompts)


def typed_padding(folder, prompts):
    """Padding by an id other than 0, and a type of its own."""
    student = plain(folder, prompts)
    student.model.tokenizer.pad_token = "[MASK]"
    student.model.tokenizer._pad_token_type_id = 1
    return student


def branches(query, document):
    model = SentenceTransformer(modules=[Router.for_query_document([query], [document])], device="cpu")
    return EmbeddingModel("branches", "", model, {"anchor": "", "document": ""})


@pytest.fixture(scope="module")
def students(bert_folder, static_folder):
    """Every kind of student, with every kind of prompts."""
    made = {}
    for name, prompts in PROMPTS.items():
        for kind in (plain, left_padding, pooled_without_prompt, typed_padding):
            made[f"{kind.__name__}, {name}"] = kind(bert_folder, prompts)
        made[f"static, {name}"] = plain(static_folder, prompts)
    made["two static branches"] = branches(static_module(seed=1), static_module(seed=2))
    made["a static and a transformer branch"] = branches(
        static_module(), plain(bert_folder, PROMPTS["none"]).model[0]
    )
    return made


KINDS = ("plain", "left_padding", "pooled_without_prompt", "typed_padding", "static")
NAMES = (
    *(f"{kind}, {prompts}" for kind in KINDS for prompts in PROMPTS),
    "two static branches",
    "a static and a transformer branch",
)


def assert_same(features, expected):
    """Names, types, dtypes, shapes and values."""
    assert features.keys() == expected.keys()
    for name, value in expected.items():
        assert type(features[name]) is type(value), name
        if isinstance(value, torch.Tensor):
            torch.testing.assert_close(features[name], value, rtol=0, atol=0)
        else:
            assert features[name] == value, name


def preprocessed(student, pairs, text_ids, role):
    """Sentence-transformers' own call."""
    return student.model.preprocess(
        [pairs.texts[i] for i in text_ids], prompt=student.prompts[role], task=TASKS[role]
    )


@settings(max_examples=5)
@given(rows=some_rows, data=st.data())
@pytest.mark.parametrize("name", NAMES)
def test_features_are_those_of_the_model(students, name, rows, data):
    student, pairs = students[name], pairs_of(rows)
    cache = TokenCache.read(student, pairs)
    assert cache.uncached_because is None
    by_role = texts_by_role(student, pairs.anchors, np.concatenate([pairs.positives, pairs.negative_ids]))
    for role, text_ids in by_role.items():
        chosen = data.draw(st.lists(st.sampled_from(text_ids.tolist()), min_size=1, max_size=8))
        assert_same(cache.features(np.array(chosen), role), preprocessed(student, pairs, chosen, role))


@settings(max_examples=5)
@given(rows=some_rows, data=st.data())
@pytest.mark.parametrize("name", [name for name in NAMES if not name.endswith(("none", "one"))])
def test_batches_are_those_that_preprocessing_gives(students, name, rows, data):
    """With the cache, and with a cache that kept nothing: units, labels and inputs are the same."""
    student, pairs = students[name], pairs_of(rows)
    cache = TokenCache.read(student, pairs)
    chosen = data.draw(st.lists(st.sampled_from(range(len(rows))), min_size=1, max_size=6))
    batch, expected = (
        PairCollator(student, pairs, tokens, micro_batch_tokens=60)(chosen)
        for tokens in (cache, TokenCache(cache.lengths, "is told to", {}))
    )
    assert_same(batch.pop("label"), expected.pop("label"))
    assert_same(batch, expected)


@settings(max_examples=10)
@given(rows=some_rows)
@pytest.mark.parametrize("name", ["plain, none", "plain, two", "static, two"])
def test_lengths_are_those_that_are_counted(students, name, rows):
    """A letter is a token here, so that prompt and text together are as long as apart."""
    student, pairs = students[name], pairs_of(rows)
    lengths = TokenCache.read(student, pairs).lengths
    assert lengths.dtype == np.int32
    assert lengths.tolist() == text_lengths(student, pairs).tolist()


def test_a_text_is_cut_where_the_model_cuts_it_and_counted_whole(students):
    student, pairs = students["plain, two"], pairs_of([("a" * 50, "b" * 50, ["c"])])
    cache = TokenCache.read(student, pairs)
    assert cache.features(pairs.anchors, "anchor")["input_ids"].shape == (1, MAX_LENGTH)
    assert cache.lengths[[pairs.anchors[0], pairs.positives[0]]].tolist() == [50 + 6 + 2] * 2


def test_all_texts_of_many_blocks_are_kept(students, monkeypatch):
    """Blocks of 7 texts in runs of 300 characters; the progress counts each text once in each role."""
    monkeypatch.setattr(tokens, "_BLOCK", 7)
    monkeypatch.setattr(tokens, "_CHARACTERS_AT_ONCE", 300)
    student = students["plain, two"]
    pairs = pairs_of([(anchor, positive, []) for anchor, positive in documentation_pairs()[:40]])
    reported = []
    cache = TokenCache.read(student, pairs, reported.append)
    assert max(reported) <= 7
    by_role = texts_by_role(student, pairs.anchors, pairs.positives)
    assert sum(reported) == sum(map(len, by_role.values()))
    for role, text_ids in by_role.items():
        assert_same(cache.features(text_ids, role), preprocessed(student, pairs, text_ids, role))


@pytest.mark.parametrize("first_wide", [0, 1, 2, 3])
def test_ids_beyond_two_bytes_are_kept(students, monkeypatch, first_wide):
    """The file starts with two bytes for an id, and is widened at the first that needs more."""
    student = students["static, none"]
    monkeypatch.setattr(tokens, "_BLOCK", 1)
    monkeypatch.setattr(tokens, "_WIDENED_AT_ONCE", 2)
    wide = chr(ord("a") + first_wide)

    def preprocess(texts, **_):
        ids = [[ord(letter) + (70_000 if text[0] >= wide else 0) for letter in text] for text in texts]
        offsets = np.cumsum([0, *map(len, ids[:-1])])
        return {"input_ids": torch.tensor([*chain(*ids)]), "offsets": torch.from_numpy(offsets)}

    pairs = pairs_of([("bb", "ccc", ["aaa"])])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokens, "_PROBES", ("a", "bc"))
        patch.setattr(student.model, "preprocess", preprocess)
        cache = TokenCache.read(student, pairs)
    assert cache._kept["document"].ids.dtype == (np.uint16 if first_wide == 3 else np.uint32)
    assert_same(cache.features(pairs.text_ids(), "document"), preprocess(["aaa", "bb", "ccc"]))


def test_texts_without_tokens(students):
    """All signs unknown to the vocabulary leave an empty file, which can't be mapped."""
    student, pairs = students["static, none"], pairs_of([("a", "b", [])])
    nothing = {"input_ids": torch.zeros(0, dtype=torch.int64), "offsets": torch.zeros(2, dtype=torch.int64)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            student.model,
            "preprocess",
            lambda texts, **_: nothing | {"offsets": nothing["offsets"].new_zeros(len(texts))},
        )
        cache = TokenCache.read(student, pairs)
    assert_same(cache.features(np.array([0, 1]), "document"), nothing)


def add_to(change):
    """A preprocessing like the student's own, with its features changed."""

    def changed(preprocess):
        def call(texts, **options):
            return change(UserDict(preprocess(texts, **options)), texts)

        return call

    return changed


def add(name, value):
    return add_to(lambda features, texts: features | {name: value(features["input_ids"])})


def padded_to_multiple_of_8(features, _):
    missing = -features["input_ids"].shape[1] % 8
    return {
        name: torch.nn.functional.pad(value, (0, missing)) if isinstance(value, torch.Tensor) else value
        for name, value in features.items()
    }


CHANGES = {
    "positions": (
        add("position_ids", lambda ids: torch.arange(ids.shape[1]).expand(ids.shape)),
        "reads `position_ids`, which differs from token to token",
    ),
    "images": (
        add("pixel_values", lambda ids: torch.zeros(len(ids), 3, 4, 4)),
        "reads `pixel_values`, which is not one integer for each token",
    ),
    "a list": (
        add("images", lambda ids: [None] * len(ids)),
        "reads `images`, which is neither a tensor nor the same for all texts",
    ),
    "other dtype": (
        add("attention_mask", lambda ids: (ids != 0).int()),
        "reads `attention_mask`, which is not one integer for each token",
    ),
    "no ids": (
        add_to(lambda features, _: {"bag": features["input_ids"], "task": None}),
        "reads `bag`, `task`, and not the ids of tokens",
    ),
    "fixed width": (add_to(padded_to_multiple_of_8), "does not lay out all texts in one way"),
    "a constant that is none": (
        add_to(lambda features, texts: features | {"texts": len(texts)}),
        "does not lay out all texts in one way",
    ),
    "nothing padded": (
        add_to(lambda features, texts: features | {"attention_mask": torch.ones_like(features["input_ids"])}),
        "pads no text that could show how it pads",
    ),
    "seen late": (
        add_to(
            lambda features, texts: (
                features | {"token_type_ids": features["token_type_ids"] + ("seldom" in texts)}
            )
        ),
        "does not lay out all texts in one way",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_model_that_reads_more_than_tokens_is_not_cached(bert_folder, monkeypatch, name):
    """It says so, and batches come from the model's own preprocessing."""
    change, reason = CHANGES[name]
    student, pairs = plain(bert_folder, PROMPTS["none"]), pairs_of([("a", "bcd", []), ("seldom", "e", [])])
    changed = change(student.model.preprocess)
    monkeypatch.setattr(student.model, "preprocess", changed)
    cache = TokenCache.read(student, pairs)
    assert cache.uncached_because == reason
    assert cache.lengths.tolist() == text_lengths(student, pairs).tolist()
    batch = PairCollator(student, pairs, cache)([0])
    del batch["label"]
    expected = changed(["a", "bcd"], prompt="", task="document")
    assert_same(batch, {f"micro_00000_{key}": value for key, value in expected.items()})


def test_a_flat_layout_with_more_is_not_cached(static_folder, monkeypatch):
    student = plain(static_folder, PROMPTS["none"])
    changed = add("weights", lambda ids: torch.ones(len(ids)))(student.model.preprocess)
    monkeypatch.setattr(student.model, "preprocess", changed)
    cache = TokenCache.read(student, pairs_of([("a", "b", [])]))
    assert cache.uncached_because == "reads `weights`, which is neither the ids of tokens nor their offsets"


def test_a_full_disk_has_an_exit_code_of_its_own(students, monkeypatch):
    """Every write to /dev/full fails as on a disk that is full."""
    full = Path("/dev/full")
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda prefix: full.open("wb"))
    with pytest.raises(StorageError) as caught:
        TokenCache.read(students["plain, none"], pairs_of([("a", "b", [])]))
    assert str(caught.value) == (
        f"{tempfile.gettempdir()}, the folder for temporary files (TMPDIR chooses it): "
        "No space left on device; free space, then run the command again (`fit` with --resume)"
    )


def test_no_folder_for_temporary_files(students, monkeypatch):
    def none():
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    with pytest.raises(UserError) as caught:
        TokenCache.read(students["plain, none"], pairs_of([("a", "b", [])]))
    assert str(caught.value) == "No usable temporary directory found in ['/tmp']"


def test_nothing_lies_in_the_folder_even_while_the_cache_is_used(students, monkeypatch, tmp_path):
    """So that nothing is left behind, even by a process that is killed."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    pairs = pairs_of([("a", "b", [])])
    cache = TokenCache.read(students["static, none"], pairs)
    assert cache.features(pairs.anchors, "document")["input_ids"].tolist() == [ord("a") - ord("!")]
    assert not list(tmp_path.iterdir())


def test_a_worker_that_is_not_forked_gets_a_copy(students):
    student, pairs = students["plain, two"], pairs_of([("a", "bcd", ["ef"])])
    cache = TokenCache.read(student, pairs)
    copy = pickle.loads(pickle.dumps(cache))  # noqa: S301
    ids = batch_ids(pairs, pairs.known_positives(), np.array([0]))
    assert_same(copy.features(ids.anchors, "anchor"), cache.features(ids.anchors, "anchor"))
