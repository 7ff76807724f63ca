"""Models that are cut out of others: what of them stays."""

from pathlib import Path

import numpy as np
import pytest
import torch
from experiments.harness.cuts import first_dimensions, first_layers, parameters, token_vectors
from sentence_transformers import SentenceTransformer
from tests.tiny_models import save_bert, save_static

from gistembed.errors import UserError


def test_the_first_dimensions_of_a_static_model_are_a_model(tmp_path):
    whole = save_static(tmp_path / "whole", seed=1, dimensions=48)
    cut = first_dimensions(str(whole), 16, tmp_path / "models" / "cut")
    text = ["one text of several words"]
    vectors = [
        SentenceTransformer(str(one), device="cpu").encode(text, convert_to_tensor=True)
        for one in (whole, cut)
    ]
    torch.testing.assert_close(vectors[1], vectors[0][:, :16])
    assert parameters(cut) * 3 == parameters(str(whole))


def test_a_cut_that_is_there_is_not_made_again(tmp_path):
    model = str(save_static(tmp_path / "whole"))
    cut = Path(first_dimensions(model, 16, tmp_path / "cut"))
    (cut / "sign").touch()
    assert first_dimensions(model, 16, tmp_path / "cut") == str(cut)
    assert (cut / "sign").exists()


def test_another_model_has_a_cut_of_its_own_in_the_same_place(tmp_path):
    """By the place alone the second would be the cut of the first."""
    models = [str(save_static(tmp_path / f"whole-{seed}", seed=seed)) for seed in range(2)]
    first, second = (first_dimensions(model, 16, tmp_path / "cut") for model in models)
    vectors = [SentenceTransformer(one, device="cpu").encode(["a text"]) for one in (models[1], second)]
    np.testing.assert_allclose(vectors[1], vectors[0][:, :16], rtol=1e-6)
    assert first != second


def test_a_model_of_the_wrong_kind_is_named(tmp_path):
    static, transformer = str(save_static(tmp_path / "static")), str(save_bert(tmp_path / "bert"))
    with pytest.raises(UserError) as error:
        first_dimensions(transformer, 16, tmp_path / "cut")
    assert str(error.value) == (
        f"{transformer}: only a static model can be cut to its first dimensions; choose a static one"
    )
    needs_layers = f"{static}: only a transformer has layers, and token vectors before them; choose one"
    with pytest.raises(UserError) as error:
        first_layers(static, 1, tmp_path / "cut")
    assert str(error.value) == needs_layers
    with pytest.raises(UserError) as error:
        token_vectors(static, tmp_path / "cut")
    assert str(error.value) == needs_layers
    assert not list(tmp_path.glob("*cut*"))


def test_layers_and_token_vectors_of_a_transformer_are_models(tmp_path):
    model = str(save_bert(tmp_path / "bert"))
    one_layer = SentenceTransformer(first_layers(model, 1, tmp_path / "cut"), device="cpu")
    assert len(one_layer[0].auto_model.encoder.layer) == 1
    tokens = SentenceTransformer(token_vectors(model, tmp_path / "tokens"), device="cpu")
    whole = SentenceTransformer(model, device="cpu")[0].auto_model.get_input_embeddings().weight
    assert torch.equal(tokens[0].embedding.weight, whole)
