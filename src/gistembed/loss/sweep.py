"""One sweep over row chunks: scores, mask, softmax and all gradients, without a rows × rows matrix.

The softmax runs over rows only, so a chunk of rows holds all that its share of the loss and of the
gradients needs. Each chunk computes the student's and the guide's scores by matrix product, masks in
place, takes a true running maximum and adds its gradients; the backward pass only scales them.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import FunctionCtx

from gistembed.mask import BlockInput, Margin, eligible_mask, keep_mask

# Scores of one chunk: small enough to stay near the cores, large enough for efficient matrix products.
_CHUNK_SCORES = 2_000_000


@dataclass(frozen=True)
class Sweep:
    """All that a sweep needs besides the embeddings.

    Attributes:
        blocks: Blocks of candidates, in the order of their columns; the first is anchors × positives.
        margins: Margin of each block.
        row_ids: (rows, known) text ids that are never negatives of a row; -1 pads.
        candidate_ids: Text ids of each input's texts.
        guide: Normalised guide vectors of each input; None without a guide.
        row_weights: (rows,) weights that sum to 1.
        chunk_rows: Rows scored at a time; None chooses by memory.
    """

    blocks: tuple[BlockInput, ...]
    margins: tuple[Margin, ...]
    row_ids: Int[Tensor, "rows known"]
    candidate_ids: tuple[Int[Tensor, " _"], ...]
    guide: tuple[Float[Tensor, "_ guide_dim"], ...] | None
    row_weights: Float[Tensor, " rows"]
    chunk_rows: int | None


class SweepOutput(NamedTuple):
    """Loss, and the counts that the metrics are made from.

    Attributes:
        loss: Weighted mean over rows.
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


def masked_softmax_sweep(inputs: list[Tensor], temperature: Float[Tensor, ""], sweep: Sweep) -> SweepOutput:
    """Run the sweep over normalised anchors, positives and, optionally, flat negatives."""
    return SweepOutput(*_SweepFunction.apply(sweep, temperature, *inputs))  # type: ignore[no-untyped-call]


class _SweepFunction(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 — torch gives it no type
        sweep: Sweep,
        temperature: Float[Tensor, ""],
        *inputs: Float[Tensor, "_ dim"],
    ) -> tuple[Tensor, ...]:
        rows = inputs[0].shape[0]
        widths = [inputs[block.columns].shape[0] for block in sweep.blocks]
        stops = torch.tensor(widths).cumsum(0).tolist()
        spans = [slice(stop - width, stop) for stop, width in zip(stops, widths, strict=True)]
        chunk_rows = sweep.chunk_rows or max(1, min(rows, _CHUNK_SCORES // stops[-1]))
        learns = any(ctx.needs_input_grad)
        gradients = [torch.zeros_like(x) for x in inputs] if learns else []
        loss = inputs[0].new_zeros(())
        temperature_gradient = inputs[0].new_zeros(())
        masked = inputs[0].new_zeros(len(widths))
        eligible_count = inputs[0].new_zeros(len(widths))
        left = inputs[0].new_empty(rows)
        correct = inputs[0].new_empty(rows)
        scores_buffer = inputs[0].new_empty(min(chunk_rows, rows), stops[-1])

        for start in range(0, rows, chunk_rows):
            chunk = slice(start, min(start + chunk_rows, rows))
            scores = scores_buffer[: chunk.stop - chunk.start]
            left_here = left[chunk].zero_()
            thresholds: Tensor | None = None
            for number, (block, span) in enumerate(zip(sweep.blocks, spans, strict=True)):
                block_scores = scores[:, span]
                torch.mm(inputs[block.rows][chunk] / temperature, inputs[block.columns].T, out=block_scores)
                keep = eligible_mask(sweep.row_ids[chunk], sweep.candidate_ids[block.columns])
                eligible_count[number] += keep.sum()
                if sweep.guide is not None:
                    guide_scores = sweep.guide[block.rows][chunk] @ sweep.guide[block.columns].T
                    if thresholds is None:
                        # From the same product as the candidates of its block, so that an equal text
                        # vector gives an equal number.
                        thresholds = guide_scores.diagonal(offset=start)
                    keep = keep_mask(keep, guide_scores, thresholds, sweep.margins[number])
                kept = keep.sum(dim=1)
                left_here += kept
                masked[number] -= kept.sum()
                block_scores.masked_fill_(~keep, -torch.inf)

            anchors, positives = inputs[0][chunk], inputs[1][chunk]
            own = (anchors * positives).sum(dim=1) / temperature
            strongest = scores.amax(dim=1)
            correct[chunk] = (own > strongest).to(own.dtype)
            peak = torch.maximum(own, strongest)
            own_share = (own - peak).exp_()
            shares = scores.sub_(peak.unsqueeze(1)).exp_()
            total = shares.sum(dim=1) + own_share
            weights = sweep.row_weights[chunk]
            loss += (weights * (total.log() + peak - own)).sum()
            if not learns:
                continue

            # d loss / d cosine: softmax share minus 1 for the positive, softmax share for the others.
            factor = weights / (total * temperature)
            shares.mul_(factor.unsqueeze(1))
            own_slope = (own_share * factor - weights / temperature).unsqueeze(1)
            gradients[0][chunk].addcmul_(own_slope, positives)
            gradients[1][chunk].addcmul_(own_slope, anchors)
            slope_times_cosine = (own_slope.squeeze(1) * own).sum() * temperature
            for block, span in zip(sweep.blocks, spans, strict=True):
                row_inputs = inputs[block.rows][chunk]
                row_gradient = shares[:, span] @ inputs[block.columns]
                slope_times_cosine += (row_gradient * row_inputs).sum()
                gradients[block.rows][chunk].add_(row_gradient)
                gradients[block.columns].addmm_(shares[:, span].T, row_inputs)
            temperature_gradient -= slope_times_cosine / temperature

        masked += eligible_count
        ctx.mark_non_differentiable(masked, eligible_count, left, correct)
        ctx.save_for_backward(temperature_gradient, *gradients)
        return loss, masked, eligible_count, left, correct

    @staticmethod
    def backward(ctx: FunctionCtx, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        # Autograd records a backward pass only to differentiate it again; the saved gradients are constants
        # to it, so it would find a second derivative that lacks most of its terms.
        if torch.is_grad_enabled():
            raise RuntimeError(
                "guided_contrastive_loss has no second derivative: gradients are made in the forward pass; "
                "call backward without create_graph"
            )
        scale = upstream[0]
        saved: tuple[Tensor, ...] = ctx.saved_tensors  # type: ignore[attr-defined]
        return None, *(gradient * scale for gradient in saved)
