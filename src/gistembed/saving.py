"""Save a trained model and its adapters, and see that what is read back gives the same embeddings."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32

from gistembed.errors import UserError
from gistembed.folder import RunFolder
from gistembed.models import ROLES, EmbeddingModel, load_model, no_progress_bars
from gistembed.pairs import Pairs
from gistembed.prepare.run import PreparedRun
from gistembed.prepare.student import load_student
from gistembed.train import merge_lora

_PROBES = 16
# Numbers of unit vectors: far above what another order of additions does, far below any other model.
_FURTHEST = 1e-3


def save_trained(run: PreparedRun, student: EmbeddingModel, folder: RunFolder, place: str) -> EmbeddingModel:
    """Save what a run trained, and read it back as its users will.

    With LoRA, the model that is saved holds the adapters in its weights and needs no peft; the adapters lie
    beside it.

    Args:
        run: The run.
        student: The trained student; its adapters are merged in place.
        folder: Where the run writes.
        place: The name of the model's folder.

    Raises:
        UserError: If what was saved gives other embeddings than the student in memory.
        OSError: If the disk refuses.
    """
    trained = probe_embeddings(run.train, student)
    if run.config.lora is not None:
        adapter = "adapter" if place == "model" else f"{place}-adapter"
        folder.save_adapter(student, adapter)
        base = load_student(run.config)
        with no_progress_bars():
            base.model.load_adapter(str(folder.model(adapter)))
        _check(base, folder.model(adapter), run.train, trained)
        merge_lora(student.model)
    folder.save_model(student, place)
    saved = load_model(folder.model(place), option="--out")
    _check(saved, folder.model(place), run.train, trained)
    return saved


def probe_embeddings(pairs: Pairs, model: EmbeddingModel) -> Float32[np.ndarray, "probes dim"]:
    """The embeddings of a few texts in both roles.

    Args:
        pairs: Whose texts.
        model: Embeds them.
    """
    rows = np.linspace(0, len(pairs) - 1, min(_PROBES, len(pairs)), dtype=np.int64)
    ids = (pairs.anchors[rows], pairs.positives[rows])
    return np.concatenate(
        [model.embed(pairs.texts.of(of_role), role) for role, of_role in zip(ROLES, ids, strict=True)]
    )


def _check(
    saved: EmbeddingModel, folder: Path, pairs: Pairs, trained: Float32[np.ndarray, "probes dim"]
) -> None:
    apart = np.abs(probe_embeddings(pairs, saved) - trained).max()
    if not apart <= _furthest(saved):
        raise UserError(
            f"{folder}: what was saved is not what was trained: its embeddings differ by up to {apart:.2g}; "
            "a module of the student doesn't save all that it needs, so choose another --student"
        )


def _furthest(model: EmbeddingModel) -> float:
    """How far apart rounding can bring two numbers of unit vectors, by the coarsest type of the weights."""
    steps = [torch.finfo(one.dtype).eps for one in model.model.parameters() if one.is_floating_point()]
    return max([_FURTHEST, *(4 * step for step in steps)])
