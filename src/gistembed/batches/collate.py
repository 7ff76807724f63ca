"""From row numbers to model inputs: each distinct text of a batch once, in micro-batches of like length."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64

from gistembed.batches.ids import batch_ids
from gistembed.batches.micro import micro_batches, shared_out
from gistembed.batches.tokens import TokenCache, texts_by_role
from gistembed.models import EmbeddingModel
from gistembed.pairs import Pairs
from gistembed.terms import Role

MICRO_BATCH_TOKENS = 4096
"""Tokens, padding included, that go through the encoder at once on a CPU: enough to fill its matrix products,
few enough for the sorting by length to pay."""

ACCELERATOR_MICRO_BATCH_TOKENS = 32_768
"""The same on an accelerator, which needs more to be busy."""

MICRO_BATCH_OVERHEAD = 128
"""What a micro-batch costs on a CPU beside its texts, in tokens: 2 and 6 layers of MiniLM took 25 and 80 ms
for one short text, and 0.2 and 0.6 ms for each token more."""

ACCELERATOR_MICRO_BATCH_OVERHEAD = 8192
"""The same on an accelerator, which waits for each to begin. A guess: it was not measured."""


class PairCollator:
    """Turns the row numbers of a batch into what the trainer hands to the loss.

    A *unit* is one distinct text of the batch in one role (in any role, where roles share their prompt).
    The inputs of the model stand under ``micro_00000_…``, ``micro_00001_…``: one group for each
    micro-batch, the units one after the other. Several processes share the units of one batch out among them:
    each has the inputs of its own, ``unit_counts`` says how many those are, and units are numbered process by
    process; what stands after a process's own units fills up and has no number.

    Under ``label`` stand int64 tensors by name: ``anchor_units``, ``positive_units`` and ``negative_units``
    say which unit each text of a row is; ``anchor_ids``, ``positive_ids`` and ``negative_ids`` are the text
    id that it counts as, where -1 pads, and those that end with ``_texts`` its own; ``known_ids`` and
    ``known_offsets`` are those of `BatchIds`; ``rows`` are the row numbers. Where pairs have them, there are
    also ``weights`` (float32) and ``tasks`` of the rows, and ``trusted`` (bool) of negatives.
    """

    # The trainer asks every collator which columns hold labels: rows that are numbers have none.
    valid_label_columns: tuple[str, ...] = ()

    def __init__(
        self,
        student: EmbeddingModel,
        pairs: Pairs,
        tokens: TokenCache,
        *,
        micro_batch_tokens: int | None = None,
        rank: int = 0,
        ranks: int = 1,
        equal_passes: bool = False,
    ) -> None:
        """Prepare the look-ups that all batches share.

        Args:
            student: Who reads the texts.
            pairs: The training pairs; row numbers count along these.
            tokens: What the student, or a copy of it, reads for the texts of these pairs.
            micro_batch_tokens: Tokens, padding included, that go through the student at once; chosen by its
                device by default. A longer text goes alone.
            rank: Which of the processes that share the batch this is.
            ranks: How many there are.
            equal_passes: Whether all of them must go through the model equally often.
        """
        self._student = student
        self._pairs = pairs
        self._relations = pairs.known_positives()
        self._tokens = tokens
        on_cpu = student.model.device.type == "cpu"
        default = MICRO_BATCH_TOKENS if on_cpu else ACCELERATOR_MICRO_BATCH_TOKENS
        self._rank, self._ranks, self._equal_passes = rank, ranks, equal_passes
        self._micro_batch_tokens = micro_batch_tokens or default
        self._overhead = MICRO_BATCH_OVERHEAD if on_cpu else ACCELERATOR_MICRO_BATCH_OVERHEAD
        limit = student.max_length
        self._lengths = tokens.lengths if limit is None else np.minimum(tokens.lengths, limit)

    def __call__(self, rows: Sequence[int]) -> dict[str, Any]:
        """Collate one batch.

        Args:
            rows: Row numbers.
        """
        numbers = np.array(rows)
        ids = batch_ids(self._pairs, self._relations, numbers)
        documents = np.concatenate([ids.positives, ids.negatives[ids.negatives >= 0]])
        texts = texts_by_role(self._student, ids.anchors, documents)
        parts = micro_batches(
            texts,
            self._lengths,
            self._micro_batch_tokens,
            self._ranks,
            self._overhead,
            packed=self._tokens.packs,
        )
        shares = shared_out([part.tokens for part in parts], self._ranks)
        units = {role: np.empty(len(distinct), dtype=np.int64) for role, distinct in texts.items()}
        counts: list[int] = []
        for share in shares:
            before = sum(counts)
            for number in share:
                role, its = parts[number].role, parts[number].texts
                units[role][np.searchsorted(texts[role], its)] = before + np.arange(len(its))
                before += len(its)
            counts.append(before - sum(counts))
        inputs = [self._features(parts[number].texts, parts[number].role) for number in shares[self._rank]]
        # A process that has less to do than others goes through the model as often all the same.
        least = max(map(len, shares)) if self._equal_passes else 1
        if (fewer := least - len(inputs)) > 0:
            inputs += [self._features(parts[0].texts[:1], parts[0].role)] * fewer
        batch: dict[str, Any] = {
            f"micro_{number:05d}_{name}": value
            for number, features in enumerate(inputs)
            for name, value in features.items()
        }

        def units_of(text_ids: Int64[np.ndarray, "*shape"], role: Role) -> torch.Tensor:
            role = role if role in texts else "document"
            # Padding is no text; unit 0 stands in for it and the mask takes it out.
            position = np.searchsorted(texts[role], np.where(text_ids >= 0, text_ids, texts[role][0]))
            return torch.from_numpy(units[role][position])

        batch["label"] = {
            "rows": torch.from_numpy(numbers),
            "unit_counts": torch.tensor(counts),
            "anchor_units": units_of(ids.anchors, "anchor"),
            "positive_units": units_of(ids.positives, "document"),
            "negative_units": units_of(ids.negatives, "document"),
            "anchor_ids": torch.from_numpy(ids.same_anchors),
            "positive_ids": torch.from_numpy(ids.same_positives),
            "negative_ids": torch.from_numpy(ids.same_negatives),
            "anchor_texts": torch.from_numpy(ids.anchors),
            "positive_texts": torch.from_numpy(ids.positives),
            "negative_texts": torch.from_numpy(ids.negatives),
            "known_ids": torch.from_numpy(ids.known),
            "known_offsets": torch.from_numpy(ids.known_offsets),
        }
        for name, values in (("weights", self._pairs.weights), ("tasks", self._pairs.tasks)):
            if values is not None:
                batch["label"][name] = torch.from_numpy(values[numbers])
        if ids.trusted is not None:
            batch["label"]["trusted"] = torch.from_numpy(ids.trusted)
        return batch

    def _features(self, text_ids: Int64[np.ndarray, " texts"], role: Role) -> Mapping[str, Any]:
        if self._tokens.uncached_because is None:
            return self._tokens.features(text_ids, role)
        return self._student.inputs(self._pairs.texts.of(text_ids), role)
