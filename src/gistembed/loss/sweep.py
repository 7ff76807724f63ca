"""One sweep over row chunks: scores, mask, softmax and all gradients, without a rows × rows matrix.

The softmax runs over rows only, so a chunk of rows holds all that its share of the loss and of the
gradients needs. Each chunk computes the student's and the guide's scores by matrix product, masks in
place, takes the softmax against each row's true maximum and adds its gradients; the backward pass only
scales them.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from gistembed.loss.kernel import FusedKernel, Trial, fused_kernel, tf32_allowed
from gistembed.loss.plan import SweepPlan
from gistembed.loss.softmax import hardened, slopes_in_place
from gistembed.loss.view import View
from gistembed.mask import BLOCK_SIDES, Columns, rows_of, score_rows

_TRIAL_RUNS = 3


class SweepOutput(NamedTuple):
    """Loss, and the counts that the metrics are made from.

    Attributes:
        loss: Weighted sum over the rows wanted.
        masked: Candidates that the guide took out, by block.
        eligible: Candidates that it could have taken out, by block.
        left: Candidates left, by row.
        correct: Whether the positive beats every candidate left, by row.
    """

    loss: Float[Tensor, ""]
    masked: Float[Tensor, " blocks"]
    eligible: Float[Tensor, " blocks"]
    left: Float[Tensor, " rows"]
    correct: Float[Tensor, " rows"]


def masked_softmax_sweep(
    embeddings: Sequence[Float[Tensor, "_ dim"]], temperature: Float[Tensor, ""], plan: SweepPlan
) -> SweepOutput:
    """Run the sweep.

    Args:
        embeddings: The parts of the stack that ``plan.unit`` was made from; gradients go there.
        temperature: τ as a tensor; a gradient goes there if it wants one.
        plan: Everything else.
    """
    # Inside, gradients are always off.
    learning = torch.is_grad_enabled()
    # Triton launches on the current device, whatever the tensors' own.
    with torch.cuda.device_of(plan.unit):  # type: ignore[no-untyped-call]
        return SweepOutput(*_SweepFunction.apply(plan, learning, temperature, *embeddings))  # type: ignore[no-untyped-call]


class _SweepFunction(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 — torch gives it no type
        plan: SweepPlan,
        learning: bool,
        temperature: Float[Tensor, ""],
        *embeddings: Float[Tensor, "_ dim"],
    ) -> tuple[Tensor, ...]:
        _, _, temperature_learns, *embeddings_learn = (learning and needed for needed in ctx.needs_input_grad)
        ctx.set_materialize_grads(False)
        ctx.parts = [len(part) for part in embeddings]
        fused = fused_kernel(plan, partial(_try_out, plan))
        totals = _Totals(plan, fused, learns=temperature_learns or any(embeddings_learn))
        for rows in plan.chunks():
            totals.add_chunk(rows)
        totals.finish(temperature_learns=temperature_learns)
        eligible = plan.mask.eligible(plan.rows).to(totals.masked.dtype)
        ctx.mark_non_differentiable(totals.masked, eligible, totals.left, totals.correct)
        ctx.save_for_backward(totals.temperature_gradient, totals.embedding_gradient)
        return totals.loss, totals.masked, eligible, totals.left, totals.correct

    @staticmethod
    def backward(
        ctx: Any,  # noqa: ANN401
        upstream: Float[Tensor, ""] | None,
        *_counts: None,
    ) -> tuple[Tensor | None, ...]:
        # Autograd records a backward pass only to differentiate it again; the saved gradients are constants
        # to it, so it would find a second derivative that lacks most of its terms.
        if torch.is_grad_enabled():
            raise RuntimeError(
                "guided_contrastive_loss has no second derivative: gradients are made in the forward pass; "
                "call backward without create_graph"
            )
        if upstream is None:
            return (None,) * (3 + len(ctx.parts))
        temperature_gradient, embedding_gradient = ctx.saved_tensors
        parts = embedding_gradient.split(ctx.parts)
        return None, None, temperature_gradient * upstream, *(part * upstream for part in parts)


def _try_out(plan: SweepPlan, fused: FusedKernel | None) -> Trial:
    """The first chunk of a sweep, by one of the ways."""
    from torch.utils.benchmark import Timer  # not at the top: half a second

    first = plan.chunks()[0]
    totals = _Totals(replace(plan, rows=first), fused, learns=True)
    totals.add_chunk(first)
    loss, left = float(totals.loss), float(totals.left.sum())
    timer = Timer("totals.add_chunk(first)", globals={"totals": totals, "first": first})
    return Trial(timer.timeit(_TRIAL_RUNS).mean, loss, left)


class _Totals:
    """Loss, counts and gradients, summed over the chunks so far."""

    def __init__(self, plan: SweepPlan, fused: FusedKernel | None, *, learns: bool) -> None:
        unit = plan.unit
        rows = plan.rows.stop - plan.rows.start
        self.loss = unit.new_zeros(())
        self.masked = unit.new_zeros(len(plan.mask.blocks))
        self.left = unit.new_empty(rows)
        self.correct = unit.new_empty(rows)
        self.embedding_gradient = unit.new_empty(0)
        self.temperature_gradient = unit.new_zeros(())
        self._plan = plan
        self._learns = learns
        whole = View(unit, plan.inverse_norms, learns=learns)
        self._views = [whole.leading(dim) for dim in plan.dims]
        self._scores, self._positives = _Room(unit), _Room(unit)
        # A guide is compared in its own precision.
        scorers = (unit,) if plan.mask.policy.scorer == "student" else plan.guides
        self._similarities = [_Room(scorer) for scorer in scorers]
        self._fused = None if fused is None else _FusedChunks(plan, fused)

    def add_chunk(self, rows: slice) -> None:
        """Score, mask and differentiate these rows."""
        if self._fused is None:
            self._add_plain_chunk(rows)
        else:
            self._add_fused_chunk(rows, self._fused)

    def _add_plain_chunk(self, rows: slice) -> None:
        plan, policy, texts = self._plan, self._plan.mask.policy, self._plan.mask.texts
        columns = plan.mask.columns(rows)
        shape = (rows.stop - rows.start, columns.width)
        scale = 1 / plan.temperature
        scores = score_rows(self._views[0].unit, texts, rows, columns, self._scores.shaped(*shape), scale)
        mask = plan.mask.decide(rows, columns, self._similarities_of(rows, columns, scores), overwrite=True)
        self.masked += mask.masked.sum(0)
        weights = self._weights(rows, mask.left)
        for number, (view, view_weight) in enumerate(zip(self._views, plan.dim_weights, strict=True)):
            if number:
                score_rows(view.unit, texts, rows, columns, scores, scale)
            results = slopes_in_place(
                scores,
                plan.mask.own_diagonal(rows),
                mask,
                softness=policy.softness,
                room=self._positives.shaped(*shape) if policy.action == "promote" else None,
                harden=self._hardening(rows, columns),
            )
            if number == 0:
                self.correct[self._here(rows)] = results.correct.to(self.correct.dtype)
            self.loss += view_weight * (weights @ results.losses)
            if self._learns:
                scores *= (weights * (view_weight * scale)).unsqueeze(1)
                view.add_gradients(scores, texts, rows, columns)

    def _add_fused_chunk(self, rows: slice, fused: "_FusedChunks") -> None:
        plan, texts = self._plan, self._plan.mask.texts
        columns = plan.mask.columns(rows)
        scores = self._scores.shaped(rows.stop - rows.start, columns.width)
        masked, log_all, own_scores, strongest = fused.score(rows, columns, scores)
        self.masked += masked.sum(0)
        weights = self._weights(rows, plan.mask.eligible_by_row(rows) - masked.sum(1))
        self.correct[self._here(rows)] = (own_scores > strongest).to(self.correct.dtype)
        self.loss += plan.dim_weights[0] * (weights @ (log_all - own_scores))
        if self._learns:
            fused.slopes(scores, log_all, weights * (plan.dim_weights[0] / plan.temperature), rows)
            self._views[0].add_gradients(scores, texts, rows, columns)

    def finish(self, *, temperature_learns: bool) -> None:
        """Bring the views' gradients together."""
        plan = self._plan
        if not self._learns:
            return
        if temperature_learns:
            along = torch.stack([view.along() for view in self._views]).sum()
            self.temperature_gradient = along * (-1 / plan.temperature)
        if plan.dims == (plan.unit.shape[1],):
            self.embedding_gradient = self._views[0].input_gradient()
            return
        self.embedding_gradient = torch.zeros_like(plan.unit)
        for view, dim in zip(self._views, plan.dims, strict=True):
            self.embedding_gradient[:, :dim] += view.input_gradient()

    def _here(self, rows: slice) -> slice:
        """A chunk's rows among those wanted."""
        return slice(rows.start - self._plan.rows.start, rows.stop - self._plan.rows.start)

    def _weights(self, rows: slice, left: Tensor) -> Float[Tensor, " rows"]:
        """Weights of a chunk's rows, once it is known how many candidates they have left."""
        self.left[self._here(rows)] = left.to(self.left.dtype)
        policy, weights = self._plan.mask.policy, self._plan.row_weights[rows]
        return weights * (left >= policy.min_negatives) if policy.starved == "skip" else weights

    def _similarities_of(self, rows: slice, columns: Columns, scores: Tensor) -> list[Tensor]:
        plan = self._plan
        rooms = [room.shaped(*scores.shape) for room in self._similarities]
        if plan.mask.policy.scorer == "student":
            return [torch.mul(scores, plan.temperature, out=rooms[0])]
        return [
            score_rows(guide, plan.mask.texts, rows, columns, room)
            for guide, room in zip(plan.guides, rooms, strict=True)
        ]

    def _hardening(self, rows: slice, columns: Columns) -> Callable[[Tensor], None] | None:
        if self._plan.hardness is None:
            return None
        own = self._plan.mask.own_negatives(rows, columns) if "an" in columns.blocks else None
        return partial(
            hardened,
            columns=columns,
            own_negatives=own,
            hardness=self._plan.hardness,
            temperature=self._plan.temperature,
        )


class _FusedChunks:
    """Chunks of rows through the fused kernel, block by block."""

    def __init__(self, plan: SweepPlan, kernel: FusedKernel) -> None:
        self._plan = plan
        self._kernel = kernel

    def score(
        self, rows: slice, columns: Columns, out: Float[Tensor, "chunk candidates"]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Masked scores; who was masked, by row and block, softmax denominators, own and strongest scores."""
        plan, mask = self._plan, self._plan.mask
        guide = plan.guides[0]
        places = {side: rows_of(mask.texts, side, rows) for side in ("anchors", "positives")}
        thresholds = torch.linalg.vecdot(guide[places["anchors"]], guide[places["positives"]])
        found = []
        for block, texts, span in zip(columns.blocks, columns.texts, columns.spans, strict=True):
            place = places[BLOCK_SIDES[block].rows]
            found.append(
                self._kernel.module.masked_scores(
                    (plan.unit[place], plan.unit[texts]),
                    (guide[place], guide[texts]),
                    self._kernel.row_codes[rows],
                    self._kernel.codes[texts],
                    mask.policy.limits(block, thresholds),
                    out[:, span],
                    own=mask.own_diagonal(rows) if block == "ap" else None,
                    scale=1 / plan.temperature,
                    strict=mask.policy.strict,
                    tf32=tf32_allowed(),
                )
            )
        own_scores = found[0].own_scores
        peaks, sums = torch.cat([one.peaks for one in found], 1), torch.cat([one.sums for one in found], 1)
        strongest = peaks.amax(dim=1)
        peak = torch.maximum(strongest, own_scores)
        total = (sums * (peaks - peak.unsqueeze(1)).exp()).sum(1) + (own_scores - peak).exp()
        masked = torch.stack([one.masked for one in found], dim=1)
        return masked, peak + total.log(), own_scores, strongest

    def slopes(self, scores: Tensor, log_all: Tensor, factors: Tensor, rows: slice) -> None:
        """Scores to slopes, in place."""
        self._kernel.module.slopes_from_scores(
            scores, log_all, factors, own=self._plan.mask.own_diagonal(rows)
        )


class _Room:
    """Memory for the scores of one chunk, used again for the next."""

    def __init__(self, like: Tensor) -> None:
        self._memory = like.new_empty(0)

    def shaped(self, rows: int, columns: int) -> Tensor:
        if self._memory.numel() < rows * columns:
            self._memory = self._memory.new_empty(rows * columns)
        return self._memory[: rows * columns].view(rows, columns)
