"""A finished model in a folder of its own: there whole or not at all."""

from collections.abc import Mapping
from pathlib import Path

from gistembed.files import library_writes, whole_folder
from gistembed.models import EmbeddingModel, no_progress_bars


def save_plain(model: EmbeddingModel, folder: Path) -> None:
    """Save a model as sentence-transformers does, in a folder that is there.

    Args:
        model: The model.
        folder: The folder.

    Raises:
        OSError: If the disk refuses.
    """
    with no_progress_bars(), library_writes(folder):
        model.model.save_pretrained(str(folder), create_model_card=False)


def save_whole(model: EmbeddingModel, out: Path, beside: Mapping[str, str]) -> None:
    """Save a model with some texts beside it.

    Args:
        model: The model.
        out: The folder; nothing is there yet.
        beside: Content of further files, by name.

    Raises:
        OSError: If the disk refuses; nothing is left behind.
    """
    with whole_folder(out) as partial:
        save_plain(model, partial)
        write_texts(partial, beside)


def write_texts(folder: Path, contents: Mapping[str, str]) -> None:
    """Write small files of text.

    Args:
        folder: Where.
        contents: Their content, by name.
    """
    for name, content in contents.items():
        (folder / name).write_text(content, encoding="utf-8", newline="\n")
