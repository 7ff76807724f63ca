"""Smaller models cut out of larger ones, each saved once as a folder of its own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding

from gistembed.files import whole_folder


def first_dimensions(model: str, count: int, place: Path) -> str:
    """A static model's first dimensions as a model.

    Args:
        model: Folder of a static model.
        count: How many.
        place: Folder for the cut.
    """

    def cut(whole: SentenceTransformer) -> SentenceTransformer:
        static = whole[0]
        assert isinstance(static, StaticEmbedding)
        weights = static.embedding.weight.detach()[:, :count].clone()
        return _static(static.tokenizer, weights)

    return _saved(model, cut, place)


def first_layers(model: str, count: int, place: Path) -> str:
    """A transformer with its first layers only.

    Args:
        model: Folder of a transformer with BERT's names.
        count: How many layers stay.
        place: Folder for the cut.
    """

    def cut(whole: SentenceTransformer) -> SentenceTransformer:
        transformer: Any = whole[0].auto_model
        transformer.encoder.layer = transformer.encoder.layer[:count]
        transformer.config.num_hidden_layers = count
        return whole

    return _saved(model, cut, place)


def token_vectors(model: str, place: Path) -> str:
    """The token vectors of a transformer, before its first layer, as a static model.

    Args:
        model: Folder of the transformer.
        place: Folder for the static model.
    """

    def cut(whole: SentenceTransformer) -> SentenceTransformer:
        transformer: Any = whole[0].auto_model
        weights = transformer.get_input_embeddings().weight.detach().clone()
        return _static(whole.tokenizer.backend_tokenizer, weights)

    return _saved(model, cut, place)


def parameters(model: str) -> int:
    """How many numbers a model has to learn.

    Args:
        model: Its folder.
    """
    return sum(weights.numel() for weights in SentenceTransformer(model, device="cpu").parameters())


def _static(tokenizer: object, weights: object) -> SentenceTransformer:
    embedding = StaticEmbedding(tokenizer, embedding_weights=weights)  # type: ignore[arg-type]
    return SentenceTransformer(modules=[embedding], device="cpu")


def _saved(model: str, cut: Callable[[SentenceTransformer], SentenceTransformer], place: Path) -> str:
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        with whole_folder(place) as folder:
            cut(SentenceTransformer(model, device="cpu")).save_pretrained(
                str(folder), create_model_card=False
            )
    return str(place)
