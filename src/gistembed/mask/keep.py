"""The mask itself: one rule by identity, one rule by the guide."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gistembed.mask.policy import Margin


def eligible_mask(
    row_ids: Int[Tensor, "rows known"], candidate_ids: Int[Tensor, " candidates"]
) -> Bool[Tensor, "rows candidates"]:
    """Which candidates could be negatives of a row at all, going by the identity of the texts.

    A candidate is not eligible if it is padding, or a text that the row already knows as its own (its
    anchor, its positive, another known positive of its anchor):

        eligible  =  candidate_id >= 0   and   candidate_id not in row_ids

    Args:
        row_ids: Text ids of each row's anchor, positive and known positives; -1 pads.
        candidate_ids: Text id of each candidate; -1 marks padding.

    Source: the rule by id is ours; the paper masks by similarity alone, which leaves an exact duplicate
    of the positive in the denominator.
    """
    eligible = (candidate_ids >= 0).expand(row_ids.shape[0], -1).clone()
    # Known texts are few, so the columns they stand in are looked up rather than compared one by one:
    # each known id owns one run of the sorted candidates.
    ordered, columns = candidate_ids.sort()
    first = torch.searchsorted(ordered, row_ids)
    length = torch.searchsorted(ordered, row_ids, right=True) - first
    length = length.masked_fill(row_ids < 0, 0).flatten()
    run_start = torch.repeat_interleave(first.flatten() - (length.cumsum(0) - length), length)
    hits = columns[run_start + torch.arange(run_start.shape[0], device=run_start.device)]
    rows = torch.arange(row_ids.shape[0], device=row_ids.device).repeat_interleave(row_ids.shape[1])
    eligible[torch.repeat_interleave(rows, length), hits] = False
    return eligible


def keep_mask(
    eligible: Bool[Tensor, "rows candidates"],
    guide_similarities: Float[Tensor, "rows candidates"],
    thresholds: Float[Tensor, " rows"],
    margin: Margin,
) -> Bool[Tensor, "rows candidates"]:
    """Which candidates stay in a row's softmax as negatives (True = stays).

    An eligible candidate leaves if the guide finds it more similar to the row's text than the row's own
    positive is to its anchor:

        stays  =  eligible   and not   guide_similarity > margin.below(threshold)

    Args:
        eligible: See `eligible_mask`.
        guide_similarities: Guide cosine of each row's text with each candidate, in [-1, 1].
        thresholds: Guide cosine of each row's anchor with its own positive.
        margin: How far below the threshold a candidate already leaves.

    Source: Solatorio 2024 (arXiv 2402.16829), section 3.
    """
    return eligible & (guide_similarities <= margin.below(thresholds).unsqueeze(1))
