"""The softmax of a chunk of rows: scores and mask in; losses, and slopes in the place of the scores, out."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gistembed.mask import ChunkMask, Columns, Positions
from gistembed.terms import Block, HardnessMode

# Subtracted from the score of what leaves: finite, so that 0 times it is 0, and larger than any score.
_FAR = 1e30

_HARDENED: tuple[Block, ...] = ("ap", "an")


class Hardness(NamedTuple):
    """Extra weight for negatives that the student finds similar.

    Attributes:
        mode: Which candidates of blocks ap and an it applies to.
        strength: α: the score s/τ becomes s/τ + α·s, the second s taken as a constant.

    Source: Lan et al. 2025 (arXiv 2506.18669), equation 5, in the form that sentence-transformers gives it.
    """

    mode: HardnessMode
    strength: float


class RowResults(NamedTuple):
    """What the softmax gives for each row.

    Attributes:
        losses: Negative log-likelihood.
        correct: Whether the positive beats every negative left.
    """

    losses: Float[Tensor, " rows"]
    correct: Bool[Tensor, " rows"]


def slopes_in_place(
    scores: Float[Tensor, "rows candidates"],
    own: int,
    mask: ChunkMask,
    *,
    softness: float | None = None,
    room: Float[Tensor, "rows candidates"] | None = None,
    harden: Callable[[Float[Tensor, "rows candidates"]], None] | None = None,
) -> RowResults:
    """Turn scores into the loss's slopes by them: a candidate's share, minus its share among the positives.

    With L the scores s/τ after mask and extra weight, P the row's positives (its own, and those promoted)
    and K the negatives left:

        loss  =  log Σ_(c in P and K) e^L_c  -  log Σ_(c in P) e^L_c
        slope_c  =  e^L_c / Σ_(P and K)  -  [c in P] e^L_c / Σ_P

    Args:
        scores: s/τ of every candidate; the slopes take their place.
        own: Which diagonal holds each row's own positive.
        mask: What becomes of the candidates.
        softness: For ``soften``; see `MaskPolicy`.
        room: For ``promote``: where the share among the positives can be worked out.
        harden: Adds extra weight to scores in place.
    """
    own_scores = scores.diagonal(own).clone()
    if mask.leaves is not None and mask.excess is None and room is None:
        scores.sub_(mask.leaves, alpha=_FAR)
    scores[mask.excluded.rows, mask.excluded.columns] = -_FAR
    beaten = None
    if harden is not None or room is not None:
        # What the positive has to beat has no extra weight yet.
        beaten = _strongest_left(scores, mask, softness, room)
    if harden is not None:
        harden(scores)
    if mask.excess is not None:
        assert softness is not None, "what fades out does so over some distance"
        scores.sub_(mask.excess, alpha=1 / softness)

    strongest = scores.amax(dim=1)
    log_positives, positives = own_scores, None
    if room is not None and mask.leaves is not None:
        positives = torch.add(scores, mask.leaves - 1, alpha=_FAR, out=room)
        positives.diagonal(own).copy_(own_scores)
        log_positives = _log_sum_exp_to_shares(positives, positives.amax(dim=1))
    scores.diagonal(own).copy_(own_scores)
    log_all = _log_sum_exp_to_shares(scores, torch.maximum(own_scores, strongest))
    if positives is None:
        scores.diagonal(own).sub_(1)
    else:
        scores.sub_(positives)
    return RowResults(log_all - log_positives, own_scores > (strongest if beaten is None else beaten))


def hardened(
    scores: Float[Tensor, "rows candidates"],
    columns: Columns,
    own_negatives: Positions | None,
    hardness: Hardness,
    temperature: float,
) -> None:
    """Add the extra weight of hard candidates to their scores, in place; the own positive is not looked at.

    Args:
        scores: s/τ.
        columns: The candidates.
        own_negatives: Where each row's own hard negatives stand; None without any.
        hardness: Whom it applies to, and how strongly.
        temperature: τ.
    """
    factor = 1 + hardness.strength * temperature
    kept = None if own_negatives is None else scores[own_negatives.rows, own_negatives.columns]
    if hardness.mode != "hard_negatives":
        for block, span in zip(columns.blocks, columns.spans, strict=True):
            if block in _HARDENED:
                scores[:, span] *= factor
    if own_negatives is not None and kept is not None:
        if hardness.mode != "in_batch_negatives":
            kept = kept * factor
        scores[own_negatives.rows, own_negatives.columns] = kept


def _strongest_left(
    scores: Tensor, mask: ChunkMask, softness: float | None, room: Tensor | None
) -> Float[Tensor, " rows"]:
    """The highest score of a negative, as far as it is left, softened, or no positive by now."""
    if mask.excess is not None and softness is not None:
        scores = scores - mask.excess / softness
    elif mask.leaves is not None:
        scores = torch.sub(scores, mask.leaves, alpha=_FAR, out=room)
    strongest: Tensor = scores.amax(dim=1)
    return strongest


def _log_sum_exp_to_shares(scores: Tensor, peaks: Float[Tensor, " rows"]) -> Float[Tensor, " rows"]:
    """Softmax in place, and the logarithm of its denominator.

    The share of a row's highest score is e⁰ over the sum, so that share gives the sum.
    """
    torch.softmax(scores, dim=1, out=scores)
    return peaks - scores.amax(dim=1).log()
