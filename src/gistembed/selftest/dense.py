"""The guided loss as whole matrices and plain autograd: to be read, and to hold the other against."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional


def dense_loss(
    anchors: Float[Tensor, "rows dim"],
    positives: Float[Tensor, "rows dim"],
    guide_anchors: Float[Tensor, "rows guide_dim"],
    guide_positives: Float[Tensor, "rows guide_dim"],
    temperature: float,
    anchor_ids: Int[Tensor, " rows"] | None = None,
    positive_ids: Int[Tensor, " rows"] | None = None,
) -> Float[Tensor, ""]:
    """The loss of `gistembed.guided_contrastive_loss` with its default policy, over blocks ap, aa and pp.

    Memory grows with rows × rows, and every matrix is kept for the backward pass.

    Args:
        anchors: Student embeddings of the anchors.
        positives: Student embeddings of the positives.
        guide_anchors: Guide embeddings of the anchors.
        guide_positives: Guide embeddings of the positives.
        temperature: τ.
        anchor_ids: Text id of each anchor; without ids every text is distinct from all others.
        positive_ids: Text id of each positive.
    """
    rows = len(anchors)
    student = [functional.normalize(x, dim=1) for x in (anchors, positives)]
    guide = [functional.normalize(x, dim=1) for x in (guide_anchors, guide_positives)]
    own_pairs = torch.eye(rows, dtype=torch.bool, device=anchors.device)
    limits = (guide[0] @ guide[1].T).diagonal().unsqueeze(1)
    scores = []
    for row_side, column_side in ((0, 1), (0, 0), (1, 1)):
        masked = guide[row_side] @ guide[column_side].T > limits
        if anchor_ids is None or positive_ids is None:
            masked |= own_pairs
        else:
            candidates = (anchor_ids, positive_ids)[column_side]
            masked |= (anchor_ids.unsqueeze(1) == candidates) | (positive_ids.unsqueeze(1) == candidates)
        if (row_side, column_side) == (0, 1):
            masked &= ~own_pairs
        scores.append((student[row_side] @ student[column_side].T).masked_fill(masked, -torch.inf))
    targets = torch.arange(rows, device=anchors.device)
    return functional.cross_entropy(torch.cat(scores, dim=1) / temperature, targets)
