"""Smaller models cut out of larger ones, each saved once, in a folder named by what it is cut from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding

from experiments.harness.identity import key_of, model_identity
from gistembed.errors import UserError
from gistembed.files import whole_folder


def first_dimensions(model: str, count: int, place: Path) -> str:
    """A static model's first dimensions as a model.

    Args:
        model: Folder of a static model.
        count: How many.
        place: Folder for the cut, before a digest of the model.

    Raises:
        UserError: If it is another kind of model.
    """

    def cut(whole: SentenceTransformer) -> SentenceTransformer:
        static = whole[0]
        if not isinstance(static, StaticEmbedding):
            raise UserError(
                f"{model}: only a static model can be cut to its first dimensions; choose a static one"
            )
        weights = static.embedding.weight.detach()[:, :count].clone()
        return _static(static.tokenizer, weights)

    return _saved(model, cut, place)


def first_layers(model: str, count: int, place: Path) -> str:
    """A transformer with its first layers only.

    Args:
        model: Folder of a transformer with BERT's names.
        count: How many layers stay.
        place: Folder for the cut, before a digest of the model.

    Raises:
        UserError: If it is another kind of model.
    """

    def cut(whole: SentenceTransformer) -> SentenceTransformer:
        transformer = _transformer(whole, model)
        transformer.encoder.layer = transformer.encoder.layer[:count]
        transformer.config.num_hidden_layers = count
        return whole

    return _saved(model, cut, place)


def token_vectors(model: str, place: Path) -> str:
    """The token vectors of a transformer, before its first layer, as a static model.

    Args:
        model: Folder of the transformer.
        place: Folder for the static model, before a digest of the transformer.

    Raises:
        UserError: If it is another kind of model.
    """

    def cut(whole: SentenceTransformer) -> SentenceTransformer:
        transformer = _transformer(whole, model)
        weights = transformer.get_input_embeddings().weight.detach().clone()
        return _static(whole.tokenizer.backend_tokenizer, weights)

    return _saved(model, cut, place)


def parameters(model: str) -> int:
    """How many numbers a model has to learn.

    Args:
        model: Its folder.
    """
    return sum(weights.numel() for weights in SentenceTransformer(model, device="cpu").parameters())


def _transformer(whole: SentenceTransformer, model: str) -> Any:  # noqa: ANN401 — of transformers, untyped
    if not isinstance(whole[0], Transformer):
        raise UserError(f"{model}: only a transformer has layers, and token vectors before them; choose one")
    return whole[0].auto_model


def _static(tokenizer: object, weights: object) -> SentenceTransformer:
    embedding = StaticEmbedding(tokenizer, embedding_weights=weights)  # type: ignore[arg-type]
    return SentenceTransformer(modules=[embedding], device="cpu")


def _saved(model: str, cut: Callable[[SentenceTransformer], SentenceTransformer], place: Path) -> str:
    place = place.with_name(f"{place.name}-{key_of(model=model_identity(model))}")
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        with whole_folder(place) as folder:
            cut(SentenceTransformer(model, device="cpu")).save_pretrained(
                str(folder), create_model_card=False
            )
    return str(place)
