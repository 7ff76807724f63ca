"""The folder that a co-training writes to, and how models get into it."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from gistembed.cotraining.config import ModelKey
from gistembed.files import library_writes, whole_folder
from gistembed.models import EmbeddingModel, no_progress_bars


@dataclass(frozen=True)
class CoTrainFolder:
    """Where everything of a co-training lies.

    Attributes:
        path: The folder.
    """

    path: Path

    @property
    def record(self) -> Path:
        """The record."""
        return self.path / "cotrain.json"

    @property
    def unfinished(self) -> Path:
        """What only an unfinished co-training needs: the round in hand, checkpoints, snapshots' vectors."""
        return self.path / "unfinished"

    @property
    def store(self) -> Path:
        """Vectors of the snapshots; nobody needs them once the rounds are done."""
        return self.unfinished / "store"

    def checkpoints(self, number: int, key: ModelKey) -> Path:
        """Where the training of a model in a round is kept while it goes on."""
        return self.unfinished / "checkpoints" / f"round-{number}-{key}"

    def logs(self, number: int, key: ModelKey) -> Path:
        """Where TensorBoard finds what a training logged, if it was asked to log."""
        return self.path / "logs" / f"round-{number}-{key}"

    def in_hand(self, number: int) -> Path:
        """Where the models of a round lie until all of them are there."""
        return self.unfinished / f"round-{number}"

    def round(self, number: int) -> Path:
        """Where the models of a finished round lie."""
        return self.path / f"round-{number}"

    def final(self, key: ModelKey) -> Path:
        """Where the best of a model lies in the end."""
        return self.path / key

    def finish_round(self, number: int) -> None:
        """Put the models of a round where they stay; it is there whole or not at all."""
        if self.in_hand(number).exists():
            self.in_hand(number).rename(self.round(number))

    def finish(self) -> None:
        """Remove what only an unfinished co-training needs."""
        shutil.rmtree(self.unfinished, ignore_errors=True)


def average_name(key: ModelKey) -> str:
    """What the moving average of a model is called in the folder of a round."""
    return f"{key}-average"


def save_whole(model: EmbeddingModel, folder: Path) -> None:
    """Save a model as a plain sentence-transformers folder, there whole or not at all.

    Args:
        model: The model.
        folder: Where it goes; what was saved there by an attempt that stopped is replaced.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    with whole_folder(folder) as place, no_progress_bars(), library_writes(folder):
        model.model.save_pretrained(str(place), create_model_card=False)
