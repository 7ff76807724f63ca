"""Checks what the loss is given, and stacks it as the mask and the sweep want it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gistembed.mask import BatchTexts, MaskPolicy, inverse_lengths, mean_scorer, unit_length

GuideTensors = Tensor | Sequence[Tensor] | None


class NotFiniteError(ValueError):
    """An embedding of the student is not finite: the model is broken, not the call.

    Attributes:
        rows: The rows of the batch with such an embedding, in order.
    """

    def __init__(self, message: str, rows: Sequence[int]) -> None:
        """Say it of some rows.

        Args:
            message: What is said of the first.
            rows: All of them.
        """
        super().__init__(message)
        self.rows = tuple(rows)


class GuideNotFiniteError(NotFiniteError):
    """A guide's vector is zero or not finite: a mask from it would be wrong."""


@dataclass(frozen=True)
class BatchShape:
    """The shape of a batch, and which of its hard negatives exist.

    Attributes:
        rows: Rows.
        per_row: Places for hard negatives in each row; 0 without any.
        exists: Which of them are taken, row after row; None if all are.
        device: Where everything lies.
    """

    rows: int
    per_row: int
    exists: Bool[Tensor, " places"] | None
    device: torch.device

    def flat(self, negatives: Tensor) -> Tensor:
        """The hard negatives that exist, row after row; padding never reaches a product, whatever it is."""
        flat = negatives.flatten(0, 1)
        return flat if self.exists is None else flat[self.exists]

    def parts(self, anchors: Tensor, positives: Tensor, negatives: Tensor | None) -> list[Tensor]:
        """What the stack of `BatchTexts` is put together from."""
        return [positives, anchors] if negatives is None else [positives, anchors, self.flat(negatives)]

    def named(self, place: int) -> tuple[str, int]:
        """What a place in the stack holds: the name of the argument, and the row."""
        if place < 2 * self.rows:
            return "positives" if place < self.rows else "anchors", place % self.rows
        return "negatives", int(self.negative_rows()[place - 2 * self.rows])

    def negative_rows(self) -> Int[Tensor, " negatives"]:
        """The row of each hard negative that exists."""
        if not self.per_row:
            return torch.empty(0, dtype=torch.int64, device=self.device)
        rows = torch.arange(self.rows, device=self.device).repeat_interleave(self.per_row)
        return rows if self.exists is None else rows[self.exists]


def batch_shape(
    anchors: Tensor, positives: Tensor, negatives: Tensor | None, negative_mask: Tensor | None
) -> BatchShape:
    """The shape that the student's embeddings agree on.

    Raises:
        ValueError: If they don't.
    """
    if anchors.ndim != 2 or anchors.shape[0] == 0:
        raise ValueError(f"anchors: expected (rows, dim) with at least one row, got {tuple(anchors.shape)}")
    rows, dim = anchors.shape
    if positives.shape != anchors.shape:
        raise ValueError(
            f"positives: expected the shape of anchors {(rows, dim)}, got {tuple(positives.shape)}"
        )
    if negatives is None:
        if negative_mask is not None:
            raise ValueError("negative_mask: given without negatives")
        return BatchShape(rows, 0, None, anchors.device)
    if negatives.ndim != 3 or (negatives.shape[0], negatives.shape[2]) != (rows, dim):
        raise ValueError(
            f"negatives: expected ({rows}, negatives per row, {dim}), got {tuple(negatives.shape)}"
        )
    shape = BatchShape(rows, negatives.shape[1], None, anchors.device)
    if negative_mask is None:
        return shape
    check_companion("negative_mask", negative_mask, (rows, shape.per_row), shape, boolean=True)
    return BatchShape(rows, shape.per_row, negative_mask.flatten(), anchors.device)


def check_companion(
    name: str, given: Tensor, expected: tuple[int, ...], shape: BatchShape, *, boolean: bool = False
) -> None:
    """Refuse a tensor beside the embeddings that has another shape, type or device.

    Args:
        name: What to call it.
        given: The tensor: ids or weights, or truth values.
        expected: Its shape.
        shape: The batch.
        boolean: Whether it holds truth values.

    Raises:
        ValueError: If it does not fit.
    """
    if tuple(given.shape) != expected:
        raise ValueError(f"{name}: expected {expected}, got {tuple(given.shape)}")
    if given.device != shape.device:
        raise ValueError(f"{name}: expected on {shape.device} like anchors, got on {given.device}")
    if boolean and given.dtype != torch.bool:
        raise ValueError(f"{name}: expected truth values, got {given.dtype}")


def unit_vectors(
    vectors: Float[Tensor, "texts dim"], shape: BatchShape
) -> tuple[Float[Tensor, "texts dim"], Float[Tensor, "texts 1"]]:
    """The student's embeddings at length 1, and 1 over the length they had; 0 for a zero vector, which stays.

    Args:
        vectors: Embeddings of all texts, stacked.
        shape: The batch.

    Raises:
        NotFiniteError: If a vector is not finite; the first is named.
    """
    unit, norms = unit_length(vectors)
    # The sum is finite only if all are: one look, as each would make an accelerator wait.
    if not math.isfinite(float(norms.sum())):
        raise NotFiniteError(*_said_of(norms, shape, "{name}: the vector of row {row} is not finite"))
    return unit, inverse_lengths(norms)


def batch_texts(
    shape: BatchShape,
    *,
    anchor_ids: Tensor | None,
    positive_ids: Tensor | None,
    negative_ids: Tensor | None,
    known_ids: Tensor | None,
    known_offsets: Tensor | None,
    trusted: Tensor | None,
) -> BatchTexts:
    """Who is who; without ids every text is distinct from all others.

    Raises:
        ValueError: If ids that belong together are not given together, or a shape is wrong.
    """
    rows, per_row = shape.rows, shape.per_row
    given = {"anchor_ids": anchor_ids, "positive_ids": positive_ids, "negative_ids": negative_ids}
    distinct = all(ids is None for ids in given.values())
    if distinct:
        every = torch.arange(rows * (2 + per_row), device=shape.device)
        anchor_ids, positive_ids = every[:rows], every[rows : 2 * rows]
        negative_ids = every[2 * rows :].reshape(rows, per_row)
        if known_ids is not None:
            raise ValueError("known_ids: given without the ids of the texts")
    if anchor_ids is None or positive_ids is None or (negative_ids is None and per_row):
        missing = next(name for name, value in given.items() if value is None)
        raise ValueError(f"{missing}: missing; give the ids of all texts or of none")
    check_companion("anchor_ids", anchor_ids, (rows,), shape)
    check_companion("positive_ids", positive_ids, (rows,), shape)
    if negative_ids is not None and negative_ids.numel() and not per_row:
        raise ValueError("negative_ids: given without negatives")
    if per_row:
        assert negative_ids is not None
        check_companion("negative_ids", negative_ids, (rows, per_row), shape)
    if (known_ids is None) != (known_offsets is None):
        raise ValueError("known_offsets: expected exactly where there are known_ids")
    if known_offsets is not None and known_ids is not None:
        check_companion("known_offsets", known_offsets, (rows + 1,), shape)
        check_companion("known_ids", known_ids, (int(known_offsets[-1]),), shape)
    if trusted is not None:
        if not per_row:
            raise ValueError("trusted_negatives: given without negatives")
        check_companion("trusted_negatives", trusted, (rows, per_row), shape, boolean=True)
        trusted = shape.flat(trusted)
    return BatchTexts(
        rows=rows,
        ids=torch.cat(shape.parts(anchor_ids, positive_ids, negative_ids if per_row else None)),
        negative_rows=shape.negative_rows(),
        known_ids=known_ids,
        known_offsets=known_offsets,
        trusted=trusted,
        distinct=distinct,
    )


def guide_vectors(
    anchors: GuideTensors,
    positives: GuideTensors,
    negatives: GuideTensors,
    shape: BatchShape,
    policy: MaskPolicy,
) -> tuple[Float[Tensor, "texts _"], ...]:
    """Normalised vectors of all texts, stacked, by guide; none at all without a guide.

    Several guides whose similarities are averaged become one; see `mean_scorer`.

    Raises:
        ValueError: If guide tensors are not given together or don't fit.
        GuideNotFiniteError: If a vector is zero or not finite; the first is named.
    """
    if anchors is None and positives is None and negatives is None:
        if policy.compat == "sentence-transformers" and policy.scorer == "guide":
            raise ValueError("guide_anchors: missing; compat 'sentence-transformers' needs a guide")
        return ()
    if policy.scorer == "student":
        raise ValueError("guide_anchors: given, but the policy lets the student score; leave the guide out")
    if anchors is None or positives is None:
        missing = "guide_anchors" if anchors is None else "guide_positives"
        raise ValueError(f"{missing}: missing; give the guide's vectors for all texts or for none")
    if (negatives is None) != (shape.per_row == 0):
        raise ValueError("guide_negatives: expected exactly where there are negatives")
    by_role = [_listed(vectors) for vectors in (anchors, positives, negatives)]
    count = len(by_role[0])
    if not count:
        raise ValueError("guide_anchors: expected at least one guide, got none")
    for name, vectors in zip(("guide_positives", "guide_negatives"), by_role[1:], strict=True):
        if len(vectors) not in (count, 0):
            raise ValueError(f"{name}: expected {count} guides like guide_anchors, got {len(vectors)}")
    guides = [
        _unit_guide(*(vectors[number] if vectors else None for vectors in by_role), shape=shape)
        for number in range(count)
    ]
    if policy.guide_vote == "mean" and count > 1:
        return (mean_scorer(guides),)
    return tuple(guides)


def _listed(vectors: GuideTensors) -> list[Tensor]:
    if vectors is None:
        return []
    return [vectors] if isinstance(vectors, Tensor) else list(vectors)


def _unit_guide(
    anchors: Tensor | None, positives: Tensor | None, negatives: Tensor | None, *, shape: BatchShape
) -> Float[Tensor, "texts guide_dim"]:
    assert anchors is not None
    assert positives is not None
    if anchors.ndim != 2 or anchors.shape[0] != shape.rows:
        raise ValueError(f"guide_anchors: expected ({shape.rows}, guide dim), got {tuple(anchors.shape)}")
    if positives.shape != anchors.shape:
        raise ValueError(
            f"guide_positives: expected the shape of guide_anchors {tuple(anchors.shape)}, "
            f"got {tuple(positives.shape)}"
        )
    expected = (shape.rows, shape.per_row, anchors.shape[1])
    if negatives is not None and tuple(negatives.shape) != expected:
        raise ValueError(f"guide_negatives: expected {expected}, got {tuple(negatives.shape)}")
    for name, given in (("guide_anchors", anchors), ("guide_positives", positives)):
        if given.device != shape.device:
            raise ValueError(f"{name}: expected on {shape.device} like anchors, got on {given.device}")
    vectors = torch.cat(shape.parts(anchors, positives, negatives)).detach()
    vectors = vectors.to(torch.promote_types(vectors.dtype, torch.float32))
    unit, norms = unit_length(vectors)
    # Lengths and their inverses add up to a finite number only if none is 0 or not finite.
    usable = norms + norms.reciprocal()
    if not math.isfinite(float(usable.sum())):
        message = "guide_{name}: the vector of row {row} is zero or not finite; a mask from it would be wrong"
        raise GuideNotFiniteError(*_said_of(usable, shape, message))
    return unit


def _said_of(numbers: Float[Tensor, "texts 1"], shape: BatchShape, message: str) -> tuple[str, list[int]]:
    """A message about the first number that is not finite, and the rows of all of them."""
    places = (~torch.isfinite(numbers)).squeeze(1).nonzero().squeeze(1).tolist()
    name, row = shape.named(places[0])
    return message.format(name=name, row=row), sorted({shape.named(place)[1] for place in places})
