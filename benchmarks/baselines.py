"""What the loss is measured against: its bare matrix products, and the same loss as dense code."""

import torch
from torch import Tensor
from torch.nn import functional

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


def dense_loss(
    anchors: Tensor, positives: Tensor, guide_anchors: Tensor, guide_positives: Tensor, temperature: float
) -> Tensor:
    """The guided loss over blocks ap, aa and pp as whole matrices, differentiated by autograd."""
    student = [functional.normalize(x, dim=-1) for x in (anchors, positives)]
    guide = [functional.normalize(x, dim=-1) for x in (guide_anchors, guide_positives)]
    rows = len(anchors)
    own = torch.eye(rows, dtype=torch.bool, device=anchors.device)
    similarities = guide[0] @ guide[1].T
    thresholds = similarities.diagonal().unsqueeze(1)
    scores = [(student[0] @ student[1].T).masked_fill((similarities > thresholds) & ~own, -torch.inf)]
    for one, its_guide in zip(student, guide, strict=True):
        scores.append((one @ one.T).masked_fill((its_guide @ its_guide.T > thresholds) | own, -torch.inf))
    targets = torch.arange(rows, device=anchors.device)
    return functional.cross_entropy(torch.cat(scores, dim=1) / temperature, targets)
