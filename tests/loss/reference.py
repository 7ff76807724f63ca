"""The guided contrastive loss from its formula, with loops and in float64: what all others must equal.

It shares nothing with `gistembed.loss` but the argument names and the policy object. Row by row and candidate
by candidate it decides who stays, sums the loss with plain numbers, and lets float64 autograd differentiate a
dense version of the same sum. It is slow, and meant to be read.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from gistembed.mask import Margin, MaskPolicy


@dataclass
class Reference:
    """What one batch must give.

    Attributes:
        loss: The loss.
        gradients: Its gradients by ``anchors``, ``positives``, ``negatives`` and ``temperature``.
        metrics: As `gistembed.loss.LossOutput` names them.
        closest: Smallest distance between a guide similarity and the limit that it was held against:
            where this is tiny, rounding decides who stays.
        narrowest: Smallest distance between a row's own cosine and that of a candidate left: where this is
            tiny, rounding decides ``in_batch_accuracy``.
    """

    loss: float
    gradients: dict[str, Tensor]
    metrics: dict[str, float]
    closest: float
    narrowest: float


@dataclass(frozen=True)
class _Candidate:
    block: str
    source: int
    target: int


@dataclass
class _Row:
    """Who meets whom in one row; texts are numbered anchors first, then positives, then negatives."""

    kept: list[_Candidate] = field(default_factory=list)
    masked: list[_Candidate] = field(default_factory=list)


def reference(
    anchors: Tensor,
    positives: Tensor,
    negatives: Tensor | None = None,
    *,
    guide_anchors: Tensor | None = None,
    guide_positives: Tensor | None = None,
    guide_negatives: Tensor | None = None,
    anchor_ids: Tensor | None = None,
    positive_ids: Tensor | None = None,
    negative_ids: Tensor | None = None,
    known_ids: Tensor | None = None,
    negative_mask: Tensor | None = None,
    weights: Tensor | None = None,
    temperature: float | Tensor = 0.01,
    policy: MaskPolicy | None = None,
    chunk_rows: int | None = None,
) -> Reference:
    """Loss, gradients and metrics; the arguments are those of `gistembed.guided_contrastive_loss`."""
    policy = policy or MaskPolicy()
    rows = len(anchors)
    per_row = 0 if negatives is None else negatives.shape[1]
    exists = np.ones((rows, per_row), bool) if negative_mask is None else negative_mask.cpu().numpy()
    present = [*range(2 * rows), *(2 * rows + np.flatnonzero(exists)).tolist()]

    count = 2 * rows + rows * per_row
    text_ids = list(range(count))
    if anchor_ids is not None and positive_ids is not None:
        text_ids = [*anchor_ids.tolist(), *positive_ids.tolist()]
        text_ids += [] if negative_ids is None else negative_ids.flatten().tolist()
    student = _unit(_stacked(anchors, positives, negatives), present)
    guide = None
    if guide_anchors is not None and guide_positives is not None:
        guide = _unit(_stacked(guide_anchors, guide_positives, guide_negatives), present)

    closest = math.inf
    members = []
    for i in range(rows):
        own = {text_ids[i], text_ids[rows + i]} | set([] if known_ids is None else known_ids[i].tolist())
        threshold = 0.0 if guide is None else float(guide[i] @ guide[rows + i])
        row = _Row()
        for candidate in _candidates(i, rows, present, policy):
            if text_ids[candidate.target] in own:
                continue
            leaves = False
            if guide is not None:
                similarity = float(guide[candidate.source] @ guide[candidate.target])
                limit = _limit(threshold, policy.margin_of(candidate.block))  # type: ignore[arg-type]
                leaves = similarity > limit
                closest = min(closest, abs(similarity - limit))
            (row.masked if leaves else row.kept).append(candidate)
        members.append(row)

    row_weights = [1.0] * rows if weights is None else weights.double().tolist()
    tau = float(temperature)
    loss = 0.0
    correct = 0
    narrowest = math.inf
    for i, row in enumerate(members):
        own_score = float(student[i] @ student[rows + i]) / tau
        scores = [float(student[kept.source] @ student[kept.target]) / tau for kept in row.kept]
        peak = max([own_score, *scores])
        total = math.fsum(math.exp(score - peak) for score in [own_score, *scores])
        loss += row_weights[i] / math.fsum(row_weights) * (math.log(total) + peak - own_score)
        correct += all(own_score > score for score in scores)
        narrowest = min([narrowest, *(abs(own_score - score) * tau for score in scores)])

    metrics = {
        "negatives_per_row": sum(len(row.kept) for row in members) / rows,
        "rows_without_negatives": sum(not row.kept for row in members) / rows,
        "in_batch_accuracy": correct / rows,
    }
    if guide is not None:
        blocks = ["ap"] + ["aa"] * policy.contrast_anchors + ["pp"] * policy.contrast_positives
        for block in blocks + ["an"] * (per_row > 0):
            masked = sum(one.block == block for row in members for one in row.masked)
            kept = sum(one.block == block for row in members for one in row.kept)
            metrics[f"mask_rate/{block}"] = masked / max(masked + kept, 1)
    gradients = _gradients(anchors, positives, negatives, tau, members, row_weights, loss)
    return Reference(loss, gradients, metrics, closest, narrowest)


def _candidates(i: int, rows: int, present: list[int], policy: MaskPolicy) -> list[_Candidate]:
    """All texts that row i meets, by block."""
    anchor, positive = i, rows + i
    met = [_Candidate("ap", anchor, j) for j in present if rows <= j < 2 * rows]
    if policy.contrast_anchors:
        met += [_Candidate("aa", anchor, j) for j in present if j < rows]
    if policy.contrast_positives:
        met += [_Candidate("pp", positive, j) for j in present if rows <= j < 2 * rows]
    return met + [_Candidate("an", anchor, j) for j in present if j >= 2 * rows]


def _limit(threshold: float, margin: Margin) -> float:
    if margin.strategy == "absolute":
        return threshold - margin.value
    return threshold - abs(threshold) * margin.value


def _stacked(first: Tensor, second: Tensor, third: Tensor | None) -> Tensor:
    """Anchors, positives and negatives one after another, in float64."""
    parts = [first, second] if third is None else [first, second, third.flatten(0, 1)]
    return torch.cat([part.double() for part in parts])


def _unit(vectors: Tensor, present: list[int]) -> np.ndarray:
    """Normalised; padding, which may hold anything, becomes zero."""
    unit = np.zeros(vectors.shape)
    for text in present:
        vector = vectors[text].detach().cpu().numpy()
        unit[text] = vector / math.sqrt(math.fsum(vector**2))
    return unit


def _gradients(
    anchors: Tensor,
    positives: Tensor,
    negatives: Tensor | None,
    tau: float,
    members: list[_Row],
    row_weights: list[float],
    expected: float,
) -> dict[str, Tensor]:
    """Differentiate a dense version of the loss, which must agree with the one above."""
    inputs = {"anchors": anchors, "positives": positives}
    if negatives is not None:
        inputs["negatives"] = negatives
    leaves = {name: value.detach().double().cpu().requires_grad_() for name, value in inputs.items()}
    temperature = torch.tensor(tau, dtype=torch.float64, requires_grad=True)
    texts = _stacked(leaves["anchors"], leaves["positives"], leaves.get("negatives"))
    rows = len(anchors)
    loss = torch.zeros((), dtype=torch.float64)
    for i, row in enumerate(members):
        sources = texts[[i, *(candidate.source for candidate in row.kept)]]
        targets = texts[[rows + i, *(candidate.target for candidate in row.kept)]]
        cosines = (sources * targets).sum(1) / (sources.norm(dim=1) * targets.norm(dim=1))
        loss = loss - row_weights[i] * torch.log_softmax(cosines / temperature, dim=0)[0]
    loss = loss / math.fsum(row_weights)
    assert abs(loss.item() - expected) <= 1e-11 * max(1.0, expected), "the two references disagree"
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = {name: leaf.grad for name, leaf in leaves.items()} | {"temperature": temperature.grad}
    return {name: gradient for name, gradient in gradients.items() if gradient is not None}
