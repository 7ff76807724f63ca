"""The guided contrastive loss from its formula, with loops and in float64: what all others must equal.

It shares nothing with `gistembed.mask` and `gistembed.loss` but the argument names and the policy object. Row
by row and candidate by candidate it decides who stays, sums the loss with plain numbers, and lets float64
autograd differentiate a dense version of the same sum. It is slow, and meant to be read.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from gistembed.mask import MarginSchedule, MaskPolicy

BLOCKS = ("ap", "aa", "an", "pp", "pa")


@dataclass
class Reference:
    """What one batch must give.

    Attributes:
        loss: The loss.
        gradients: Its gradients by ``anchors``, ``positives``, ``negatives`` and ``temperature``.
        metrics: As `gistembed.loss.LossOutput` names them.
        rows: Who stays, who leaves and who is excluded, row by row.
        closest: Smallest distance between a guide similarity and what it was held against (a limit, or, where
            an order decides, another similarity): where this is tiny, rounding decides who stays.
        narrowest: Smallest distance between a row's own cosine and that of a candidate left: where this is
            tiny, rounding decides ``in_batch_accuracy``.
    """

    loss: float
    gradients: dict[str, Tensor]
    metrics: dict[str, float]
    rows: "list[Row]"
    closest: float
    narrowest: float


@dataclass(eq=False)
class Candidate:
    """One text that a row meets; texts are numbered anchors first, then positives, then negatives.

    Attributes:
        block: Where it stands.
        source: The row's text that it is compared with.
        target: The candidate.
        own: Whether it is a hard negative of the row itself.
        similarity: The guide's, or the mean of several guides'.
        limit: What it is held against; where several guides vote there is none.
    """

    block: str
    source: int
    target: int
    own: bool
    similarity: float = math.nan
    limit: float = math.nan


@dataclass
class Row:
    """What became of the candidates of one row."""

    excluded: list[Candidate] = field(default_factory=list)
    kept: list[Candidate] = field(default_factory=list)
    masked: list[Candidate] = field(default_factory=list)
    counts: bool = True


def reference(
    anchors: Tensor,
    positives: Tensor,
    negatives: Tensor | None = None,
    *,
    guide_anchors: Tensor | Sequence[Tensor] | None = None,
    guide_positives: Tensor | Sequence[Tensor] | None = None,
    guide_negatives: Tensor | Sequence[Tensor] | None = None,
    anchor_ids: Tensor | None = None,
    positive_ids: Tensor | None = None,
    negative_ids: Tensor | None = None,
    known_ids: Tensor | None = None,
    known_offsets: Tensor | None = None,
    negative_mask: Tensor | None = None,
    trusted_negatives: Tensor | None = None,
    weights: Tensor | None = None,
    temperature: float | Tensor = 0.01,
    policy: MaskPolicy | None = None,
    hardness_mode: str | None = None,
    hardness_strength: float = 0.0,
    dims: Sequence[int] | None = None,
    dim_weights: Sequence[float] | None = None,
    rows: slice | None = None,
    chunk_rows: int | None = None,
) -> Reference:
    """Loss, gradients and metrics; the arguments are those of `gistembed.guided_contrastive_loss`."""
    policy = policy or MaskPolicy()
    count = len(anchors)
    per_row = 0 if negatives is None else negatives.shape[1]
    exists = np.ones((count, per_row), bool) if negative_mask is None else negative_mask.cpu().numpy()
    present = [*range(2 * count), *(2 * count + np.flatnonzero(exists)).tolist()]
    wanted = range(count)[rows or slice(None)]
    cuts = sorted(zip(dims or [anchors.shape[1]], dim_weights or [1.0] * len(dims or [1]), strict=True))[::-1]
    tau = float(temperature)

    text_ids = list(range(count * (2 + per_row)))
    if anchor_ids is not None and positive_ids is not None:
        text_ids = [*anchor_ids.tolist(), *positive_ids.tolist()]
        text_ids += [] if negative_ids is None else negative_ids.flatten().tolist()
    trusted = set()
    if trusted_negatives is not None:
        trusted = {2 * count + place for place in np.flatnonzero(trusted_negatives.cpu().numpy()).tolist()}
    students = [_unit(_stacked(anchors, positives, negatives), present, dim) for dim, _ in cuts]
    guides = [
        _unit(_stacked(*one), present) for one in _guides(guide_anchors, guide_positives, guide_negatives)
    ]
    if policy.scorer == "student":
        guides = [students[0]]

    closest = math.inf
    decided = []
    for i in range(count):
        known = set()
        if policy.compat == "default":
            known = {text_ids[i], text_ids[count + i]}
            if known_ids is not None and known_offsets is not None:
                known |= set(known_ids[known_offsets[i] : known_offsets[i + 1]].tolist())
        row = Row()
        judged = []
        for candidate in _candidates(i, count, per_row, present, policy):
            place = candidate.target in (i, count + i)
            is_own_positive = candidate.block == "ap" and candidate.target == count + i
            if (
                is_own_positive
                or text_ids[candidate.target] in known
                or (place and policy.compat != "sentence-transformers")
            ):
                row.excluded.append(candidate)
            elif not guides:
                row.kept.append(candidate)
            else:
                judged.append(candidate)
        votes = {}
        for number, candidate in enumerate(judged):
            verdicts = []
            for guide in guides if policy.guide_vote != "mean" else [_mean_guide(guides)]:
                threshold = float(guide[i] @ guide[count + i])
                similarity = float(guide[candidate.source] @ guide[candidate.target])
                candidate.limit = _limit(threshold, policy, candidate.block)
                closest = min(closest, abs(similarity - candidate.limit))
                verdicts.append(
                    similarity > candidate.limit if policy.strict else similarity >= candidate.limit
                )
            candidate.similarity = sum(
                float(guide[candidate.source] @ guide[candidate.target]) for guide in guides
            ) / len(guides)
            needed = {"mean": 1, "any": 1, "all": len(guides), "majority": len(guides) // 2 + 1}
            votes[number] = sum(verdicts) >= needed[policy.guide_vote]
            spared = candidate.own and (policy.trust_negatives or candidate.target in trusted)
            (row.masked if votes[number] and not spared else row.kept).append(candidate)
        if policy.max_masked is not None:
            closest = min(closest, _cap(row, judged, policy.max_masked))
        if guides and policy.starved == "keep_least_similar":
            closest = min(closest, _put_back(row, policy.min_negatives - len(row.kept)))
        if policy.starved == "skip":
            row.counts = len(row.kept) >= policy.min_negatives
        decided.append(row)

    row_weights = [1.0] * count if weights is None else weights.double().tolist()
    row_weights = [weight / math.fsum(row_weights) for weight in row_weights]
    loss = 0.0
    correct = 0
    narrowest = math.inf
    for i in wanted:
        row = decided[i]
        for number, (student, (_, cut_weight)) in enumerate(zip(students, cuts, strict=True)):
            own_cosine = float(student[i] @ student[count + i])
            numerator = [own_cosine / tau]
            denominator, rivals = [], []
            for candidate in row.kept + row.masked * (policy.action != "drop"):
                cosine = float(student[candidate.source] @ student[candidate.target])
                score = cosine / tau + _extra_weight(candidate, hardness_mode) * hardness_strength * cosine
                if candidate in row.masked and policy.action == "promote":
                    numerator.append(score)
                elif candidate in row.masked:
                    assert policy.softness is not None
                    fading = (candidate.similarity - candidate.limit) / policy.softness
                    denominator.append(score - fading)
                    # One that leaves softly still has a score to be beaten.
                    rivals.append(cosine / tau - fading)
                else:
                    denominator.append(score)
                    rivals.append(cosine / tau)
            row_loss = _log_sum_exp(numerator + denominator) - _log_sum_exp(numerator)
            loss += cut_weight * row_weights[i] * row_loss * row.counts
            if number == 0:
                correct += all(numerator[0] > score for score in rivals)
                narrowest = min([narrowest, *(abs(numerator[0] - score) * tau for score in rivals)])

    metrics = {
        "negatives_per_row": sum(len(decided[i].kept) for i in wanted) / len(wanted),
        "rows_without_negatives": sum(not decided[i].kept for i in wanted) / len(wanted),
        "in_batch_accuracy": correct / len(wanted),
    }
    if policy.min_negatives:
        starved = sum(len(decided[i].kept) < policy.min_negatives for i in wanted)
        metrics["starved_rows"] = starved / len(wanted)
    if guides:
        for block in policy.blocks(negatives=len(present) > 2 * count):
            if policy.negatives == "explicit" and block == "ap":
                continue
            masked = sum(one.block == block for i in wanted for one in decided[i].masked)
            kept = sum(one.block == block for i in wanted for one in decided[i].kept)
            metrics[f"mask_rate/{block}"] = masked / max(masked + kept, 1)

    def dense_loss(texts: Tensor, tau: Tensor) -> Tensor:
        """The same sum as plain tensor operations that autograd can differentiate."""
        total = torch.zeros((), dtype=torch.float64)
        for i in wanted:
            row = decided[i]
            used = row.kept + row.masked * (policy.action != "drop")
            for dim, cut_weight in cuts:
                sources = texts[[i, *(candidate.source for candidate in used)], :dim]
                targets = texts[[count + i, *(candidate.target for candidate in used)], :dim]
                lengths = sources.norm(dim=1) * targets.norm(dim=1)
                cosines = (sources * targets).sum(1) / lengths.masked_fill(lengths == 0, 1)
                extra = torch.tensor([0.0, *(_extra_weight(one, hardness_mode) for one in used)])
                scores = cosines / tau + hardness_strength * extra.double() * cosines.detach()
                is_masked = torch.tensor([False, *(one in row.masked for one in used)])
                if policy.action == "soften":
                    lowered = [
                        (one.similarity - one.limit) / policy.softness if one in row.masked else 0.0
                        for one in used
                    ]
                    scores = scores - torch.tensor([0.0, *lowered], dtype=torch.float64)
                is_positive = torch.zeros(len(scores), dtype=torch.bool)
                is_positive[0] = True
                if policy.action == "promote":
                    is_positive |= is_masked
                row_loss = scores.logsumexp(0) - scores[is_positive].logsumexp(0)
                total = total + cut_weight * row_weights[i] * row_loss * row.counts
        return total

    gradients = _gradients(anchors, positives, negatives, tau, dense_loss, loss)
    return Reference(loss, gradients, metrics, decided, closest, narrowest)


def _candidates(i: int, count: int, per_row: int, present: list[int], policy: MaskPolicy) -> list[Candidate]:
    """All texts that row i meets, by block."""
    anchor, positive = i, count + i
    met = []
    for block in policy.blocks(negatives=len(present) > 2 * count):
        for j in present:
            kind = 0 if j < count else 1 if j < 2 * count else 2
            own = kind == 2 and (j - 2 * count) // per_row == i
            if policy.negatives == "explicit" and not own and j != positive:
                continue
            if kind == {"ap": 1, "aa": 0, "an": 2, "pp": 1, "pa": 0}[block]:
                met.append(Candidate(block, positive if block in ("pp", "pa") else anchor, j, own))
    return met


def _limit(threshold: float, policy: MaskPolicy, block: str) -> float:
    margin = policy.margin if isinstance(policy.margin, (float, int)) else policy.margin.get(block, 0.0)  # type: ignore[union-attr, call-overload]
    assert not isinstance(margin, MarginSchedule)
    size = abs(threshold) if policy.margin_strategy == "relative" else 1.0
    limit = threshold - margin * size
    if policy.limit_floor is not None:
        limit = max(limit, policy.limit_floor)
    if policy.limit_ceiling is not None:
        limit = min(limit, policy.limit_ceiling)
    return limit


def _cap(row: Row, judged: list[Candidate], most: float) -> float:
    """Let at most so many leave in each block; returns how close the order was."""
    closest = math.inf
    for block in BLOCKS:
        leaving = sorted((one for one in row.masked if one.block == block), key=lambda one: -one.similarity)
        allowed = int(most)
        if 0 < most < 1:
            allowed = math.floor(most * sum(one.block == block for one in judged) + 1e-9)
        if len(leaving) > allowed:
            if allowed:
                closest = min(closest, leaving[allowed - 1].similarity - leaving[allowed].similarity)
            row.kept += leaving[allowed:]
            row.masked = [one for one in row.masked if one.block != block] + leaving[:allowed]
    return closest


def _put_back(row: Row, missing: int) -> float:
    """Put the least similar back until so many more stay; returns how close the order was."""
    closest = math.inf
    leaving = sorted(row.masked, key=lambda one: one.similarity)
    if missing > 0:
        row.kept, row.masked = row.kept + leaving[:missing], leaving[missing:]
        if missing < len(leaving):
            closest = leaving[missing].similarity - leaving[missing - 1].similarity
    return closest


def _extra_weight(candidate: Candidate, mode: str | None) -> float:
    if mode is None or candidate.block not in ("ap", "an"):
        return 0.0
    return float({"all_negatives": True, "hard_negatives": candidate.own}.get(mode, not candidate.own))


def _log_sum_exp(scores: list[float]) -> float:
    peak = max(scores)
    return peak + math.log(math.fsum(math.exp(score - peak) for score in scores))


def _guides(*roles: Tensor | Sequence[Tensor] | None) -> list[list[Tensor | None]]:
    """Anchors, positives and negatives of each guide."""
    if roles[0] is None:
        return []
    if isinstance(roles[0], Tensor):
        return [list(roles)]  # type: ignore[list-item]
    return [[None if role is None else role[number] for role in roles] for number in range(len(roles[0]))]


class _mean_guide:
    """Several guides as one, whose similarities are the mean of theirs."""

    def __init__(self, guides: list[np.ndarray]) -> None:
        self.vectors = np.concatenate(guides, axis=1) / math.sqrt(len(guides))

    def __getitem__(self, text: int) -> np.ndarray:
        return self.vectors[text]


def _stacked(first: Tensor, second: Tensor, third: Tensor | None) -> Tensor:
    """Anchors, positives and negatives one after another, in float64."""
    parts = [first, second] if third is None else [first, second, third.flatten(0, 1)]
    return torch.cat([part.double() for part in parts])


def _unit(vectors: Tensor, present: list[int], dim: int | None = None) -> np.ndarray:
    """Normalised; padding, which may hold anything, becomes zero, and zero vectors stay."""
    vectors = vectors[:, :dim]
    unit = np.zeros(vectors.shape)
    for text in present:
        vector = vectors[text].detach().cpu().numpy()
        unit[text] = vector / (math.sqrt(math.fsum(vector**2)) or 1.0)
    return unit


def _gradients(
    anchors: Tensor,
    positives: Tensor,
    negatives: Tensor | None,
    tau: float,
    dense_loss,
    expected: float,
) -> dict[str, Tensor]:
    """Differentiate the dense version of the loss, which must agree with the other."""
    inputs = {"anchors": anchors, "positives": positives}
    if negatives is not None:
        inputs["negatives"] = negatives
    leaves = {name: value.detach().double().cpu().requires_grad_() for name, value in inputs.items()}
    temperature = torch.tensor(tau, dtype=torch.float64, requires_grad=True)
    loss = dense_loss(_stacked(leaves["anchors"], leaves["positives"], leaves.get("negatives")), temperature)
    assert abs(loss.item() - expected) <= 1e-10 * max(1.0, expected), "the two references disagree"
    gradients: dict[str, Tensor] = {}
    if loss.requires_grad:
        loss.backward()
    for name, leaf in (leaves | {"temperature": temperature}).items():
        gradients[name] = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
    return gradients
