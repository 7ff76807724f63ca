"""Embeddings and a mask policy in; loss, gradients and metrics out."""

from gistembed.loss.guided import LossOutput, guided_contrastive_loss

__all__ = ["LossOutput", "guided_contrastive_loss"]
