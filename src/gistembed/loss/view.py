"""The embeddings as unit vectors, all dimensions of them or some leading ones, and the gradients by these."""

import torch
from jaxtyping import Float
from torch import Tensor

from gistembed.mask import BatchTexts, Columns, inverse_lengths, rows_of, unit_length


class View:
    """Unit vectors of all texts of a batch, and what the chunks so far add to the gradients by them."""

    def __init__(
        self,
        unit: Float[Tensor, "texts dim"],
        inverse_norms: Float[Tensor, "texts 1"],
        *,
        learns: bool,
    ) -> None:
        """Start without gradients.

        Args:
            unit: The unit vectors.
            inverse_norms: 1 over the length that they had; 0 for zero vectors.
            learns: Whether gradients are wanted.
        """
        self.unit = unit
        self._inverse_norms = inverse_norms
        self._gradient = torch.zeros_like(unit) if learns else None

    def leading(self, dim: int) -> "View":
        """The view that keeps only the leading dimensions."""
        if dim == self.unit.shape[1]:
            return self
        unit, norms = unit_length(self.unit[:, :dim])
        inverse_norms = self._inverse_norms * inverse_lengths(norms)
        return View(unit, inverse_norms, learns=self._gradient is not None)

    def add_gradients(
        self, slopes: Float[Tensor, "chunk candidates"], texts: BatchTexts, rows: slice, columns: Columns
    ) -> None:
        """Add what a chunk of rows contributes.

        Args:
            slopes: The loss's slopes by the cosines.
            texts: The batch.
            rows: The rows of the chunk.
            columns: Their candidates.
        """
        # A block that compares one kind of text with itself meets each pair from both sides, if all rows are
        # here: their slopes can go through one product instead of two.
        whole = rows == slice(0, texts.rows) and not columns.own_scope
        products = columns.products_symmetric_apart if whole else columns.products
        for side, candidates, span in products:
            place = rows_of(texts, side, rows)
            here = slopes[:, span]
            if whole and candidates == place:
                self._add(place, here + here.T, place)
            else:
                self._add(place, here, candidates)
                self._add(candidates, here.T, place)

    def _add(self, places: slice, slopes: Tensor, candidates: slice) -> None:
        assert self._gradient is not None, "a view that learns was asked for"
        self._gradient[places].addmm_(slopes, self.unit[candidates])

    def along(self) -> Float[Tensor, ""]:
        """Σ slope · cosine over all that was added, which the gradient holds twice: once from each side."""
        assert self._gradient is not None, "a view that learns was asked for"
        total: Tensor = torch.linalg.vecdot(self._gradient, self.unit).sum() / 2
        return total

    def input_gradient(self) -> Float[Tensor, "texts dim"]:
        """Gradient by the embeddings as they came: what stands across the unit vector, by its length."""
        assert self._gradient is not None, "a view that learns was asked for"
        along = torch.linalg.vecdot(self._gradient, self.unit).unsqueeze(1)
        return self._gradient.addcmul_(along, self.unit, value=-1).mul_(self._inverse_norms)
