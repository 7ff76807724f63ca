"""Which pairs meet in which batch, and their way from ids to model inputs."""

from gistembed.batches.collate import PairCollator
from gistembed.batches.ids import BatchIds, batch_ids
from gistembed.batches.layout import packed_parts, packed_texts
from gistembed.batches.lengths import text_lengths
from gistembed.batches.mixing import TaskMix
from gistembed.batches.plan import BatchPlan, PlanSampler, RowNumbers
from gistembed.batches.tokens import TokenCache, texts_by_role

__all__ = [
    "BatchIds",
    "BatchPlan",
    "PairCollator",
    "PlanSampler",
    "RowNumbers",
    "TaskMix",
    "TokenCache",
    "batch_ids",
    "packed_parts",
    "packed_texts",
    "text_lengths",
    "texts_by_role",
]
