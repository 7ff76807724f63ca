"""The guided contrastive loss as a pure function of embeddings, guide vectors and text ids.

Nothing here knows about models, texts or logging. What is given is checked in `inputs`, the arithmetic is in
`sweep`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gistembed.loss.inputs import (
    BatchShape,
    batch_shape,
    batch_texts,
    check_companion,
    guide_vectors,
    unit_vectors,
)
from gistembed.loss.plan import SweepPlan
from gistembed.loss.softmax import Hardness
from gistembed.loss.sweep import masked_softmax_sweep
from gistembed.mask import BatchMask, MaskPolicy
from gistembed.terms import HardnessMode, Kernel


@dataclass(frozen=True)
class LossOutput:
    """What one batch gives.

    Attributes:
        loss: Scalar; the weighted mean over rows of each row's negative log-likelihood.
        metrics: Scalars without gradient, for logging only:
            ``mask_rate/<block>``, the share of the eligible candidates that the guide took out;
            ``negatives_per_row``, the mean number of candidates left besides the positive;
            ``rows_without_negatives``, the share of rows that have none left;
            ``starved_rows``, the share of rows left with fewer than `MaskPolicy.min_negatives`, where that
            is set;
            ``in_batch_accuracy``, the share of rows whose positive beats every candidate left.
    """

    loss: Float[Tensor, ""]
    metrics: dict[str, Float[Tensor, ""]]


def guided_contrastive_loss(
    anchors: Float[Tensor, "rows dim"],
    positives: Float[Tensor, "rows dim"],
    negatives: Float[Tensor, "rows negatives dim"] | None = None,
    *,
    guide_anchors: Float[Tensor, "rows guide_dim"] | Sequence[Tensor] | None = None,
    guide_positives: Float[Tensor, "rows guide_dim"] | Sequence[Tensor] | None = None,
    guide_negatives: Float[Tensor, "rows negatives guide_dim"] | Sequence[Tensor] | None = None,
    anchor_ids: Int[Tensor, " rows"] | None = None,
    positive_ids: Int[Tensor, " rows"] | None = None,
    negative_ids: Int[Tensor, "rows negatives"] | None = None,
    known_ids: Int[Tensor, " known"] | None = None,
    known_offsets: Int[Tensor, " rows_and_one"] | None = None,
    negative_mask: Bool[Tensor, "rows negatives"] | None = None,
    trusted_negatives: Bool[Tensor, "rows negatives"] | None = None,
    weights: Float[Tensor, " rows"] | None = None,
    temperature: float | Float[Tensor, "..."] = 0.01,
    policy: MaskPolicy | None = None,
    hardness_mode: HardnessMode | None = None,
    hardness_strength: float = 0.0,
    dims: Sequence[int] | None = None,
    dim_weights: Sequence[float] | None = None,
    rows: slice | None = None,
    chunk_rows: int | None = None,
    kernel: Kernel = "auto",
) -> LossOutput:
    """Contrast each anchor with its positive against all candidates that the guide leaves in.

    With s the student's cosine, K_i the candidates that stay for row i (see `MaskPolicy` for the blocks
    and the rules) and w the row weights:

        loss_i = -log( e^(s(a_i, p_i)/τ) / (e^(s(a_i, p_i)/τ) + Σ_(c in K_i) e^(s_ic/τ)) )
        loss   = Σ_i w_i loss_i / Σ_i w_i

    With the action ``promote``, the numerator is the sum over the row's positives, its own and the promoted
    ones, and so is the first term of the denominator; with ``soften``, s_ic/τ is lowered for those that
    leave.

    Without guide tensors only the rules by identity apply: plain InfoNCE over the same blocks. Without
    ids every text counts as distinct from all others. The inputs need not be normalised; a zero vector has
    cosine 0 with everything and gets no gradient. Scores are float32 (float64 for float64 inputs) whatever
    the inputs' dtype and whatever autocast says. Memory grows with candidates × rows of one chunk, never
    with rows × rows. Gradients are made in the forward sweep, so a second derivative is refused. On a CPU
    equal inputs give equal bits.

    Args:
        anchors: Student embeddings of the anchors.
        positives: Student embeddings of the positives.
        negatives: Student embeddings of the hard negatives; every row is contrasted with all of them.
        guide_anchors: Guide embeddings of the anchors, or one tensor for each of several guides; all guide
            tensors are given, or none.
        guide_positives: Guide embeddings of the positives, likewise.
        guide_negatives: Guide embeddings of the hard negatives, likewise.
        anchor_ids: Text id of each anchor; equal ids mean equal texts. Anchor and positive ids are given
            together.
        positive_ids: Text id of each positive.
        negative_ids: Text id of each hard negative; needed with ids and negatives.
        known_ids: Further texts known to be positives of the rows' anchors, row after row.
        known_offsets: Those of row i are ``known_ids[known_offsets[i] : known_offsets[i + 1]]``.
        negative_mask: True where a hard negative exists, for rows with fewer than the others; what stands
            elsewhere may be anything.
        trusted_negatives: True where a hard negative stays in its own row whatever the guide says.
        weights: Weight of each row, ≥ 0; None weighs all rows alike.
        temperature: τ, a number or a tensor of one element; one that requires grad is learned.
        policy: Blocks and rules; those of the paper, and exclusion by id, by default.
        hardness_mode: Which candidates of blocks ap and an get a score raised by their own cosine, taken as a
            constant: other rows' texts (``in_batch_negatives``), the row's own hard negatives
            (``hard_negatives``) or both (``all_negatives``). As in sentence-transformers'
            MultipleNegativesRankingLoss, after the mask.
        hardness_strength: α in the score s/τ + α·s.
        dims: Matryoshka: the loss is a weighted sum over embeddings cut to these leading dimensions. The
            mask is found once for all of them; where the student scores, at the widest.
        dim_weights: Weight of each of ``dims``; 1 for all by default.
        rows: Only these rows' share of the loss: the shares of slices that make up the batch add up to the
            loss, and so do their gradients. Metrics are of these rows. None for all.
        chunk_rows: Rows scored at a time; None chooses by memory.
        kernel: ``torch``, ``triton`` (on a CUDA device, for the plain rule with one guide), or ``auto``,
            which tries both once on large batches there and takes the faster one.

    Raises:
        ValueError: If shapes or devices disagree, tensors that belong together are not given together, a
            vector is not finite or a guide's is zero (the row is named), weights are negative or sum to 0,
            or the temperature is not positive.

    Source: Solatorio 2024 (arXiv 2402.16829), section 3; exclusion by id, weights and chunks are ours;
    hardness: Lan et al. 2025 (arXiv 2506.18669), equation 5; dims: Kusupati et al. 2022 (arXiv 2205.13147).
    """
    policy = policy or MaskPolicy()
    shape = batch_shape(anchors, positives, negatives, negative_mask)
    if kernel not in get_args(Kernel):
        raise ValueError(f"kernel: {kernel!r} is unknown; choose one of {', '.join(get_args(Kernel))}")
    if chunk_rows is not None and chunk_rows < 1:
        raise ValueError(f"chunk_rows: expected at least 1, got {chunk_rows}")
    dtype = torch.promote_types(anchors.dtype, torch.float32)
    tau = _temperature(temperature)
    with torch.autocast(shape.device.type, enabled=False):
        parts = [part.to(dtype) for part in shape.parts(anchors, positives, negatives)]
        unit, inverse_norms = unit_vectors(torch.cat([part.detach() for part in parts]), shape)
        texts = batch_texts(
            shape,
            anchor_ids=anchor_ids,
            positive_ids=positive_ids,
            negative_ids=negative_ids,
            known_ids=known_ids,
            known_offsets=known_offsets,
            trusted=trusted_negatives,
        )
        guides = guide_vectors(guide_anchors, guide_positives, guide_negatives, shape, policy)
        kept_dims, kept_weights = _dims(dims, dim_weights, anchors.shape[1])
        plan = SweepPlan(
            mask=BatchMask(texts, policy),
            unit=unit,
            inverse_norms=inverse_norms,
            guides=guides,
            rows=_row_range(rows, shape.rows),
            row_weights=_row_weights(weights, shape, dtype),
            temperature=tau,
            dims=kept_dims,
            dim_weights=kept_weights,
            hardness=_hardness(hardness_mode, hardness_strength),
            chunk_rows=chunk_rows,
            kernel=kernel,
        )
        loss, masked, eligible, left, correct = masked_softmax_sweep(
            parts, torch.as_tensor(temperature, dtype=dtype, device=shape.device).reshape(()), plan
        )
    metrics: dict[str, Tensor] = {}
    if guides or policy.scorer == "student":
        rates = masked / eligible.clamp(min=1)
        metrics |= {
            f"mask_rate/{block}": rate
            for block, rate in zip(plan.mask.blocks, rates, strict=True)
            # Block ap then holds nothing but the rows' own positives.
            if policy.negatives != "explicit" or block != "ap"
        }
    metrics["negatives_per_row"] = left.mean()
    metrics["rows_without_negatives"] = (left == 0).to(dtype).mean()
    if policy.min_negatives:
        metrics["starved_rows"] = (left < policy.min_negatives).to(dtype).mean()
    metrics["in_batch_accuracy"] = correct.mean()
    return LossOutput(loss, metrics)


def _temperature(temperature: float | Tensor) -> float:
    if isinstance(temperature, Tensor) and temperature.numel() != 1:
        raise ValueError(f"temperature: expected one number, got {tuple(temperature.shape)}")
    value = float(temperature.detach() if isinstance(temperature, Tensor) else temperature)
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"temperature: expected a finite number above 0, got {value}")
    return value


def _row_weights(weights: Tensor | None, shape: BatchShape, dtype: torch.dtype) -> Float[Tensor, " rows"]:
    """Weights that sum to 1, so that the sum over rows is the weighted mean."""
    if weights is None:
        return torch.full((shape.rows,), 1 / shape.rows, dtype=dtype, device=shape.device)
    check_companion("weights", weights, (shape.rows,), shape)
    weights = weights.detach().to(dtype)
    total = float(weights.sum())
    if not (bool((weights >= 0).all()) and math.isfinite(total) and total > 0):
        raise ValueError("weights: expected numbers ≥ 0 that do not all vanish")
    return weights / total


def _row_range(rows: slice | None, count: int) -> slice:
    if rows is None:
        return slice(0, count)
    start = 0 if rows.start is None else rows.start
    stop = count if rows.stop is None else rows.stop
    if rows.step not in (None, 1) or not 0 <= start < stop <= count:
        raise ValueError(f"rows: expected a slice of neighbouring rows within 0 … {count}, got {rows}")
    return slice(start, stop)


def _hardness(mode: HardnessMode | None, strength: float) -> Hardness | None:
    if mode is None:
        if strength:
            raise ValueError(f"hardness_strength: {strength} has no effect without hardness_mode")
        return None
    if mode not in get_args(HardnessMode):
        raise ValueError(
            f"hardness_mode: {mode!r} is unknown; choose one of {', '.join(get_args(HardnessMode))}"
        )
    if not (math.isfinite(strength) and strength > 0):
        raise ValueError(f"hardness_strength: expected a finite number above 0, got {strength}")
    return Hardness(mode, strength)


def _dims(
    dims: Sequence[int] | None, dim_weights: Sequence[float] | None, dim: int
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Dimensions and their weights, the widest first."""
    if dims is None:
        if dim_weights is not None:
            raise ValueError("dim_weights: given without dims")
        return (dim,), (1.0,)
    if not dims or any(not 1 <= one <= dim for one in dims) or len(set(dims)) < len(dims):
        raise ValueError(f"dims: expected different numbers within 1 … {dim}, got {list(dims)}")
    weights = [1.0] * len(dims) if dim_weights is None else [float(weight) for weight in dim_weights]
    if len(weights) != len(dims) or any(not (math.isfinite(weight) and weight >= 0) for weight in weights):
        raise ValueError(f"dim_weights: expected {len(dims)} finite numbers ≥ 0, got {weights}")
    widest_first = sorted(zip(dims, weights, strict=True), reverse=True)
    return tuple(one for one, _ in widest_first), tuple(weight for _, weight in widest_first)
