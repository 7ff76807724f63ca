"""Guides that can only be had as vectors: a file of them for each data set."""

import xxhash

from experiments.data.multilingual import NAME, multilingual_vectors
from experiments.harness.given import write_vectors
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
    digest = xxhash.xxh3_64_hexdigest(data.train.read_bytes())
    path = lab.work / "vectors" / f"{NAME}-{digest}.npy"
    if not path.exists():
        pairs = read_pairs(data.train)
        texts = list(pairs.texts.of(pairs.text_ids()))
        write_vectors(path, texts, multilingual_vectors(texts, lab.model(NAME)))
    return str(path)
