"""From row numbers to model inputs: each distinct text of a batch once, in micro-batches of like length."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int32, Int64

from gistembed.batches.ids import batch_ids
from gistembed.models import TASKS, EmbeddingModel
from gistembed.pairs import Pairs
from gistembed.terms import Role

# Padded tokens that go through the encoder at once: enough to fill its matrix products, few enough for
# the sorting by length to pay.
_MICRO_BATCH_TOKENS = 4096


class PairCollator:
    """Turns the row numbers of a batch into what the trainer hands to the loss.

    A *unit* is one distinct text of the batch in one role (in any role, where roles share their prompt).
    The inputs of the model stand under ``micro_000_…``, ``micro_001_…``: one group for each micro-batch,
    the units one after the other. Under ``label`` stand int64 tensors by name: ``anchor_units``,
    ``positive_units`` and ``negative_units`` say which unit each text of a row is; ``anchor_ids``,
    ``positive_ids`` and ``negative_ids`` are its text id, where -1 pads; ``known_ids`` and ``known_offsets``
    are those of `BatchIds`.
    """

    # The trainer asks every collator which columns hold labels: rows that are numbers have none.
    valid_label_columns: tuple[str, ...] = ()

    def __init__(self, student: EmbeddingModel, pairs: Pairs, lengths: Int32[np.ndarray, " texts"]) -> None:
        """Prepare the look-ups that all batches share.

        Args:
            student: Whose preprocessing and prompts are used.
            pairs: The training pairs; row numbers count along these.
            lengths: Tokens of each text, from `text_lengths`.
        """
        self._student = student
        self._pairs = pairs
        self._relations = pairs.known_positives()
        limit = student.max_length
        self._lengths = lengths if limit is None else np.minimum(lengths, limit)

    def __call__(self, rows: Sequence[dict[str, int]]) -> dict[str, Any]:
        """Collate one batch.

        Args:
            rows: Row numbers, under the key ``row``.
        """
        ids = batch_ids(self._pairs, self._relations, np.array([row["row"] for row in rows]))
        documents = np.concatenate([ids.positives, ids.negatives[ids.negatives >= 0]])
        texts: dict[Role, Int64[np.ndarray, " _"]]
        if self._student.roles_share_vectors:
            texts = {"document": np.unique(np.concatenate([ids.anchors, documents]))}
        else:
            texts = {"anchor": np.unique(ids.anchors), "document": np.unique(documents)}

        batch: dict[str, Any] = {}
        units: dict[Role, Int64[np.ndarray, " _"]] = {}
        micro_batches = total = 0
        for role, distinct in texts.items():
            order = np.argsort(self._lengths[distinct], kind="stable")
            units[role] = np.empty(len(distinct), dtype=np.int64)
            units[role][order] = np.arange(total, total + len(distinct))
            total += len(distinct)
            for micro_batch in self._micro_batches(distinct[order]):
                features = self._student.model.preprocess(
                    [self._pairs.texts[text_id] for text_id in micro_batch.tolist()],
                    prompt=self._student.prompts[role],
                    task=TASKS[role],
                )
                batch |= {f"micro_{micro_batches:03d}_{name}": value for name, value in features.items()}
                micro_batches += 1

        def units_of(text_ids: Int64[np.ndarray, "*shape"], role: Role) -> torch.Tensor:
            role = role if role in texts else "document"
            # Padding is no text; unit 0 stands in for it and the mask takes it out.
            position = np.searchsorted(texts[role], np.where(text_ids >= 0, text_ids, texts[role][0]))
            return torch.from_numpy(units[role][position])

        batch["label"] = {
            "anchor_units": units_of(ids.anchors, "anchor"),
            "positive_units": units_of(ids.positives, "document"),
            "negative_units": units_of(ids.negatives, "document"),
            "anchor_ids": torch.from_numpy(ids.anchors),
            "positive_ids": torch.from_numpy(ids.positives),
            "negative_ids": torch.from_numpy(ids.negatives),
            "known_ids": torch.from_numpy(ids.known),
            "known_offsets": torch.from_numpy(ids.known_offsets),
        }
        return batch

    def _micro_batches(
        self, text_ids: Int64[np.ndarray, " texts"]
    ) -> Iterator[Int64[np.ndarray, " micro_batch"]]:
        """Cut texts that are sorted by length where their padded tokens would exceed the budget."""
        start = 0
        for stop in range(1, len(text_ids) + 1):
            longest = self._lengths[text_ids[stop]] if stop < len(text_ids) else np.inf
            if (stop + 1 - start) * longest > _MICRO_BATCH_TOKENS:
                yield text_ids[start:stop]
                start = stop


def text_lengths(
    model: EmbeddingModel, pairs: Pairs, on_progress: Callable[[int], None] = lambda count: None
) -> Int32[np.ndarray, " texts"]:
    """Tokens that the model reads for each text of the pairs, nothing cut off.

    Counted are the text, the special tokens and the longest of the prompts, so that a text in the role of
    a shorter prompt is never taken for too short. All 0 for a model that pads no texts.

    Args:
        model: The model that reads them.
        pairs: Whose texts are measured.
        on_progress: Called with the number of texts measured since the call before.
    """
    lengths = np.zeros(len(pairs.texts), dtype=np.int32)
    text_ids = pairs.text_ids()
    measured = model.token_lengths([pairs.texts[text_id] for text_id in text_ids.tolist()], on_progress)
    prompts = model.token_lengths(["", *model.prompts.values()])
    if measured is not None and prompts is not None:
        # An empty text is its special tokens and nothing else.
        lengths[text_ids] = measured + (prompts.max() - prompts[0])
    return lengths
