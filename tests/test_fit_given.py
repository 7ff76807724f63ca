"""Vectors that are there already, in the place of a guide."""

import json

import numpy as np
import pytest

from gistembed import fit
from gistembed.errors import UserError
from gistembed.models import load_model

ROWS = [(f"q{i} word{i}", f"p{i} word{i}") for i in range(30)]


@pytest.fixture
def vectors(tmp_path, bert_folder):
    """The guide's vectors of all texts, in a file."""
    guide = load_model(str(bert_folder), option="--guide")
    texts = [text for row in ROWS for text in row]
    np.save(tmp_path / "vectors.npy", guide.embed(texts, "document").astype(np.float16))
    (tmp_path / "vectors.texts.json").write_text(json.dumps(texts))
    return tmp_path / "vectors.npy"


@pytest.fixture
def pairs(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("query,positive\n" + "".join(f"{query},{positive}\n" for query, positive in ROWS))
    return path


def run(pairs, guide, out, static_folder, **more):
    return fit(pairs, str(static_folder), str(guide), out=out, batch_size=9, steps=2, quiet=True, **more)


def test_they_guide_as_the_model_does_that_made_them(pairs, vectors, tmp_path, static_folder, bert_folder):
    given = run(pairs, vectors, tmp_path / "given", static_folder)
    same = {"guide_prompts": {"anchor": "", "document": ""}, "store": tmp_path / "store"}
    made = run(pairs, bert_folder, tmp_path / "made", static_folder, **same)
    assert given.record.audit.mask_rate == made.record.audit.mask_rate
    assert [step.loss for step in given.record.trainings[0].history] == [
        step.loss for step in made.record.trainings[0].history
    ]
    record = given.record.guides[0]
    assert (record.model.kind, record.model.name, record.store) == (
        "given vectors",
        str(vectors),
        str(vectors),
    )
    assert (record.encoded, record.texts) == (0, made.record.guides[0].texts)
    assert record.model.dimensions == made.record.guides[0].model.dimensions
    page, card = given.report.read_text(encoding="utf-8"), (given.model / "README.md").read_text("utf-8")
    assert "vectors.npy" in page
    assert "vectors.npy" in card


def test_what_has_no_effect_is_a_warning(pairs, vectors, tmp_path, static_folder, bert_folder):
    settings = {"guide_max_length": 9, "guide_price": 1.0, "store": tmp_path / "store"}
    warned = run(pairs, vectors, tmp_path / "given", static_folder, **settings).record.warnings
    assert [warning for warning in warned if "ignored" in warning] == [
        f"{name} is ignored, because the guide is a file of vectors"
        for name in ("guide_max_length", "guide_price", "store")
    ]
    assert not (tmp_path / "store").exists()
    settings = {"guide_price": 1.0, "store": tmp_path / "store"}
    warned = run(pairs, bert_folder, tmp_path / "made", static_folder, **settings).record.warnings
    assert "guide_price is ignored, because the guide is a model" in warned


def test_a_text_without_a_vector_is_named_before_anything_is_written(pairs, vectors, tmp_path, static_folder):
    texts = json.loads((tmp_path / "vectors.texts.json").read_text())
    texts[4] = "something else"
    (tmp_path / "vectors.texts.json").write_text(json.dumps(texts))
    with pytest.raises(UserError) as caught:
        run(pairs, vectors, tmp_path / "out", static_folder, seed=1)
    assert "has no vector for the text 'q2 word2'" in str(caught.value)
    assert not (tmp_path / "out").exists()
