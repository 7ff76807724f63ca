"""What the loss is measured against at least: its bare matrix products."""

import torch
from torch import Tensor

_CHUNK_ROWS = 1024


def bare_products(
    anchors: Tensor, positives: Tensor, guide_anchors: Tensor, guide_positives: Tensor
) -> Tensor:
    """The products of blocks ap, aa and pp and nothing else, by row chunks, into memory that is used again.

    Three with the student's vectors for each block (scores, and the gradients of both sides), one with the
    guide's.
    """
    rows = len(anchors)
    scores = anchors.new_empty(min(_CHUNK_ROWS, rows), rows)
    similarities = torch.empty_like(scores)
    row_gradients, column_gradients = torch.zeros_like(anchors), torch.zeros_like(anchors)
    blocks = (
        (anchors, positives, guide_anchors, guide_positives),
        (anchors, anchors, guide_anchors, guide_anchors),
        (positives, positives, guide_positives, guide_positives),
    )
    for start in range(0, rows, _CHUNK_ROWS):
        chunk = slice(start, min(start + _CHUNK_ROWS, rows))
        here = slice(0, chunk.stop - start)
        for row_side, column_side, guide_row_side, guide_column_side in blocks:
            torch.mm(row_side[chunk], column_side.T, out=scores[here])
            torch.mm(guide_row_side[chunk], guide_column_side.T, out=similarities[here])
            row_gradients[chunk].addmm_(scores[here], column_side)
            column_gradients.addmm_(scores[here].T, row_side[chunk])
    return column_gradients
