"""Goes through the first batches of a plan with the loss's own mask and keeps what a person should see."""

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor
from torch.nn import functional

from gistembed.batches import BatchIds, BatchPlan, batch_ids
from gistembed.guide import GuideVectors
from gistembed.mask import BLOCK_INPUTS, MaskPolicy, eligible_mask, keep_mask
from gistembed.pairs import Pairs
from gistembed.record import AuditRecord, MaskedExample
from gistembed.terms import Block, Role

_ROWS = 8192
_EXAMPLES_PER_BLOCK = 8
_CANDIDATES_PER_BATCH = 256
_MASKED_EDGES = [0, 1, 4, 16, 64, 256, 1024, 4096]


def audit_masks(pairs: Pairs, guide: GuideVectors, policy: MaskPolicy, plan: BatchPlan) -> AuditRecord:
    """What the guide takes out of the first batches that the plan will train on.

    Args:
        pairs: The training pairs.
        guide: The guide's vectors of all their texts.
        policy: Blocks and margins.
        plan: Which pairs meet in which batch.
    """
    relations = pairs.known_positives()
    tallies = {block: _Tally() for block in policy.blocks(negatives=len(pairs.negative_ids) > 0)}
    masked_per_row: list[Int64[np.ndarray, " rows"]] = []
    batches = plan.epoch(0)[: max(1, _ROWS // plan.batch_size)]
    for rows in batches:
        ids = batch_ids(pairs, relations, rows)
        masked = np.zeros(len(rows), dtype=np.int64)
        for block, seen in _block_masks(ids, guide, policy).items():
            tallies[block].add(seen, rows)
            masked += seen.masked.sum(dim=1).numpy()
        masked_per_row.append(masked)
    counts = np.concatenate(masked_per_row)
    edges = [*[edge for edge in _MASKED_EDGES if edge <= counts.max()], int(counts.max()) + 1]
    return AuditRecord(
        batches=len(batches),
        rows=len(counts),
        mask_rate={block: tally.masked / max(tally.eligible, 1) for block, tally in tallies.items()},
        known_rate={block: 1 - tally.eligible / max(tally.candidates, 1) for block, tally in tallies.items()},
        rows_by_masked=np.histogram(counts, edges)[0].tolist(),
        masked_edges=edges,
        examples=[example for block, tally in tallies.items() for example in _texts(tally.top, block, pairs)],
        kept_examples=[
            example for block, tally in tallies.items() for example in _texts(tally.near, block, pairs)
        ],
    )


@dataclass(frozen=True)
class _BlockMask:
    """One block of one batch: guide similarities, thresholds, and what became of each candidate."""

    similarities: Tensor
    thresholds: Tensor
    eligible: Tensor
    masked: Tensor
    candidate_ids: Tensor


@dataclass(frozen=True)
class _Found:
    """One candidate worth showing: its guide similarity, and the one it was held against."""

    similarity: float
    threshold: float
    row: int
    candidate: int


@dataclass
class _Tally:
    """Counts of one block over all batches, and its most telling candidates."""

    candidates: int = 0
    eligible: int = 0
    masked: int = 0
    top: list[_Found] = field(default_factory=list)
    near: list[_Found] = field(default_factory=list)

    def add(self, seen: _BlockMask, rows: Int64[np.ndarray, " rows"]) -> None:
        present = int((seen.candidate_ids >= 0).sum())
        self.candidates += present * len(rows)
        self.eligible += int(seen.eligible.sum())
        self.masked += int(seen.masked.sum())
        self.top += _most_similar(seen, seen.masked, rows)
        self.near += _most_similar(seen, seen.eligible & ~seen.masked, rows)


def _block_masks(ids: BatchIds, guide: GuideVectors, policy: MaskPolicy) -> dict[Block, _BlockMask]:
    inputs: list[tuple[Int64[np.ndarray, " _"], Role]] = [
        (ids.anchors, "anchor"),
        (ids.positives, "document"),
        (ids.negatives.ravel(), "document"),
    ]
    vectors = [
        functional.normalize(torch.from_numpy(guide.of(text_ids, role).astype(np.float32)), dim=-1)
        for text_ids, role in inputs
    ]
    text_ids = [torch.from_numpy(text_ids) for text_ids, _ in inputs]
    row_ids = torch.cat([text_ids[0][:, None], text_ids[1][:, None], torch.from_numpy(ids.known)], dim=1)
    # As in the loss: from the same product as the candidates of block ap, so that an equal text vector
    # gives an equal number.
    thresholds = (vectors[0] @ vectors[1].T).diagonal()
    masks = {}
    for block in policy.blocks(negatives=ids.negatives.shape[1] > 0):
        row, column = BLOCK_INPUTS[block]
        eligible = eligible_mask(row_ids, text_ids[column])
        similarities = vectors[row] @ vectors[column].T
        keep = keep_mask(eligible, similarities, thresholds, policy.margin_of(block))
        masks[block] = _BlockMask(similarities, thresholds, eligible, eligible & ~keep, text_ids[column])
    return masks


def _most_similar(seen: _BlockMask, chosen: Tensor, rows: Int64[np.ndarray, " rows"]) -> list[_Found]:
    flat = seen.similarities.masked_fill(~chosen, -torch.inf).flatten()
    top = flat.topk(min(_CANDIDATES_PER_BATCH, int(chosen.sum())))
    width = seen.similarities.shape[1]
    return [
        _Found(
            similarity=similarity,
            threshold=float(seen.thresholds[position // width]),
            row=int(rows[position // width]),
            candidate=int(seen.candidate_ids[position % width]),
        )
        for similarity, position in zip(top.values.tolist(), top.indices.tolist(), strict=True)
    ]


def _texts(found: list[_Found], block: Block, pairs: Pairs) -> list[MaskedExample]:
    """The most similar candidates as texts; no text twice, so that one cluster doesn't fill the list."""
    examples: list[MaskedExample] = []
    used: set[int] = set()
    for item in sorted(found, key=lambda item: -item.similarity):
        anchor, positive = int(pairs.anchors[item.row]), int(pairs.positives[item.row])
        if used & {anchor, positive, item.candidate}:
            continue
        used |= {anchor, positive, item.candidate}
        examples.append(
            MaskedExample(
                block=block,
                anchor=pairs.texts[anchor],
                positive=pairs.texts[positive],
                candidate=pairs.texts[item.candidate],
                guide_candidate=item.similarity,
                guide_positive=item.threshold,
                place=pairs.place(item.row),
            )
        )
        if len(examples) == _EXAMPLES_PER_BLOCK:
            break
    return examples
