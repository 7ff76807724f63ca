"""Fine-tune a text embedding model on pairs, with a guide that keeps false negatives out of the batch.

The names below load on first use, so that ``import gistembed`` and ``gistembed --help`` stay quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gistembed.compare import ComparisonResult, compare_models
    from gistembed.cotraining import CoTrainResult, cotrain
    from gistembed.dropin import CachedGISTEmbedLoss, GISTEmbedLoss, GuideCollator
    from gistembed.errors import UserError
    from gistembed.loss import LossOutput, guided_contrastive_loss
    from gistembed.mask import MarginSchedule, MaskPolicy
    from gistembed.pairs import Pairs, read_pairs
    from gistembed.pipeline import FitResult, fit

__version__ = "0.1.0"

__all__ = [
    "CachedGISTEmbedLoss",
    "CoTrainResult",
    "ComparisonResult",
    "FitResult",
    "GISTEmbedLoss",
    "GuideCollator",
    "LossOutput",
    "MarginSchedule",
    "MaskPolicy",
    "Pairs",
    "UserError",
    "__version__",
    "compare_models",
    "cotrain",
    "fit",
    "guided_contrastive_loss",
    "read_pairs",
]

_HOMES = {
    "CachedGISTEmbedLoss": "gistembed.dropin",
    "CoTrainResult": "gistembed.cotraining",
    "ComparisonResult": "gistembed.compare",
    "FitResult": "gistembed.pipeline",
    "GISTEmbedLoss": "gistembed.dropin",
    "GuideCollator": "gistembed.dropin",
    "LossOutput": "gistembed.loss",
    "MarginSchedule": "gistembed.mask",
    "MaskPolicy": "gistembed.mask",
    "Pairs": "gistembed.pairs",
    "UserError": "gistembed.errors",
    "compare_models": "gistembed.compare",
    "cotrain": "gistembed.cotraining",
    "fit": "gistembed.pipeline",
    "guided_contrastive_loss": "gistembed.loss",
    "read_pairs": "gistembed.pairs",
}


def __getattr__(name: str) -> object:
    """Import a public name from its home on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'gistembed' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
