"""sentence-transformers' guided losses under their own names, for training scripts that exist already."""

from gistembed.dropin.collator import GuideCollator
from gistembed.dropin.losses import CachedGISTEmbedLoss, GISTEmbedLoss

__all__ = ["CachedGISTEmbedLoss", "GISTEmbedLoss", "GuideCollator"]
