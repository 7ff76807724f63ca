"""Which pairs meet in which batch, and their way from ids to model inputs."""

from gistembed.batches.collate import PairCollator, text_lengths
from gistembed.batches.ids import BatchIds, batch_ids
from gistembed.batches.plan import BatchPlan, PlanSampler

__all__ = ["BatchIds", "BatchPlan", "PairCollator", "PlanSampler", "batch_ids", "text_lengths"]
