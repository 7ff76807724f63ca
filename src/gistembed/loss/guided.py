"""The guided contrastive loss as a pure function of embeddings, guide vectors and text ids.

Nothing here knows about models, texts or logging. Shapes are checked here; the arithmetic is in `sweep`.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from gistembed.loss.sweep import Sweep, masked_softmax_sweep
from gistembed.mask import BLOCK_INPUTS, MaskPolicy


@dataclass(frozen=True)
class LossOutput:
    """What one batch gives.

    Attributes:
        loss: Scalar; the weighted mean over rows of each row's negative log-likelihood.
        metrics: Scalars without gradient, for logging only:
            ``mask_rate/<block>``, the share of the eligible candidates that the guide took out;
            ``negatives_per_row``, the mean number of candidates left besides the positive;
            ``rows_without_negatives``, the share of rows that have none left;
            ``in_batch_accuracy``, the share of rows whose positive beats every candidate left.
    """

    loss: Float[Tensor, ""]
    metrics: dict[str, Float[Tensor, ""]]


def guided_contrastive_loss(
    anchors: Float[Tensor, "rows dim"],
    positives: Float[Tensor, "rows dim"],
    negatives: Float[Tensor, "rows negatives dim"] | None = None,
    *,
    guide_anchors: Float[Tensor, "rows guide_dim"] | None = None,
    guide_positives: Float[Tensor, "rows guide_dim"] | None = None,
    guide_negatives: Float[Tensor, "rows negatives guide_dim"] | None = None,
    anchor_ids: Int[Tensor, " rows"] | None = None,
    positive_ids: Int[Tensor, " rows"] | None = None,
    negative_ids: Int[Tensor, "rows negatives"] | None = None,
    known_ids: Int[Tensor, "rows known"] | None = None,
    negative_mask: Bool[Tensor, "rows negatives"] | None = None,
    weights: Float[Tensor, " rows"] | None = None,
    temperature: float | Float[Tensor, ""] = 0.01,
    policy: MaskPolicy | None = None,
    chunk_rows: int | None = None,
) -> LossOutput:
    """Contrast each anchor with its positive against all candidates that the guide leaves in.

    With s the student's cosine, K_i the candidates that stay for row i (see `MaskPolicy` for the blocks
    and `gistembed.mask` for the rule) and w the row weights:

        loss_i = -log( e^(s(a_i, p_i)/τ) / (e^(s(a_i, p_i)/τ) + Σ_(c in K_i) e^(s_ic/τ)) )
        loss   = Σ_i w_i loss_i / Σ_i w_i

    Without guide tensors only the rule by identity applies: plain InfoNCE over the same blocks. Without
    ids every text counts as distinct from all others. The inputs need not be normalised. Scores are
    float32 (float64 for float64 inputs) whatever the inputs' dtype and whatever autocast says. Memory
    grows with rows × candidates of one chunk, never with rows × rows × dim. Gradients are made in the
    forward sweep, so a second derivative is refused.

    Args:
        anchors: Student embeddings of the anchors.
        positives: Student embeddings of the positives.
        negatives: Student embeddings of the hard negatives; every row is contrasted with all of them.
        guide_anchors: Guide embeddings of the anchors; all guide tensors are given, or none.
        guide_positives: Guide embeddings of the positives.
        guide_negatives: Guide embeddings of the hard negatives.
        anchor_ids: Text id of each anchor, ≥ 0; anchor and positive ids are given together.
        positive_ids: Text id of each positive.
        negative_ids: Text id of each hard negative; needed with ids and negatives.
        known_ids: Further texts known to be positives of each row's anchor; -1 pads.
        negative_mask: True where a hard negative exists, for rows with fewer than the others.
        weights: Weight of each row, ≥ 0; None weighs all rows alike.
        temperature: τ; a tensor that requires grad is learned.
        policy: Blocks and margins; the paper's rule by default.
        chunk_rows: Rows scored at a time; None chooses by memory.

    Raises:
        ValueError: If shapes disagree, tensors that belong together are not given together, a guide vector
            is zero or not finite (the row is named), weights are negative or sum to 0, or the temperature
            is not positive.

    Source: Solatorio 2024 (arXiv 2402.16829), section 3; exclusion by id, weights and chunks are ours.
    """
    policy = policy or MaskPolicy()
    _check_shapes(anchors, positives, negatives, weights, negative_mask)
    if chunk_rows is not None and chunk_rows < 1:
        raise ValueError(f"chunk_rows: expected at least 1, got {chunk_rows}")
    dtype = torch.promote_types(anchors.dtype, torch.float32)
    tau = _temperature(temperature, dtype, anchors.device)
    if negatives is not None and negative_mask is not None:
        # What stands in padding may be anything: not even NaN may reach the products.
        negatives = negatives.masked_fill(~negative_mask.unsqueeze(-1), 0)
    device_type = anchors.device.type
    with torch.autocast(device_type, enabled=False):
        unit = [functional.normalize(x.to(dtype), dim=-1) for x in _flat(anchors, positives, negatives)]
        guide = _guide_vectors(
            guide_anchors, guide_positives, guide_negatives, anchors.shape[0], negatives, negative_mask
        )
        ids = _text_ids(anchors, negatives, anchor_ids, positive_ids, negative_ids, negative_mask)
        row_ids = torch.stack([ids[0], ids[1]], dim=1)
        if known_ids is not None:
            if anchor_ids is None:
                raise ValueError("known_ids: given without the ids of the texts")
            if known_ids.ndim != 2 or known_ids.shape[0] != len(row_ids):
                raise ValueError(
                    f"known_ids: expected ({len(row_ids)}, known per row), got {tuple(known_ids.shape)}"
                )
            row_ids = torch.cat([row_ids, known_ids], dim=1)
        names = policy.blocks(negatives=len(unit) == 3)
        sweep = Sweep(
            blocks=tuple(BLOCK_INPUTS[name] for name in names),
            margins=tuple(policy.margin_of(name) for name in names),
            row_ids=row_ids,
            candidate_ids=tuple(ids),
            guide=tuple(guide) if guide else None,
            row_weights=_row_weights(weights, anchors.shape[0], dtype, anchors.device),
            chunk_rows=chunk_rows,
        )
        loss, masked, eligible, left, correct = masked_softmax_sweep(unit, tau, sweep)
    rates = masked / eligible.clamp(min=1)
    metrics: dict[str, Tensor] = {}
    if guide is not None:
        metrics |= {f"mask_rate/{name}": rate for name, rate in zip(names, rates, strict=True)}
    metrics["negatives_per_row"] = left.mean()
    metrics["rows_without_negatives"] = (left == 0).to(dtype).mean()
    metrics["in_batch_accuracy"] = correct.to(dtype).mean()
    return LossOutput(loss, metrics)


def _flat(first: Tensor, second: Tensor, third: Tensor | None) -> list[Tensor]:
    """Anchors, positives and, where there are any, the negatives of all rows one after the other."""
    if third is None or third.shape[1] == 0:
        return [first, second]
    return [first, second, third.flatten(0, 1)]


def _check_shapes(
    anchors: Tensor,
    positives: Tensor,
    negatives: Tensor | None,
    weights: Tensor | None,
    negative_mask: Tensor | None,
) -> None:
    if anchors.ndim != 2 or anchors.shape[0] == 0:
        raise ValueError(f"anchors: expected (rows, dim) with at least one row, got {tuple(anchors.shape)}")
    rows, dim = anchors.shape
    if positives.shape != anchors.shape:
        raise ValueError(
            f"positives: expected the shape of anchors {(rows, dim)}, got {tuple(positives.shape)}"
        )
    if negatives is not None and (
        negatives.ndim != 3 or (negatives.shape[0], negatives.shape[2]) != (rows, dim)
    ):
        raise ValueError(
            f"negatives: expected ({rows}, negatives per row, {dim}), got {tuple(negatives.shape)}"
        )
    if negative_mask is not None:
        if negatives is None:
            raise ValueError("negative_mask: given without negatives")
        if negative_mask.shape != negatives.shape[:2]:
            raise ValueError(
                f"negative_mask: expected {tuple(negatives.shape[:2])}, got {tuple(negative_mask.shape)}"
            )
    if weights is not None and weights.shape != (rows,):
        raise ValueError(f"weights: expected ({rows},), got {tuple(weights.shape)}")


def _temperature(temperature: float | Tensor, dtype: torch.dtype, device: torch.device) -> Tensor:
    value = temperature.item() if isinstance(temperature, Tensor) else temperature
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"temperature: expected a finite number above 0, got {value}")
    return torch.as_tensor(temperature, dtype=dtype, device=device)


def _guide_vectors(
    guide_anchors: Tensor | None,
    guide_positives: Tensor | None,
    guide_negatives: Tensor | None,
    rows: int,
    negatives: Tensor | None,
    negative_mask: Tensor | None,
) -> list[Tensor] | None:
    """Normalised guide vectors, flat like the student's; None without a guide."""
    if guide_anchors is None and guide_positives is None and guide_negatives is None:
        return None
    if guide_anchors is None or guide_positives is None:
        missing = "guide_anchors" if guide_anchors is None else "guide_positives"
        raise ValueError(f"{missing}: missing; give the guide's vectors for all texts or for none")
    if guide_anchors.ndim != 2 or guide_anchors.shape[0] != rows:
        raise ValueError(f"guide_anchors: expected ({rows}, guide dim), got {tuple(guide_anchors.shape)}")
    if guide_positives.shape != guide_anchors.shape:
        raise ValueError(
            f"guide_positives: expected the shape of guide_anchors {tuple(guide_anchors.shape)}, "
            f"got {tuple(guide_positives.shape)}"
        )
    if (guide_negatives is None) != (negatives is None):
        raise ValueError("guide_negatives: expected exactly where there are negatives")
    if (
        negatives is not None
        and guide_negatives is not None
        and guide_negatives.shape != (*negatives.shape[:2], guide_anchors.shape[1])
    ):
        raise ValueError(
            f"guide_negatives: expected {(*negatives.shape[:2], guide_anchors.shape[1])}, "
            f"got {tuple(guide_negatives.shape)}"
        )
    unit = []
    names = ("guide_anchors", "guide_positives", "guide_negatives")
    for name, vectors in zip(names, _flat(guide_anchors, guide_positives, guide_negatives), strict=False):
        vectors = vectors.detach().to(torch.promote_types(vectors.dtype, torch.float32))
        norms = torch.linalg.vector_norm(vectors, dim=-1)
        bad = ~(torch.isfinite(norms) & (norms > 0))
        if name == "guide_negatives" and negative_mask is not None:
            bad &= negative_mask.flatten()
        if bad.any():
            row = int(bad.nonzero()[0]) // (len(bad) // rows)
            raise ValueError(
                f"{name}: the vector of row {row} is zero or not finite; a mask from it would be wrong"
            )
        unit.append(functional.normalize(vectors, dim=-1))
    return unit


def _text_ids(
    anchors: Tensor,
    negatives: Tensor | None,
    anchor_ids: Tensor | None,
    positive_ids: Tensor | None,
    negative_ids: Tensor | None,
    negative_mask: Tensor | None,
) -> list[Tensor]:
    """Text ids of anchors, positives and flat negatives; missing negatives are -1."""
    rows = anchors.shape[0]
    per_row = 0 if negatives is None else negatives.shape[1]
    if anchor_ids is None and positive_ids is None and negative_ids is None:
        every = torch.arange(rows * (2 + per_row), device=anchors.device)
        anchor_ids, positive_ids = every[:rows], every[rows : 2 * rows]
        negative_ids = every[2 * rows :].reshape(rows, per_row)
    if anchor_ids is None or positive_ids is None or (negative_ids is None and per_row):
        given = {"anchor_ids": anchor_ids, "positive_ids": positive_ids, "negative_ids": negative_ids}
        missing = next(name for name, value in given.items() if value is None)
        raise ValueError(f"{missing}: missing; give the ids of all texts or of none")
    for name, ids in (("anchor_ids", anchor_ids), ("positive_ids", positive_ids)):
        if ids.shape != (rows,):
            raise ValueError(f"{name}: expected ({rows},), got {tuple(ids.shape)}")
    if not per_row:
        return [anchor_ids, positive_ids]
    assert negative_ids is not None
    if negative_ids.shape != (rows, per_row):
        raise ValueError(f"negative_ids: expected {(rows, per_row)}, got {tuple(negative_ids.shape)}")
    if negative_mask is not None:
        negative_ids = negative_ids.masked_fill(~negative_mask, -1)
    return [anchor_ids, positive_ids, negative_ids.flatten()]


def _row_weights(
    weights: Tensor | None, rows: int, dtype: torch.dtype, device: torch.device
) -> Float[Tensor, " rows"]:
    """Weights that sum to 1, so that the sum over rows is the weighted mean."""
    if weights is None:
        return torch.full((rows,), 1 / rows, dtype=dtype, device=device)
    weights = weights.detach().to(dtype)
    total = float(weights.sum())
    if not (bool((weights >= 0).all()) and math.isfinite(total) and total > 0):
        raise ValueError("weights: expected numbers ≥ 0 that do not all vanish")
    return weights / total
