"""Models that are cut out of others: what of them stays."""

import torch
from experiments.harness.cuts import first_dimensions, parameters
from sentence_transformers import SentenceTransformer
from tests.tiny_models import save_static


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
    place = tmp_path / "cut"
    place.mkdir()
    assert first_dimensions("no such model", 16, place) == str(place)
