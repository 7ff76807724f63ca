"""A model that is known need not be loaded; one that isn't what is known is refused."""

import dataclasses

import numpy as np
import pytest
from tests.pairs.pairs_samples import pairs_of
from tests.tiny_models import DIMENSIONS, MAX_LENGTH

from gistembed.console import Console
from gistembed.errors import UserError
from gistembed.guide import GuideFacts, GuideSettings, do_work, prepare_work, stores_in
from gistembed.guide.store.manifest import Manifest, read_manifest
from gistembed.models import load_model

ROWS = [("red", "a rose", []), ("blue", "the sky", ["the sea"])]
QUIET = Console(quiet=True)


def work_of(folder, root, rows=ROWS, **settings):
    return prepare_work(GuideSettings(str(folder), **settings), root, pairs_of(rows))


@pytest.fixture
def store(bert_folder, tmp_path):
    """A store that has all texts of `ROWS`."""
    do_work(work_of(bert_folder, tmp_path / "store"), QUIET)
    return tmp_path / "store"


@pytest.fixture
def no_loading(monkeypatch):
    def refuse(*_arguments, **_options):
        raise AssertionError("the model is loaded")

    monkeypatch.setattr("gistembed.guide.scorers.model.load_model", refuse)


def test_the_store_knows_what_the_model_is(store, bert_folder):
    (found,) = stores_in(store)
    manifest = read_manifest(found.folder)
    own = load_model(bert_folder, option="--guide")
    assert manifest.name == str(bert_folder)
    assert manifest.facts == GuideFacts(
        "transformer",
        own.parameters,
        DIMENSIONS,
        MAX_LENGTH,
        {"anchor": "query: ", "document": ""},
        branches=False,
    )


def test_a_model_is_not_loaded_when_the_store_has_everything(store, bert_folder, no_loading):
    work = work_of(bert_folder, store)
    assert len(work.missing) == 0
    vectors = do_work(work, QUIET)
    assert not work.guide.loaded
    ids = work.pairs.anchors
    assert vectors.of(ids, "anchor").shape == (2, DIMENSIONS)
    assert vectors.lengths().tolist() != [0] * 5
    guide = work.guide
    assert (guide.kind, guide.dimensions, guide.max_length) == ("transformer", DIMENSIONS, MAX_LENGTH)
    assert guide.prompts == {"anchor": "query: ", "document": ""}
    assert not guide.roles_share_vectors


def test_a_model_is_loaded_for_one_text_that_is_missing(store, bert_folder):
    work = work_of(bert_folder, store, [*ROWS, ("green", "grass", [])])
    assert len(work.missing) == 2
    assert work.guide.loaded
    vectors = do_work(work, QUIET)
    assert not work.guide.loaded, "its memory is for others now"
    own = load_model(bert_folder, option="--guide")
    for ids, role in ((work.pairs.anchors, "anchor"), (work.pairs.positives, "document")):
        wanted = own.embed([work.pairs.texts[place] for place in ids], role)
        np.testing.assert_allclose(vectors.of(ids, role), wanted, atol=1e-3)


def test_other_settings_are_known_too_but_have_vectors_of_their_own(store, bert_folder, monkeypatch):
    """Facts are of the model by itself; prompts, length and dimensions are put on top."""
    for settings, wanted in (
        ({"prompts": {"anchor": ""}}, (True, DIMENSIONS, MAX_LENGTH)),
        ({"max_length": 9}, (False, DIMENSIONS, 9)),
        ({"dimensions": 4}, (False, 4, MAX_LENGTH)),
    ):
        work = work_of(bert_folder, store, **settings)
        assert len(work.missing) > 0
        guide = work.guide
        assert (guide.roles_share_vectors, guide.dimensions, guide.max_length) == wanted
        do_work(work, QUIET)
        with monkeypatch.context() as patch:
            patch.setattr("gistembed.guide.scorers.model.load_model", None)
            assert len(work_of(bert_folder, store, **settings).missing) == 0


@pytest.mark.parametrize("change", [{"dimensions": 31}, {"kind": "static"}, {"branches": True}], ids=str)
def test_a_model_that_is_not_what_the_store_knows_is_refused(store, bert_folder, change):
    """Before anything is encoded; as long as nothing is to be encoded, nobody can tell."""
    (found,) = stores_in(store)
    manifest = read_manifest(found.folder)
    wrong = dataclasses.replace(manifest.facts, **change)
    Manifest(manifest.name, manifest.guide, wrong).write(found.folder)
    with pytest.raises(UserError) as caught:
        work_of(bert_folder, store, [("green", "grass", [])])
    assert str(caught.value) == (
        f"--guide {bert_folder}: is not what the store knows about it, perhaps because a library changed; "
        "choose another --store"
    )


@pytest.mark.parametrize("role", ["anchor", "document"])
@pytest.mark.parametrize("count", [1, 7, DIMENSIONS])
def test_the_first_numbers_of_a_vector_normalised_anew(bert_folder, count, role):
    texts = ["red", "a longer text", ""]
    whole = load_model(bert_folder, option="--guide").embed(texts, role)
    first = whole[:, :count] / np.linalg.norm(whole[:, :count], axis=1, keepdims=True)
    cut = load_model(bert_folder, option="--guide", dimensions=count)
    assert cut.dimensions == count
    np.testing.assert_allclose(cut.embed(texts, role), first, atol=1e-6)


@pytest.mark.parametrize("length", [0, -1])
def test_a_length_without_a_token(bert_folder, tmp_path, length):
    with pytest.raises(UserError) as caught:
        work_of(bert_folder, tmp_path, max_length=length)
    assert str(caught.value) == f"--guide {bert_folder}: a maximum length of {length} leaves no token"


@pytest.mark.parametrize("count", [DIMENSIONS + 1, 0, -1])
@pytest.mark.parametrize("known", [False, True], ids=["new", "known"])
def test_dimensions_that_a_vector_does_not_have(store, bert_folder, tmp_path, known, count):
    with pytest.raises(UserError) as caught:
        work_of(bert_folder, store if known else tmp_path / "other", dimensions=count)
    assert str(caught.value) == (
        f"--guide {bert_folder}: its vectors have {DIMENSIONS} numbers; choose from 1 to so many dimensions"
    )
