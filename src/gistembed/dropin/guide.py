"""How a frozen guide reads a batch that was made for the student."""

import math
import warnings
from collections.abc import Mapping, MutableMapping
from typing import Any

import torch
from jaxtyping import Float
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.losses import CachedLossMixin, has_static_embedding_input
from torch import Tensor

from gistembed.dropin.tokens import decoded, same_tokens
from gistembed.models import TASKS, role_prompts

Features = MutableMapping[str, Any]


class GuideReader:
    """The guide's vectors of a batch: of the raw texts, of the student's tokens, or of these decoded.

    The guide is frozen and in evaluation mode, follows the student to its device, and is part of no module.
    """

    def __init__(
        self, model: SentenceTransformer, guide: SentenceTransformer, mini_batch_size: int | None
    ) -> None:
        """Freeze the guide and see how it can read.

        Args:
            model: The student.
            guide: The guide.
            mini_batch_size: Rows that the guide reads at a time; None for all.

        """
        self.guide = guide
        self._model = model
        self._mini_batch_size = mini_batch_size
        self._same_tokens: bool | None = None
        self._mini_batches = _MiniBatches(guide, mini_batch_size or 1)
        guide.requires_grad_(False)

    @torch.no_grad()
    def vectors(
        self, columns: list[Features], given: Mapping[str, Any]
    ) -> list[Float[Tensor, "rows guide_dim"]]:
        """Guide vectors of each column.

        Args:
            columns: The student's inputs by column; they are not changed.
            given: What a `GuideCollator` made of the raw texts; empty without one.

        Raises:
            ValueError: If there are only the student's inputs, and one of the models has no tokenizer.
        """
        self.guide.eval()
        device = next(value.device for value in columns[0].values() if isinstance(value, Tensor))
        if self.guide.device != device:
            self.guide.to(device)
        if "guide_batches" in given:
            vectors = torch.cat([self._embed(batch) for batch in given["guide_batches"]])
            return list(vectors[given["guide_units"]].unbind(1))
        if self._same_tokens is None:
            self._same_tokens = same_tokens(self._model, self.guide)
            lost = self._what_is_lost(self._same_tokens)
            if lost:
                advice = "Give the trainer data_collator=gistembed.GuideCollator(model, guide), and the guide"
                warnings.warn(f"{lost}. {advice} reads the raw texts", stacklevel=4)
        if self._same_tokens:
            return [self._embed_in_parts(features) for features in columns]
        # The first column holds anchors, as everywhere.
        return [
            self._embed_texts(decoded(self._model, features), column == 0, device)
            for column, features in enumerate(columns)
        ]

    def _embed(self, features: Features) -> Tensor:
        # A copy, since modules write what they find into their inputs.
        vectors: Tensor = self.guide(dict(features))["sentence_embedding"]
        return vectors

    def _embed_in_parts(self, features: Features) -> Tensor:
        if self._mini_batch_size is None or has_static_embedding_input(self.guide):
            return self._embed(features)
        parts = self._mini_batches.embed_minibatch_iter(
            dict(features), with_grad=False, copy_random_state=False
        )
        return torch.cat([vectors for vectors, *_ in parts])

    def _embed_texts(self, texts: list[str], are_anchors: bool, device: torch.device) -> Tensor:
        size = self._mini_batch_size or max(len(texts), 1)
        parts = []
        for start in range(0, len(texts), size):
            # Prompts of the guide stay out: a prompt of the student may still stand in the text.
            features = self.guide.preprocess(
                texts[start : start + size], task=TASKS["anchor" if are_anchors else "document"]
            )
            moved = {
                name: value.to(device) if isinstance(value, Tensor) else value
                for name, value in features.items()
            }
            parts.append(self._embed(moved))
        return torch.cat(parts)

    def _what_is_lost(self, same_tokens: bool) -> str:
        prompts = [prompt for prompt in role_prompts(self.guide).values() if prompt]
        if same_tokens:
            return (
                f"the guide reads the student's tokens, without its own prompt {prompts[0]!r}"
                if prompts
                else ""
            )
        limit = self._model.max_seq_length
        lost = [] if limit is None or math.isinf(limit) else [f"cut at the student's {limit} tokens"]
        tokenizer = self._model.tokenizer
        if getattr(tokenizer, "do_lower_case", False):
            lost.append("in lower case")
        lost.append("without the signs that the student's vocabulary lacks")
        if prompts:
            lost.append(f"without the guide's own prompt {prompts[0]!r}")
        return (
            "the guide has another tokenizer than the student and reads the student's tokens turned back "
            f"into text: {', '.join(lost)}"
        )


class _MiniBatches(CachedLossMixin):
    """Cuts a column's inputs into mini-batches and embeds them, as the cached losses do."""

    def __init__(self, model: SentenceTransformer, mini_batch_size: int) -> None:
        self.model = model
        self.mini_batch_size = mini_batch_size
