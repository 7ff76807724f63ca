"""A data collator that hands the texts themselves on: to the guide as they are, to the mask as ids."""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
import xxhash
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.data_collator import SentenceTransformerDataCollator

from gistembed.models import TASKS, role_prompts, roles_share_vectors
from gistembed.terms import Role

_GUIDE_TEXTS_AT_ONCE = 64


class GuideCollator(SentenceTransformerDataCollator):
    """sentence-transformers' collator, and beside it what the raw texts are needed for.

    Pass it as ``data_collator`` to ``SentenceTransformerTrainer``, together with our `GISTEmbedLoss` or
    `CachedGISTEmbedLoss`. The guide then reads every text as it stands in the data, behind its own prompt and
    up to its own length, each distinct text of a batch once and in order of length; and texts are told apart
    by what they say, not by their tokens.
    """

    def __init__(
        self,
        model: SentenceTransformer,
        guide: SentenceTransformer | None,
        *,
        guide_prompts: Mapping[Role, str] | None = None,
        prompts: str | dict[str, str] | dict[str, dict[str, str]] | None = None,
        router_mapping: dict[str, str] | dict[str, dict[str, str]] | None = None,
    ) -> None:
        """Bind student and guide.

        Args:
            model: The student.
            guide: The guide; None where the student guides itself.
            guide_prompts: What the guide reads before a text, by role, in place of its own prompts.
            prompts: The student's, as in ``SentenceTransformerTrainingArguments``: the trainer gives them to
                its own collator only.
            router_mapping: Likewise.
        """
        super().__init__(preprocess_fn=model.preprocess, prompts=prompts, router_mapping=router_mapping)
        self._guide = guide
        self._guide_prompts: dict[Role, str] = {}
        if guide is not None:
            self._guide_prompts = role_prompts(guide) | dict(guide_prompts or {})

    def __call__(self, features: list[dict[str, Any]]) -> dict[str, Any]:
        """Collate rows of a data set.

        Args:
            features: The rows; their first column holds anchors, the others positives and hard negatives.

        Returns:
            The student's inputs by column, and under ``label`` a mapping: ``text_ids`` (rows, columns),
            ``guide_batches``, the guide's inputs for each distinct text, and ``guide_units`` (rows, columns),
            which of those texts stands where.

        Raises:
            ValueError: If a column holds something else than text.
        """
        batch: dict[str, Any] = super().__call__(features)
        if not features:
            return batch
        columns = [name for name in features[0] if name != "dataset_name"]
        table = [[row[name] for name in columns] for row in features]
        for row in table:
            for name, value in zip(columns, row, strict=True):
                if not isinstance(value, str):
                    raise ValueError(
                        f"GuideCollator: column {name!r} holds {type(value).__name__}, not text; "
                        "keep only the columns of anchors, positives and negatives"
                    )
        batch["label"] = {"text_ids": torch.from_numpy(_text_ids(table))}
        if self._guide is not None:
            batch["label"] |= self._guide_inputs(table)
        return batch

    def _guide_inputs(self, table: list[list[str]]) -> dict[str, Any]:
        assert self._guide is not None
        # One role for all texts where the guide does not tell roles apart.
        texts_alone = roles_share_vectors(self._guide, self._guide_prompts)
        roles: list[Role] = [
            "document" if column or texts_alone else "anchor" for column in range(len(table[0]))
        ]
        units: dict[tuple[Role, str], int] = {}
        batches = []
        for role in sorted(set(roles)):
            texts = {text for row in table for text, its in zip(row, roles, strict=True) if its == role}
            # By length, so that little is padded; by the text itself, so that the order is always the same.
            ordered = sorted(texts, key=lambda text: (len(text), text))
            for start in range(0, len(ordered), _GUIDE_TEXTS_AT_ONCE):
                part = ordered[start : start + _GUIDE_TEXTS_AT_ONCE]
                units |= {(role, text): len(units) + number for number, text in enumerate(part)}
                inputs = self._guide.preprocess(part, prompt=self._guide_prompts[role], task=TASKS[role])
                batches.append(cast(dict[str, Any], inputs))
        places = [[units[role, text] for role, text in zip(roles, row, strict=True)] for row in table]
        return {"guide_batches": batches, "guide_units": torch.tensor(places)}


def _text_ids(table: list[list[str]]) -> np.ndarray:
    """A 64-bit hash of each text: equal texts have equal ids, and others all but never."""
    hashes = [[xxhash.xxh3_64_intdigest(text.encode()) for text in row] for row in table]
    return np.array(hashes, dtype=np.uint64).view(np.int64)
