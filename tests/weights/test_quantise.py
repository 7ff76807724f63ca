"""Embeddings in fewer bits and dimensions: the forms by value, and their scores."""

import json

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.util.quantization import quantize_embeddings
from tests.tiny_models import DIMENSIONS

from gistembed.weights.quantise import kept

VECTORS = np.random.default_rng(0).standard_normal((50, 24), dtype=np.float32)


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_the_forms_by_value():
    vectors = np.array([[3, -4, 0, 12]], np.float32) / 13
    np.testing.assert_allclose(kept(vectors, "float32", 4), vectors, atol=1e-7)
    np.testing.assert_allclose(kept(vectors, "float32", 2), [[0.6, -0.8]], atol=1e-7)
    # The largest number becomes 127, the others round(127 * 3 / 12) = 32 and round(127 * 4 / 12) = 42.
    np.testing.assert_allclose(kept(vectors, "int8", 4), unit(np.array([[32, -42, 0, 127]])), atol=1e-7)
    np.testing.assert_allclose(kept(vectors, "binary", 4), [[0.5, -0.5, -0.5, 0.5]])
    assert kept(np.zeros((1, 4), np.float32), "int8", 4).tolist() == [[0, 0, 0, 0]]


def test_binary_ranks_by_hamming_distance():
    """As sentence-transformers packs it."""
    signs = kept(VECTORS, "binary", 24)
    packed = quantize_embeddings(VECTORS, precision="ubinary")
    hamming = np.unpackbits(packed[:, None] ^ packed[None], axis=-1).sum(-1)
    np.testing.assert_allclose(signs @ signs.T, 1 - 2 * hamming / 24, atol=1e-6)


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("query,positive\n" + "".join(f"{i} or {i * i},{i * i} and {i}\n" for i in range(40)))
    return path


def test_the_command(run, bert_folder, data):
    code, out, err = run("quantise", bert_folder, data, "--json")
    assert (code, err) == (0, "")
    record = json.loads(out)
    assert record["data"] == {"source": str(data), "queries": 40, "documents": 40}
    sizes = [(form["precision"], form["dimensions"], form["bytes"]) for form in record["forms"]]
    assert sizes == [
        (precision, dimensions, max(dimensions * bits // 8, 1))
        for dimensions in (DIMENSIONS, DIMENSIONS // 2, DIMENSIONS // 4)
        for precision, bits in (
            ("float32", 32),
            ("float16", 16),
            ("int8", 8),
            ("binary, full queries", 1),
            ("binary", 1),
        )
    ]
    first = record["forms"][0]
    assert first["change"] == {"mean": 0, "low": 0, "high": 0}
    for form in record["forms"]:
        assert form["change"]["mean"] == pytest.approx(form["score"]["mean"] - first["score"]["mean"])
    code, out, err = run("quantise", bert_folder, data, "--dimensions", "5")
    assert (code, out) == (0, "")
    assert "against float32" in err


def test_float32_is_the_score_of_the_evaluation(run, bert_folder, data):
    from gistembed.evaluate import METRICS, RetrievalTask, rank, score
    from gistembed.models import load_model
    from gistembed.pairs import read_pairs

    _, out, _ = run("quantise", bert_folder, data, "--json")
    pairs = read_pairs(data)
    task = RetrievalTask.from_pairs(pairs, pairs.source)
    expected = score(task, rank(load_model(str(bert_folder), option="M"), task))[METRICS[0]].mean()
    assert json.loads(out)["forms"][0]["score"]["mean"] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("16,x", "--dimensions 16,x: give whole numbers with commas between them, as 256,128"),
        ("0", "--dimensions 0: {model} has 32; choose from 1 to so many"),
        ("33", "--dimensions 33: {model} has 32; choose from 1 to so many"),
    ],
)
def test_dimensions_that_are_refused(run, static_folder, data, given, message):
    code, out, err = run("quantise", static_folder, data, "--quiet", "--dimensions", given)
    assert (code, out, err) == (2, "", f"gistembed: {message.format(model=static_folder)}\n")


def test_embeddings_that_are_not_finite_have_no_scores(run, static_folder, data, tmp_path):
    """Their table would say which precision is best for a model that gives no embeddings at all."""
    model = SentenceTransformer(str(static_folder), device="cpu")
    model[0].embedding.weight.data[:] = float("nan")
    model.save(str(tmp_path / "broken"))
    code, out, err = run("quantise", tmp_path / "broken", data, "--quiet")
    assert (code, out) == (2, "")
    assert err.startswith(f"gistembed: MODEL {tmp_path / 'broken'}: the embedding of ")
    assert err.endswith("holds a number that is not finite; score a model whose weights are sound\n")
