"""The guide's rule and its guards, as arithmetic on a mask of 0 and 1: 1 where a candidate leaves.

A mask is a floating-point tensor, because such a one can be subtracted from scores at the speed of memory,
which boolean tensors can't.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gistembed.terms import GuideVote


def leaves_by_guide(
    similarities: Float[Tensor, "rows candidates"],
    limits: Float[Tensor, " rows"],
    *,
    strict: bool = True,
    out: Float[Tensor, "rows candidates"] | None = None,
) -> Float[Tensor, "rows candidates"]:
    """Where a candidate leaves because the guide finds it too similar: 1 there, 0 elsewhere.

        leaves  =  guide_similarity > limit     (or ≥, if not strict)

    Args:
        similarities: Guide cosine of each row's text with each candidate.
        limits: See `MaskPolicy.limits`.
        strict: Whether a candidate exactly at the limit stays.
        out: Where the mask goes; may be ``similarities`` itself.

    Source: Solatorio 2024 (arXiv 2402.16829), section 3.
    """
    out = torch.empty_like(similarities) if out is None else out
    compare = torch.gt if strict else torch.ge
    return compare(similarities, limits.unsqueeze(1), out=out)


def tally_votes(
    votes: Sequence[Float[Tensor, "rows candidates"]], rule: GuideVote
) -> Float[Tensor, "rows candidates"]:
    """One mask from those of several guides: where ``any`` of them, ``all`` or more than half say so.

    Args:
        votes: The mask of each guide.
        rule: How they decide; ``mean`` is for similarities and has nothing to count here.
    """
    needed = {"any": 1, "all": len(votes), "majority": len(votes) // 2 + 1}[rule]
    return (torch.stack(tuple(votes)).sum(0) >= needed).to(votes[0].dtype)


def spare_least_similar(
    leaves: Float[Tensor, "rows candidates"],
    similarities: Float[Tensor, "rows candidates"],
    spared: Int[Tensor, " rows"],
) -> Float[Tensor, "rows candidates"]:
    """The mask without the leaving candidates that the guide finds least similar, so many for each row.

    Among equals the one further left is spared first.

    Args:
        leaves: The mask.
        similarities: What the candidates are ordered by.
        spared: How many of a row are spared; a row that has fewer loses none.
    """
    rows = (spared > 0).nonzero().squeeze(1)
    if len(rows) == 0:
        return leaves
    leaving = leaves[rows] > 0
    order = similarities[rows].masked_fill(~leaving, torch.inf).argsort(dim=1, stable=True)
    ranks = torch.empty_like(order).scatter_(1, order, _counting(order))
    return leaves.index_put((rows,), (leaving & (ranks >= spared[rows].unsqueeze(1))).to(leaves.dtype))


def _counting(order: Int[Tensor, "rows candidates"]) -> Int[Tensor, "rows candidates"]:
    return torch.arange(order.shape[1], device=order.device).expand_as(order)
