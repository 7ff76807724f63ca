"""Goes through the first batches of a plan with the loss's own mask and keeps what a person should see."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int64
from torch import Tensor

from gistembed.batches import BatchIds, BatchPlan, batch_ids
from gistembed.guide import GuideVectors
from gistembed.mask import (
    BatchMask,
    BatchTexts,
    ChunkMask,
    Columns,
    MaskPolicy,
    mean_scorer,
    score_rows,
    unit_length,
)
from gistembed.pairs import Pairs
from gistembed.record import AuditRecord, MaskedExample
from gistembed.terms import Block

_ROWS = 8192
_CHUNK_ROWS = 512
_CHUNK_SCORES = 1_000_000
_EXAMPLES_PER_BLOCK = 8
_CANDIDATES_PER_CHUNK = 256
_MASKED_EDGES = [0, 1, 4, 16, 64, 256, 1024, 4096]


def audited_batches(plan: BatchPlan) -> Int64[np.ndarray, "batches rows"]:
    """The rows of the first batches that the plan will train on: enough of them to judge by.

    Args:
        plan: Which pairs meet in which batch.
    """
    return plan.epoch(0)[: max(1, _ROWS // plan.batch_size)]


def audit_masks(
    pairs: Pairs,
    guides: Sequence[GuideVectors],
    policy: MaskPolicy,
    plan: BatchPlan,
    task_policies: Mapping[int, MaskPolicy] | None = None,
) -> AuditRecord:
    """What the guide takes out of the first batches that the plan will train on.

    Of a batch larger than all that is looked at, only the first rows are, against all its candidates. A block
    that holds nothing but the rows' own positives, as ap does with negatives ``explicit``, is left out.

    Args:
        pairs: The training pairs.
        guides: Vectors of their texts by each guide. Where several vote, the similarities that are shown are
            the means of theirs.
        policy: Blocks and margins.
        plan: Which pairs meet in which batch.
        task_policies: Policies of tasks that have one of their own, by number of the task; their batches hold
            pairs of one task only.
    """
    of_tasks = dict(task_policies or {})
    relations = pairs.known_positives()
    tallies = {
        block: _Tally()
        for used in (policy, *of_tasks.values())
        for block in used.blocks(negatives=len(pairs.negative_ids) > 0)
        if used.negatives != "explicit" or block == "an"
    }
    masked_per_row: list[Int64[np.ndarray, " rows"]] = []
    batches = audited_batches(plan)
    for rows in batches:
        task = -1 if pairs.tasks is None else int(pairs.tasks[rows[0]])
        batch = AuditedBatch.of(batch_ids(pairs, relations, rows), guides, of_tasks.get(task, policy))
        looked_at = rows[:_ROWS]
        for chunk in batch.chunks(len(looked_at)):
            masked_per_row.append(batch.look_at(chunk, looked_at[chunk], tallies))
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
    """Some rows of one block: guide similarities, thresholds, and what became of each candidate.

    Where a row meets only texts of its own, ``candidates`` is smaller than the columns times the rows.
    """

    candidates: int
    similarities: Float[Tensor, "rows candidates"]
    thresholds: Float[Tensor, " rows"]
    kept: Bool[Tensor, "rows candidates"]
    masked: Bool[Tensor, "rows candidates"]
    candidate_ids: Int[Tensor, " candidates"]


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
        self.candidates += seen.candidates
        self.masked += int(seen.masked.sum())
        self.eligible += int(seen.kept.sum()) + int(seen.masked.sum())
        self.top += _most_similar(seen, seen.masked, rows)
        self.near += _most_similar(seen, seen.kept, rows)


def stacked(ids: BatchIds) -> tuple[BatchTexts, Int64[np.ndarray, " negatives"]]:
    """A batch's texts as the mask wants them, and the ids of its hard negatives, row after row.

    Args:
        ids: The batch.
    """
    present = ids.negatives >= 0
    documents, same = ids.negatives[present], ids.same_negatives[present]
    texts = BatchTexts(
        rows=len(ids.anchors),
        ids=torch.from_numpy(np.concatenate([ids.same_positives, ids.same_anchors, same])),
        # NumPy gives both coordinates in one array; torch warns of the gaps.
        negative_rows=torch.from_numpy(np.ascontiguousarray(np.nonzero(present)[0])),
        known_ids=torch.from_numpy(ids.known),
        known_offsets=torch.from_numpy(ids.known_offsets),
        trusted=None if ids.trusted is None else torch.from_numpy(ids.trusted[present]),
    )
    return texts, documents


@dataclass(frozen=True)
class AuditedBatch:
    """One batch as the mask sees it.

    Attributes:
        mask: Its mask.
        scorers: Unit vectors of its texts by each guide, in the order of the mask's stack.
    """

    mask: BatchMask
    scorers: list[Float[Tensor, "texts _"]]

    @classmethod
    def of(cls, ids: BatchIds, guides: Sequence[GuideVectors], policy: MaskPolicy) -> "AuditedBatch":
        """Look the batch's texts up.

        Args:
            ids: The batch.
            guides: Vectors of its texts by each guide.
            policy: The rules.
        """
        texts, documents = stacked(ids)
        scorers = []
        for guide in guides:
            vectors = np.concatenate(
                [
                    guide.of(ids.positives, "document"),
                    guide.of(ids.anchors, "anchor"),
                    guide.of(documents, "document"),
                ]
            )
            scorers.append(unit_length(torch.from_numpy(vectors.astype(np.float32)))[0])
        if policy.guide_vote == "mean":
            scorers = [mean_scorer(scorers)]
        return cls(BatchMask(texts, policy), scorers)

    def chunks(self, rows: int) -> Iterator[slice]:
        """The first rows, so many at a time that their scores are few."""
        width = self.mask.columns(slice(0, rows)).width
        step = max(1, min(_CHUNK_ROWS, _CHUNK_SCORES // width))
        for start in range(0, rows, step):
            yield slice(start, min(start + step, rows))

    def decide(self, chunk: slice) -> tuple[Columns, list[Float[Tensor, "rows candidates"]], ChunkMask]:
        """The candidates of a chunk of rows, their similarities by each guide, and what becomes of them.

        Args:
            chunk: The rows.
        """
        columns = self.mask.columns(chunk)
        shape = (chunk.stop - chunk.start, columns.width)
        by_scorer = [
            score_rows(scorer, self.mask.texts, chunk, columns, torch.empty(shape)) for scorer in self.scorers
        ]
        return columns, by_scorer, self.mask.decide(chunk, columns, by_scorer)

    def look_at(
        self, chunk: slice, rows: Int64[np.ndarray, " rows"], tallies: dict[Block, "_Tally"]
    ) -> Int64[np.ndarray, " rows"]:
        """Tally a chunk of rows, and return how many candidates each of them loses.

        As in the loss, the thresholds stand in the same product as the candidates of block ap, so that an
        equal text vector gives an equal number.
        """
        columns, by_scorer, decided = self.decide(chunk)
        similarities = by_scorer[0] if len(by_scorer) == 1 else torch.stack(by_scorer).mean(0)
        assert decided.leaves is not None, "there is a guide"
        kept, masked = decided.keep(columns), decided.leaves > 0
        thresholds = similarities.diagonal(self.mask.own_diagonal(chunk))
        # In its own scope a text is a candidate of the one row that it is of.
        meetings = 1 if columns.own_scope else len(rows)
        for block, texts, span in zip(columns.blocks, columns.texts, columns.spans, strict=True):
            if block not in tallies:
                continue
            seen = _BlockMask(
                candidates=meetings * (span.stop - span.start),
                similarities=similarities[:, span],
                thresholds=thresholds,
                kept=kept[:, span],
                masked=masked[:, span],
                candidate_ids=self.mask.texts.ids[texts],
            )
            tallies[block].add(seen, rows)
        counts: Int64[np.ndarray, " rows"] = decided.masked.sum(1).long().numpy()
        return counts


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
