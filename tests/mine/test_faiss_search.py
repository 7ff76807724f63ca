"""faiss finds what torch finds; without it, one line says how to get it."""

import sys

import numpy as np
import pytest
from tests.mine.mining_reference import exact_vectors

from gistembed.errors import UserError
from gistembed.guide import GuideSettings
from gistembed.mine import MiningJob, MiningSettings, OwnTexts, nearest_documents
from gistembed.mine.faiss_search import nearest_by_faiss


@pytest.mark.parametrize("block", [5, 9, 60])
@pytest.mark.parametrize("depth", [1, 7, 59])
def test_the_same_scores(block, depth):
    pytest.importorskip("faiss")
    generator = np.random.default_rng(0)
    anchors, documents = exact_vectors(generator, 40, 40), exact_vectors(generator, 60, 60)
    # The first anchor has three texts of its own, the last none.
    own = OwnTexts(np.array([0, 0, *range(39)]), np.array([58, 59, *range(39)]))
    ids = np.arange(60)

    def blocks():
        return (
            (ids[start : start + block], documents[start : start + block]) for start in range(0, 60, block)
        )

    found = nearest_by_faiss(anchors, blocks(), own, depth)
    expected = nearest_documents(anchors, blocks(), own, depth)
    np.testing.assert_array_equal(found.similarities, expected.similarities)
    scores = anchors @ documents.T
    for row, text_ids in enumerate(found.ids):
        given = text_ids[text_ids >= 0]
        assert len(set(given.tolist())) == len(given) == min(depth, 60 - int((own.rows == row).sum()))
        assert not set(given.tolist()) & set(own.ids[own.rows == row].tolist())
        np.testing.assert_array_equal(scores[row, given], found.similarities[row, : len(given)])


def test_without_faiss(monkeypatch, tmp_path):
    """Before anything is read: there are no pairs."""
    monkeypatch.setitem(sys.modules, "faiss", None)
    settings = MiningSettings(range_max=10, search="faiss")
    job = MiningJob("nowhere.csv", tmp_path / "out.jsonl", GuideSettings("guide"), settings)
    with pytest.raises(UserError) as error:
        job.check()
    assert str(error.value) == (
        "--search faiss: faiss is not installed; run `pip install 'gistembed[faiss]'`, or leave the option "
        "out"
    )
