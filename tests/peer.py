"""sentence-transformers' losses on embeddings that are given, in place of models."""

from collections.abc import Sequence

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import (
    CachedGISTEmbedLoss,
    GISTEmbedLoss,
    MultipleNegativesRankingLoss,
)
from torch import Tensor, nn


class _Given(nn.Module):
    """A model that finds its embeddings among its inputs."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"sentence_embedding": features[self.name]}


def peer_loss(
    tokenizing: SentenceTransformer, student: Sequence[Tensor], guide: Sequence[Tensor], **options: object
) -> Tensor:
    """GISTEmbedLoss of columns of embeddings: anchors, positives and at most one column of negatives.

    Args:
        tokenizing: Any model with a tokenizer; the constructor wants to see one.
        student: The student's embeddings by column.
        guide: The guide's.
        options: What the constructor takes.
    """
    loss = GISTEmbedLoss(tokenizing, tokenizing, **options)
    loss.model, loss.guide = _Given("student"), _Given("guide")
    return loss([{"student": s, "guide": g} for s, g in zip(student, guide, strict=True)], torch.empty(0))


def cached_peer_loss(
    tokenizing: SentenceTransformer, student: Sequence[Tensor], guide: Sequence[Tensor], **options: object
) -> Tensor:
    """CachedGISTEmbedLoss's loss stage of any number of columns; gradients go to the embeddings."""
    loss = CachedGISTEmbedLoss(tokenizing, tokenizing, **options)
    return loss.calculate_loss([[column] for column in student], [[column] for column in guide])


def ranking_loss(tokenizing: SentenceTransformer, student: Sequence[Tensor], **options: object) -> Tensor:
    """MultipleNegativesRankingLoss of columns of embeddings."""
    loss = MultipleNegativesRankingLoss(tokenizing, **options)
    return loss.compute_loss_from_embeddings(list(student), torch.empty(0))
