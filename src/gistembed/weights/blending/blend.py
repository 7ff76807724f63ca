"""A model between two of one architecture, on the straight line from weights to weights."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from gistembed.errors import UserError
from gistembed.models import EmbeddingModel, load_model
from gistembed.weights.adapters import has_adapter, merge_adapter
from gistembed.weights.blending.unlike import refuse_unlike
from gistembed.weights.card import blend_card
from gistembed.weights.folder import save_whole
from gistembed.weights.records import BlendRecord

RECORD_NAME = "blend.json"


class Blend:
    """Two models of one architecture, and any model on the line between them.

    Attributes:
        base: The model at 0, as it was.
        tuned: The model at 1; its weights are those of the blend that was asked for last. All besides weights
            is taken from it: prompts, limits, the tokenizer.
    """

    def __init__(self, base: str, tuned: str, *, device: str | None = None) -> None:
        """Load both models; adapters are merged.

        Args:
            base: Folder or hub name.
            tuned: Folder or hub name.
            device: Where they run, as torch names it; an accelerator if there is one, by default.

        Raises:
            UserError: If one can't be loaded, or they are not of one architecture.
        """
        self.base, self.tuned = (
            load_model(name, option=option, device=device)
            for name, option in ((base, "BASE"), (tuned, "TUNED"))
        )
        for model in (self.base, self.tuned):
            if has_adapter(model):
                merge_adapter(model)
        refuse_unlike(self.base, self.tuned)
        self._tuned_weights = {name: weight.clone() for name, weight in self.tuned.model.state_dict().items()}

    def at(self, alpha: float) -> EmbeddingModel:
        """The model with weights (1 - alpha) BASE + alpha TUNED; the one that was given before changes to it.

        Args:
            alpha: Share of TUNED, from 0 to 1.

        Raises:
            UserError: If it is outside of that range.
        """
        if not 0 <= alpha <= 1:
            raise UserError(f"--alpha {alpha:g}: choose from 0, which is BASE, to 1, which is TUNED")
        self.tuned.model.load_state_dict(
            blended_weights(self.base.model.state_dict(), self._tuned_weights, alpha)
        )
        return replace(self.tuned, name=f"blend at {alpha:g}")

    def save(self, out: Path, record: BlendRecord) -> None:
        """Save the blend that a record tells of as a plain sentence-transformers folder, whole or not at all.

        Args:
            out: The folder; nothing is there yet.
            record: What is saved, and how it came about; it is written to ``blend.json`` beside the weights.

        Raises:
            OSError: If the disk refuses; nothing is left behind.
        """
        beside = {RECORD_NAME: record.model_dump_json(indent=2), "README.md": blend_card(record)}
        save_whole(self.at(record.alpha), out, beside)


def blended_weights(
    base: Mapping[str, Tensor], tuned: Mapping[str, Tensor], alpha: float
) -> dict[str, Tensor]:
    """(1 - alpha) base + alpha tuned, in float32.

    It is exactly ``base`` at 0 and ``tuned`` at 1, and a weight that is equal in both stays what it is. What
    is no floating-point number is equal in both.

    Args:
        base: Weights by name.
        tuned: The same weights of the other model.
        alpha: Share of ``tuned``.

    Source: Wortsman et al. 2022, Robust fine-tuning of zero-shot models (arXiv 2109.01903).
    """
    return {
        name: torch.lerp(weight.float(), tuned[name].float(), alpha) if weight.is_floating_point() else weight
        for name, weight in base.items()
    }
