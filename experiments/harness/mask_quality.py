"""How often a guide's mask is right, where it is known which texts are about the same."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int64
from scipy import sparse

from experiments.harness.training import Training, guide_vectors, prepared
from gistembed.audit.masked import AuditedBatch
from gistembed.batches import batch_ids
from gistembed.mask import MaskPolicy
from gistembed.pairs import Texts

_ROWS = 4096


@dataclass(frozen=True)
class MaskQuality:
    """Counts over the candidates that the guide could take out of some batches.

    Attributes:
        candidates: How many there were.
        false_negatives: How many of them are about the same as their anchor.
        masked: How many the guide took out.
        right: How many of those are about the same.
    """

    candidates: int
    false_negatives: int
    masked: int
    right: int

    @property
    def precision(self) -> float:
        """Share of the masked that are false negatives; nan if nothing is masked."""
        return self.right / self.masked if self.masked else float("nan")

    @property
    def recall(self) -> float:
        """Share of the false negatives that are masked; nan if there are none."""
        return self.right / self.false_negatives if self.false_negatives else float("nan")

    @property
    def prevalence(self) -> float:
        """Share of the candidates that are false negatives: the precision of a guide that guesses."""
        return self.false_negatives / self.candidates


def mask_quality(training: Training, labels: Path, store: Path, seed: int = 1) -> MaskQuality:
    """Ask a training's guide about its first batches, in all blocks, before the first step.

    Texts count as about the same if they share a label.

    Args:
        training: The training; its guide's vectors are in the store.
        labels: Labels by text; see `DataFolder`.
        store: The store.
        seed: Decides which texts meet.
    """
    asked = _Asked(training, labels, store, seed)
    return asked.quality(asked.policy)


def qualities_at(
    training: Training, labels: Path, store: Path, margins: Sequence[float], seed: int = 1
) -> list[MaskQuality]:
    """As `mask_quality`, at each of several margins in place of the training's own.

    Args:
        training: The training; its guide's vectors are in the store.
        labels: Labels by text; see `DataFolder`.
        store: The store.
        margins: The margins.
        seed: Decides which texts meet.
    """
    asked = _Asked(training, labels, store, seed)
    return [asked.quality(replace(asked.policy, margin=margin)) for margin in margins]


class _Asked:
    """A training's guide, pairs and first batches, and what is known of the texts."""

    def __init__(self, training: Training, labels: Path, store: Path, seed: int) -> None:
        with tempfile.TemporaryDirectory(prefix="experiment-") as folder:
            run = prepared(training, seed, Path(folder), store)
        plan = run.plan.batches
        self.policy = run.plan.policy.at_step(0)
        self._guides, self._pairs = guide_vectors(run), run.train
        self._relations = run.train.known_positives()
        self._about = _Labels(run.train.texts, json.loads(labels.read_text(encoding="utf-8")))
        self._batches = plan.epoch(0)[: max(1, _ROWS // plan.batch_size)]

    def quality(self, policy: MaskPolicy) -> MaskQuality:
        counts = np.zeros(4, np.int64)
        for rows in self._batches:
            batch = AuditedBatch.of(batch_ids(self._pairs, self._relations, rows), self._guides, policy)
            stack = batch.mask.texts.ids.numpy()
            for chunk in batch.chunks(len(rows)):
                columns, _, decided = batch.decide(chunk)
                assert decided.leaves is not None, "there is a guide"
                masked = decided.leaves.numpy() > 0
                could_leave = masked | decided.keep(columns).numpy()
                candidates = np.concatenate([stack[texts] for texts in columns.texts])
                same = self._about.same(self._pairs.anchors[rows[chunk]], candidates)
                counts += [could_leave.sum(), (same & could_leave).sum(), masked.sum(), (same & masked).sum()]
        return MaskQuality(*counts.tolist())


class _Labels:
    """Which texts share a label."""

    def __init__(self, texts: Texts, labels: Mapping[str, Sequence[str]]) -> None:
        numbers = {
            name: number for number, name in enumerate(sorted(set(chain.from_iterable(labels.values()))))
        }
        held = [(i, numbers[name]) for i in range(len(texts)) for name in labels.get(texts[i], ())]
        rows, columns = zip(*held, strict=True)
        self._of = sparse.csr_array(
            (np.ones(len(held), np.float32), (rows, columns)), shape=(len(texts), len(numbers))
        )

    def same(
        self, anchors: Int64[np.ndarray, " rows"], candidates: Int64[np.ndarray, " candidates"]
    ) -> Bool[np.ndarray, "rows candidates"]:
        shared: Bool[np.ndarray, "rows candidates"] = (
            self._of[anchors] @ self._of[candidates].T
        ).toarray() > 0
        return shared
