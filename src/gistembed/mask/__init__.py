"""Which candidates stay in a row's softmax: guide similarities, text ids and a policy in, a mask out."""

from gistembed.mask.columns import (
    BatchTexts,
    Columns,
    inverse_lengths,
    mean_scorer,
    rows_of,
    score_rows,
    unit_length,
)
from gistembed.mask.decide import BatchMask, ChunkMask
from gistembed.mask.margin import Margin, MarginSchedule
from gistembed.mask.own import Positions
from gistembed.mask.policy import BLOCK_SIDES, SYMMETRIC_BLOCKS, BlockSides, MaskPolicy, Side
from gistembed.mask.settings import policy_from_settings

__all__ = [
    "BLOCK_SIDES",
    "SYMMETRIC_BLOCKS",
    "BatchMask",
    "BatchTexts",
    "BlockSides",
    "ChunkMask",
    "Columns",
    "Margin",
    "MarginSchedule",
    "MaskPolicy",
    "Positions",
    "Side",
    "inverse_lengths",
    "mean_scorer",
    "policy_from_settings",
    "rows_of",
    "score_rows",
    "unit_length",
]
