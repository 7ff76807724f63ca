"""Is it better, and by how much: runs and models against each other, item by item and seed by seed."""

from gistembed.compare.record import ChallengerRecord, ComparisonRecord, EffectRecord, OverallRecord
from gistembed.compare.run import ComparisonResult, compare_models

__all__ = [
    "ChallengerRecord",
    "ComparisonRecord",
    "ComparisonResult",
    "EffectRecord",
    "OverallRecord",
    "compare_models",
]
