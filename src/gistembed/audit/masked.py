"""Goes through the first batches of a plan with the loss's own mask and keeps what a person should see."""

from collections.abc import Iterator
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
_CHUNK_ROWS = 512
_CHUNK_SCORES = 1_000_000
_EXAMPLES_PER_BLOCK = 8
_CANDIDATES_PER_CHUNK = 256
_MASKED_EDGES = [0, 1, 4, 16, 64, 256, 1024, 4096]


def audit_masks(pairs: Pairs, guide: GuideVectors, policy: MaskPolicy, plan: BatchPlan) -> AuditRecord:
    """What the guide takes out of the first batches that the plan will train on.

    Of a batch larger than all that is looked at, only the first rows are, against all its candidates.

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
        batch = _Batch.of(batch_ids(pairs, relations, rows), guide)
        looked_at = rows[:_ROWS]
        chunk_rows = max(1, min(_CHUNK_ROWS, _CHUNK_SCORES // batch.widest))
        for start in range(0, len(looked_at), chunk_rows):
            chunk = looked_at[start : start + chunk_rows]
            masked = np.zeros(len(chunk), dtype=np.int64)
            for block, seen in batch.masks(slice(start, start + len(chunk)), policy):
                tallies[block].add(seen, chunk)
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
    """Some rows of one block: guide similarities, thresholds, and what became of each candidate."""

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


@dataclass(frozen=True)
class _Batch:
    """One batch as the mask sees it: text ids and guide vectors of anchors, positives and hard negatives."""

    row_ids: Tensor
    text_ids: tuple[Tensor, ...]
    vectors: tuple[Tensor, ...]

    @classmethod
    def of(cls, ids: BatchIds, guide: GuideVectors) -> "_Batch":
        inputs: list[tuple[Int64[np.ndarray, " _"], Role]] = [
            (ids.anchors, "anchor"),
            (ids.positives, "document"),
            (ids.negatives.ravel(), "document"),
        ]
        own = np.concatenate([ids.anchors[:, None], ids.positives[:, None], ids.known], axis=1)
        return cls(
            row_ids=torch.from_numpy(own),
            text_ids=tuple(torch.from_numpy(text_ids) for text_ids, _ in inputs),
            vectors=tuple(
                functional.normalize(torch.from_numpy(guide.of(text_ids, role).astype(np.float32)), dim=-1)
                for text_ids, role in inputs
            ),
        )

    @property
    def widest(self) -> int:
        """Candidates in the largest block."""
        return max(len(text_ids) for text_ids in self.text_ids)

    def masks(self, rows: slice, policy: MaskPolicy) -> Iterator[tuple[Block, _BlockMask]]:
        """These rows against the whole batch, one block after another: all at once would not fit."""
        thresholds: Tensor | None = None
        for block in policy.blocks(negatives=len(self.text_ids[2]) > 0):
            row, column = BLOCK_INPUTS[block]
            similarities = self.vectors[row][rows] @ self.vectors[column].T
            if thresholds is None:
                # As in the loss: from the same product as the candidates of block ap, so that an equal
                # text vector gives an equal number.
                thresholds = similarities.diagonal(offset=rows.start).clone()
            eligible = eligible_mask(self.row_ids[rows], self.text_ids[column])
            keep = keep_mask(eligible, similarities, thresholds, policy.margin_of(block))
            yield (
                block,
                _BlockMask(similarities, thresholds, eligible, eligible & ~keep, self.text_ids[column]),
            )


def _most_similar(seen: _BlockMask, chosen: Tensor, rows: Int64[np.ndarray, " rows"]) -> list[_Found]:
    flat = seen.similarities.masked_fill(~chosen, -torch.inf).flatten()
    top = flat.topk(min(_CANDIDATES_PER_CHUNK, int(chosen.sum())))
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
