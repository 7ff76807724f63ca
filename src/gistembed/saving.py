"""Save a trained model and its adapters, and see that what is read back gives the same embeddings."""

import numpy as np
from jaxtyping import Float32

from gistembed.errors import UserError
from gistembed.folder import RunFolder
from gistembed.models import ROLES, EmbeddingModel, load_model, no_progress_bars
from gistembed.prepare import PreparedRun, load_student
from gistembed.saved import read_back
from gistembed.train import merge_lora

_PROBES = 16
# What rounding can make of an embedding of length 1, weights merged or not.
_ALLOWED = 1e-4


def save_trained(run: PreparedRun, student: EmbeddingModel, folder: RunFolder, place: str) -> EmbeddingModel:
    """Save what a run trained, and read it back.

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
    if run.config.lora is None:
        folder.save_model(student, place)
        return read_back(student, folder.model(place), run.train)
    trained = probe_embeddings(run, student)
    adapter = "adapter" if place == "model" else f"{place}-adapter"
    folder.save_adapter(student, adapter)
    merge_lora(student.model)
    folder.save_model(student, place)
    base = load_student(run.config)
    with no_progress_bars():
        base.model.load_adapter(str(folder.model(adapter)))
    merged = load_model(folder.model(place), option="--out")
    for name, saved in ((place, merged), (adapter, base)):
        apart = float(np.abs(probe_embeddings(run, saved) - trained).max())
        if not apart <= _ALLOWED:
            raise UserError(
                f"{folder.model(name)}: read back, its embeddings are {apart:.2g} away from those that were "
                "trained; train without [lora], and report this with the student's name"
            )
    return merged


def probe_embeddings(run: PreparedRun, model: EmbeddingModel) -> Float32[np.ndarray, "probes dim"]:
    """The embeddings of a few training texts in both roles."""
    rows = np.linspace(0, len(run.train) - 1, min(_PROBES, len(run.train)), dtype=np.int64)
    ids = (run.train.anchors[rows], run.train.positives[rows])
    return np.concatenate(
        [model.embed(run.train.texts.of(of_role), role) for role, of_role in zip(ROLES, ids, strict=True)]
    )
