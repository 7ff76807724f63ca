"""Guides that can only be had as vectors: a file of them for each data set."""

import io
import json

import numpy as np
import xxhash

from experiments.data.multilingual import NAME, multilingual_vectors
from experiments.harness.lab import Lab
from experiments.harness.training import DataFolder
from gistembed.files import write_whole
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
        vectors = io.BytesIO()
        np.save(vectors, multilingual_vectors(texts, lab.model(NAME)), allow_pickle=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path.with_suffix(".texts.json"), json.dumps(texts).encode())
        write_whole(path, vectors.getvalue())
    return str(path)
