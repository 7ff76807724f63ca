"""What a training starts from: some of its first rows, as the student and the guides see them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from gistembed.batches import BatchPlan
from gistembed.guide import GuideVectors, embed_now
from gistembed.models import EmbeddingModel
from gistembed.pairs import Pairs
from gistembed.train.guards.findings import Start
from gistembed.train.guards.measures import (
    contrastive_loss,
    guessing_loss,
    rank_agreement,
    separation,
)

PROBED_ROWS = 256
"""Rows that are looked at: their embeddings cost less than a step with a batch of that size."""


@dataclass(frozen=True, eq=False)
class Probe:
    """Some rows, and the student's embeddings of their texts.

    Attributes:
        pairs: The rows.
        anchors: Normalised embeddings of their anchors.
        positives: Normalised embeddings of their positives.
    """

    pairs: Pairs
    anchors: Float[np.ndarray, "rows dim"]
    positives: Float[np.ndarray, "rows dim"]

    @classmethod
    def first_rows(cls, student: EmbeddingModel, pairs: Pairs, plan: BatchPlan) -> "Probe":
        """The rows that the plan begins with.

        Args:
            student: The model; it is asked as it is used, without dropout, and left as it was.
            pairs: The training pairs.
            plan: Which of them meet in which batch.
        """
        return cls._of(student, pairs.take(plan.epoch(0).ravel()[:PROBED_ROWS]))

    def again(self, student: EmbeddingModel) -> "Probe":
        """The same rows as the student embeds them now.

        Args:
            student: The model.
        """
        return self._of(student, self.pairs)

    @classmethod
    def _of(cls, student: EmbeddingModel, pairs: Pairs) -> "Probe":
        training = student.model.training
        try:
            vectors = embed_now(student, pairs)
        finally:
            student.model.train(training)
        return cls(pairs, vectors.of(pairs.anchors, "anchor"), vectors.of(pairs.positives, "document"))

    def broken_rows(self) -> list[int]:
        """Rows whose embeddings are not finite."""
        whole = np.isfinite(self.anchors).all(1) & np.isfinite(self.positives).all(1)
        return np.flatnonzero(~whole).tolist()

    def embeddings(self) -> Float[np.ndarray, "texts dim"]:
        """All embeddings, one under the other."""
        return np.concatenate([self.anchors, self.positives])

    def start(self, guides: Sequence[GuideVectors], temperature: float) -> Start:
        """Measure what the student and the guides make of the rows.

        Args:
            guides: Vectors of all texts by each guide.
            temperature: τ of the loss.
        """
        rivals = rivals_of(self.pairs)
        own = self.anchors @ self.positives.T
        others = [self._similarities(guide) for guide in guides]
        return Start(
            rows=len(rivals),
            separation=separation(own, rivals),
            loss=contrastive_loss(own, rivals, temperature),
            guessing=guessing_loss(rivals),
            guide_separations=[separation(other, rivals) for other in others],
            agreements=[rank_agreement(own, other, rivals) for other in others],
        )

    def _similarities(self, guide: GuideVectors) -> Float[np.ndarray, "rows rows"]:
        anchors, positives = (
            vectors.astype(np.float32)
            for vectors in (
                guide.of(self.pairs.anchors, "anchor"),
                guide.of(self.pairs.positives, "document"),
            )
        )
        for vectors in (anchors, positives):
            # What is not finite stops the first step that meets it.
            vectors[~np.isfinite(vectors).all(1)] = 0
            vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return anchors @ positives.T


def rivals_of(pairs: Pairs) -> Bool[np.ndarray, "rows rows"]:
    """Which rows' positives are rivals of a row's own: those not known to belong to its anchor.

    Args:
        pairs: The rows; a positive is known if one of them has it with the same anchor.
    """
    anchors, positives = pairs.identity(pairs.anchors), pairs.identity(pairs.positives)
    _, anchor = np.unique(anchors, return_inverse=True)
    _, positive = np.unique(positives, return_inverse=True)
    known = np.zeros((anchor.max() + 1, positive.max() + 1), dtype=bool)
    known[anchor, positive] = True
    rivals: Bool[np.ndarray, "rows rows"] = ~known[anchor][:, positive] & (anchors[:, None] != positives)
    return rivals
