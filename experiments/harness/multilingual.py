"""Guides that can only be had as vectors: a file of them for each data set."""

from pathlib import Path

from experiments.data.multilingual import NAME, multilingual_vectors
from experiments.harness.given import write_vectors
from experiments.harness.identity import file_digest, key_of
from experiments.harness.lab import Lab
from experiments.harness.training import DataFolder
from gistembed.pairs import read_pairs


def multilingual_guide(lab: Lab, data: DataFolder) -> str:
    """The file of the multilingual encoder's vectors of a data set's training texts; made if it isn't there.

    It stands in the place of a guide's name.

    Args:
        lab: Where the file goes.
        data: The data set.
    """
    encoder = Path(lab.model(NAME))
    files = sorted(path for path in encoder.rglob("*") if path.is_file() and path.suffix != ".pyc")
    made_by = {str(path.relative_to(encoder)): file_digest(path) for path in files}
    path = lab.work / "vectors" / f"{NAME}-{key_of(train=file_digest(data.train), encoder=made_by)}.npy"
    if not path.exists():
        pairs = read_pairs(data.train)
        texts = list(pairs.texts.of(pairs.text_ids()))
        write_vectors(path, texts, multilingual_vectors(texts, str(encoder)))
    return str(path)
