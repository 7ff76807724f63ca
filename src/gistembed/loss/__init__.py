"""Embeddings and a mask policy in; loss, gradients and metrics out."""

from gistembed.loss.gather import averaged_over_ranks, gather_batch, gather_rows
from gistembed.loss.guided import LossOutput, guided_contrastive_loss
from gistembed.loss.inputs import GuideNotFiniteError, NotFiniteError

__all__ = [
    "GuideNotFiniteError",
    "LossOutput",
    "NotFiniteError",
    "averaged_over_ranks",
    "gather_batch",
    "gather_rows",
    "guided_contrastive_loss",
]
