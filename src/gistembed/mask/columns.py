"""The texts of a batch in one stack, the candidates that a chunk of rows meets, and their similarities."""

import math
from collections.abc import Container, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gistembed.mask.policy import BLOCK_SIDES, SYMMETRIC_BLOCKS, Side
from gistembed.terms import Block


@dataclass(frozen=True)
class BatchTexts:
    """Which texts a batch holds.

    Whatever belongs to texts (ids, vectors, gradients) stands in one stack: the rows' positives, then their
    anchors, then all hard negatives, row after row. In this order the candidates of a row are neighbours.

    Attributes:
        rows: How many rows the batch has.
        ids: Ids of all texts, in the order of the stack; equal ids mean equal texts.
        negative_rows: The row that each hard negative is of, ascending; empty without any.
        known_ids: Further texts known to be positives of a row's anchor, row after row; None without any.
        known_offsets: Those of row i are ``known_ids[known_offsets[i] : known_offsets[i + 1]]``.
        trusted: Which hard negatives their own row keeps whatever the guide says; None for none of them.
        distinct: Whether no text stands in two places, so that its place tells it as well as its id.
    """

    rows: int
    ids: Int[Tensor, " texts"]
    negative_rows: Int[Tensor, " negatives"]
    known_ids: Int[Tensor, " known"] | None = None
    known_offsets: Int[Tensor, " rows_and_one"] | None = None
    trusted: Bool[Tensor, " negatives"] | None = None
    distinct: bool = False

    def places(self, side: Side) -> slice:
        """Where the texts of one kind stand in the stack."""
        if side == "negatives":
            return slice(2 * self.rows, len(self.ids))
        start = self.rows if side == "anchors" else 0
        return slice(start, start + self.rows)


@dataclass(frozen=True)
class Columns:
    """Blocks side by side: which texts a row is contrasted with, and in which column each of them stands.

    Attributes:
        blocks: The blocks, ap first.
        texts: Where in the stack the texts of each block stand.
        spans: The columns of each block.
        own_scope: Whether a row meets only texts of its own row; those of other rows are placeholders.
    """

    blocks: tuple[Block, ...]
    texts: tuple[slice, ...]
    spans: tuple[slice, ...]
    own_scope: bool

    @classmethod
    def of(cls, blocks: tuple[Block, ...], texts: tuple[slice, ...], *, own_scope: bool) -> "Columns":
        """Blocks that hold these texts, one after another."""
        spans = []
        start = 0
        for held in texts:
            spans.append(slice(start, start + held.stop - held.start))
            start = spans[-1].stop
        return cls(blocks, texts, tuple(spans), own_scope)

    @property
    def width(self) -> int:
        """Columns in all."""
        return int(self.spans[-1].stop)

    @cached_property
    def products(self) -> list[tuple[Side, slice, slice]]:
        """The fewest matrix products that fill all columns: whose rows, which texts, which columns.

        Neighbouring blocks share one product where they compare the same side of a row with texts that are
        neighbours in the stack.
        """
        return self._products(())

    @cached_property
    def products_symmetric_apart(self) -> list[tuple[Side, slice, slice]]:
        """The same, each symmetric block having a product of its own."""
        return self._products(SYMMETRIC_BLOCKS)

    def _products(self, apart: Container[Block]) -> list[tuple[Side, slice, slice]]:
        products: list[tuple[Side, slice, slice]] = []
        joins = False
        for block, texts, span in zip(self.blocks, self.texts, self.spans, strict=True):
            side = BLOCK_SIDES[block].rows
            if (
                joins
                and block not in apart
                and products[-1][0] == side
                and products[-1][1].stop == texts.start
            ):
                _, first_texts, first_span = products.pop()
                texts, span = slice(first_texts.start, texts.stop), slice(first_span.start, span.stop)
            products.append((side, texts, span))
            joins = block not in apart
        return products


def unit_length(
    vectors: Float[Tensor, "texts dim"],
) -> tuple[Float[Tensor, "texts dim"], Float[Tensor, "texts 1"]]:
    """Vectors at length 1, and the length they had; a zero vector stays.

    There is one way to do this, so that equal vectors have equal similarities wherever they are compared.

    Args:
        vectors: The vectors.
    """
    norms = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    return vectors * inverse_lengths(norms), norms


def mean_scorer(scorers: Sequence[Float[Tensor, "texts _"]]) -> Float[Tensor, "texts _"]:
    """Unit vectors whose dot products are the means of the cosines of several scorers.

    They are the scorers' own, put one after another, by the root of their number.

    Args:
        scorers: Unit vectors of the same texts by each of them; of whatever lengths.
    """
    return torch.cat(tuple(scorers), dim=1) / math.sqrt(len(scorers)) if len(scorers) > 1 else scorers[0]


def inverse_lengths(norms: Float[Tensor, "texts 1"]) -> Float[Tensor, "texts 1"]:
    """1 over each length, and 0 over a length of 0: a vector without direction has none."""
    return norms.reciprocal().nan_to_num_(nan=torch.nan, posinf=0)


def rows_of(texts: BatchTexts, side: Side, rows: slice) -> slice:
    """Where in the stack the anchors or positives of a chunk of rows stand."""
    start = texts.places(side).start
    return slice(start + rows.start, start + rows.stop)


def score_rows(
    vectors: Float[Tensor, "texts dim"],
    texts: BatchTexts,
    rows: slice,
    columns: Columns,
    out: Float[Tensor, "chunk candidates"],
    scale: float = 1.0,
) -> Float[Tensor, "chunk candidates"]:
    """Dot products of a chunk of rows with all their candidates.

    Args:
        vectors: Vectors of all texts, in the order of the stack.
        texts: The batch.
        rows: The rows of the chunk.
        columns: Their candidates.
        out: Where the products go.
        scale: What they are multiplied by.
    """
    for side, candidates, span in columns.products:
        row_vectors = vectors[rows_of(texts, side, rows)]
        torch.addmm(
            out[:, span], row_vectors, vectors[candidates].T, beta=0, alpha=scale, out=out[:, span]
        )  # fmt: skip
    return out
