"""Which candidates stay in a row's softmax: guide similarities, text ids and a policy in, a mask out."""

from gistembed.mask.keep import eligible_mask, keep_mask
from gistembed.mask.policy import BLOCK_INPUTS, BlockInput, Margin, MaskPolicy

__all__ = ["BLOCK_INPUTS", "BlockInput", "Margin", "MaskPolicy", "eligible_mask", "keep_mask"]
