"""One sweep over row chunks: scores, mask, softmax and all gradients, without a rows × rows matrix.

The softmax runs over rows only, so a chunk of rows holds all that its share of the loss and of the
gradients needs. Each chunk computes the student's and the guide's scores by matrix product, masks in
place, takes the softmax against each row's true maximum and adds its gradients; the backward pass only
scales them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from gistembed.loss.softmax import Hardness, hardened, slopes_in_place
from gistembed.loss.view import View
from gistembed.mask import BatchMask, Columns, score_rows

# Bytes of one chunk's scores. On a CPU they should stay near the cores; an accelerator has nothing nearer
# than its memory. More rows than the most gain nothing; with fewer than the fewest, each chunk would read
# and write all gradients for too little work.
_CHUNK_BYTES = 64 << 20
_CHUNK_BYTES_ON_ACCELERATOR = 512 << 20
_MOST_CHUNK_ROWS = 1024
_FEWEST_CHUNK_ROWS = 256
# Where a row meets the texts of its own row only, the others of the chunk are placeholders.
_OWN_SCOPE_CHUNK_ROWS = 64


@dataclass(frozen=True)
class Sweep:
    """All that a sweep needs besides the embeddings; what belongs to texts is stacked as in `BatchTexts`.

    Attributes:
        mask: The rules, and who is who.
        unit: Student embeddings of all texts at length 1.
        inverse_norms: 1 over the length that they had; 0 for zero vectors.
        guides: Normalised vectors of all texts, by guide; none at all without a guide or where the student
            scores.
        rows: The rows whose loss is wanted; all texts are candidates all the same.
        row_weights: Weights of the batch's rows, summing to 1.
        temperature: τ.
        dims: Leading dimensions that each view of the embeddings keeps, the widest first.
        dim_weights: Weight of each view's loss.
        hardness: Extra weight for hard candidates; None for none.
        chunk_rows: Rows scored at a time; None chooses by memory.
    """

    mask: BatchMask
    unit: Float[Tensor, "texts dim"]
    inverse_norms: Float[Tensor, "texts 1"]
    guides: tuple[Float[Tensor, "texts _"], ...]
    rows: slice
    row_weights: Float[Tensor, " rows"]
    temperature: float
    dims: tuple[int, ...]
    dim_weights: tuple[float, ...]
    hardness: Hardness | None
    chunk_rows: int | None


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
    embeddings: Sequence[Float[Tensor, "_ dim"]], temperature: Float[Tensor, ""], sweep: Sweep
) -> SweepOutput:
    """Run the sweep.

    Args:
        embeddings: The parts of the stack that ``sweep.unit`` was made from; gradients go there.
        temperature: τ as a tensor; a gradient goes there if it wants one.
        sweep: Everything else.
    """
    return SweepOutput(*_SweepFunction.apply(sweep, temperature, *embeddings))  # type: ignore[no-untyped-call]


class _SweepFunction(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 — torch gives it no type
        sweep: Sweep,
        temperature: Float[Tensor, ""],
        *embeddings: Float[Tensor, "_ dim"],
    ) -> tuple[Tensor, ...]:
        _, temperature_learns, *embeddings_learn = ctx.needs_input_grad
        ctx.set_materialize_grads(False)
        ctx.parts = [len(part) for part in embeddings]
        learns = temperature_learns or any(embeddings_learn)
        totals = _Totals(sweep, learns=learns)
        step = _chunk_rows(sweep)
        for start in range(sweep.rows.start, sweep.rows.stop, step):
            totals.add_chunk(slice(start, min(start + step, sweep.rows.stop)))
        totals.finish(temperature_learns=temperature_learns)
        eligible = sweep.mask.eligible(sweep.rows).to(totals.masked.dtype)
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
            return (None,) * (2 + len(ctx.parts))
        temperature_gradient, embedding_gradient = ctx.saved_tensors
        parts = embedding_gradient.split(ctx.parts)
        return None, temperature_gradient * upstream, *(part * upstream for part in parts)


class _Totals:
    """Loss, counts and gradients, summed over the chunks so far."""

    def __init__(self, sweep: Sweep, *, learns: bool) -> None:
        unit = sweep.unit
        rows = sweep.rows.stop - sweep.rows.start
        self.loss = unit.new_zeros(())
        self.masked = unit.new_zeros(len(sweep.mask.blocks))
        self.left = unit.new_empty(rows)
        self.correct = unit.new_empty(rows)
        self.embedding_gradient = unit.new_empty(0)
        self.temperature_gradient = unit.new_zeros(())
        self._sweep = sweep
        self._learns = learns
        whole = View(unit, sweep.inverse_norms, learns=learns)
        self._views = [whole.leading(dim) for dim in sweep.dims]
        self._scores, self._positives = _Room(unit), _Room(unit)
        # A guide is compared in its own precision.
        self._similarities = [_Room(guide) for guide in sweep.guides or (unit,)]

    def add_chunk(self, rows: slice) -> None:
        """Score, mask and differentiate these rows."""
        sweep, policy, texts = self._sweep, self._sweep.mask.policy, self._sweep.mask.texts
        columns = sweep.mask.columns(rows)
        shape = (rows.stop - rows.start, columns.width)
        scale = 1 / sweep.temperature
        scores = score_rows(self._views[0].unit, texts, rows, columns, self._scores.shaped(*shape), scale)
        mask = sweep.mask.decide(rows, columns, self._similarities_of(rows, columns, scores), overwrite=True)
        self.masked += mask.masked.sum(0)
        here = slice(rows.start - sweep.rows.start, rows.stop - sweep.rows.start)
        self.left[here] = mask.left
        weights = sweep.row_weights[rows]
        if policy.starved == "skip":
            weights = weights * (mask.left >= policy.min_negatives)

        for number, (view, view_weight) in enumerate(zip(self._views, sweep.dim_weights, strict=True)):
            if number:
                score_rows(view.unit, texts, rows, columns, scores, scale)
            results = slopes_in_place(
                scores,
                sweep.mask.own_diagonal(rows),
                mask,
                softness=policy.softness,
                room=self._positives.shaped(*shape) if policy.action == "promote" else None,
                harden=self._hardening(rows, columns),
            )
            if number == 0:
                self.correct[here] = results.correct.to(self.correct.dtype)
            self.loss += view_weight * (weights @ results.losses)
            if self._learns:
                scores *= (weights * (view_weight * scale)).unsqueeze(1)
                view.add_gradients(scores, texts, rows, columns)

    def finish(self, *, temperature_learns: bool) -> None:
        """Bring the views' gradients together."""
        sweep = self._sweep
        if not self._learns:
            return
        if temperature_learns:
            along = torch.stack([view.along() for view in self._views]).sum()
            self.temperature_gradient = along * (-1 / sweep.temperature)
        if sweep.dims == (sweep.unit.shape[1],):
            self.embedding_gradient = self._views[0].input_gradient()
            return
        self.embedding_gradient = torch.zeros_like(sweep.unit)
        for view, dim in zip(self._views, sweep.dims, strict=True):
            self.embedding_gradient[:, :dim] += view.input_gradient()

    def _similarities_of(self, rows: slice, columns: Columns, scores: Tensor) -> list[Tensor]:
        sweep = self._sweep
        rooms = [room.shaped(*scores.shape) for room in self._similarities]
        if sweep.mask.policy.scorer == "student":
            return [torch.mul(scores, sweep.temperature, out=rooms[0])]
        return [
            score_rows(guide, sweep.mask.texts, rows, columns, room)
            for guide, room in zip(sweep.guides, rooms, strict=False)
        ]

    def _hardening(self, rows: slice, columns: Columns) -> Callable[[Tensor], None] | None:
        if self._sweep.hardness is None:
            return None
        own = self._sweep.mask.own_negatives(rows, columns) if "an" in columns.blocks else None
        return partial(
            hardened,
            columns=columns,
            own_negatives=own,
            hardness=self._sweep.hardness,
            temperature=self._sweep.temperature,
        )


class _Room:
    """Memory for the scores of one chunk, used again for the next."""

    def __init__(self, like: Tensor) -> None:
        self._memory = like.new_empty(0)

    def shaped(self, rows: int, columns: int) -> Tensor:
        if self._memory.numel() < rows * columns:
            self._memory = self._memory.new_empty(rows * columns)
        return self._memory[: rows * columns].view(rows, columns)


def _chunk_rows(sweep: Sweep) -> int:
    """Rows scored at a time."""
    rows = int(sweep.rows.stop - sweep.rows.start)
    if sweep.chunk_rows is not None:
        return sweep.chunk_rows
    if sweep.mask.policy.negatives == "explicit":
        return min(rows, _OWN_SCOPE_CHUNK_ROWS)
    budget = _CHUNK_BYTES if sweep.unit.device.type == "cpu" else _CHUNK_BYTES_ON_ACCELERATOR
    fitting = budget // (sweep.mask.columns(sweep.rows).width * sweep.unit.element_size())
    return min(rows, _MOST_CHUNK_ROWS, max(fitting, _FEWEST_CHUNK_ROWS))
