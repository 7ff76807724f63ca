"""A trained model as it was saved, read back as its users will and compared with the one in memory."""

from pathlib import Path

import numpy as np
import torch

from gistembed.errors import UserError
from gistembed.models import EmbeddingModel, load_model
from gistembed.pairs import Pairs
from gistembed.terms import Role

_PROBES = 16
# Numbers of unit vectors: far above what another order of additions does, far below any other model.
_FURTHEST = 1e-3


def read_back(trained: EmbeddingModel, folder: Path, pairs: Pairs) -> EmbeddingModel:
    """Load a saved model, and see that it embeds as the one that was trained.

    Args:
        trained: The model in memory.
        folder: Where it was saved.
        pairs: Whose first texts both embed, in both roles.

    Raises:
        UserError: If their embeddings differ by more than rounding.
    """
    saved = load_model(folder, option="--out")
    probes: dict[Role, list[str]] = {
        "anchor": pairs.texts.of(pairs.anchors[:_PROBES]),
        "document": pairs.texts.of(pairs.positives[:_PROBES]),
    }
    for role, texts in probes.items():
        apart = np.abs(saved.embed(texts, role) - trained.embed(texts, role)).max()
        if not apart <= _furthest(trained):
            raise UserError(
                f"{folder}: the saved model is not the trained one: its embeddings of {role}s differ by up "
                f"to {apart:.2g}; a module of the student doesn't save all that it needs, so choose another "
                "--student"
            )
    return saved


def _furthest(model: EmbeddingModel) -> float:
    """How far apart rounding can bring two numbers of unit vectors, by the coarsest type of the weights."""
    steps = [torch.finfo(one.dtype).eps for one in model.model.parameters() if one.is_floating_point()]
    return max([_FURTHEST, *(4 * step for step in steps)])
