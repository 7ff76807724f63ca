"""Files of given vectors that guide in a model's place."""

import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from gistembed.files import write_whole
from gistembed.pairs import read_pairs

_DIMENSIONS = 64


def random_guide(train: Path, folder: Path, seed: int = 0) -> str:
    """Write a vector drawn at random for each text of some pairs, and return the file's name.

    Args:
        train: The pairs.
        folder: Where to.
        seed: Decides the vectors.
    """
    pairs = read_pairs(train)
    texts = pairs.texts.of(pairs.text_ids())
    vectors = np.random.default_rng(seed).standard_normal((len(texts), _DIMENSIONS), dtype=np.float32)
    file = folder / f"random-{train.parent.name}.npy"
    write_vectors(file, texts, vectors)
    return str(file)


def write_vectors(file: Path, texts: Sequence[str], vectors: Float32[np.ndarray, "texts dim"]) -> None:
    """Write vectors, and beside them the texts that they are of.

    Args:
        file: Ends in ``.npy``.
        texts: The texts.
        vectors: A vector for each.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file.with_suffix(".texts.json"), json.dumps(list(texts)).encode())
    packed = io.BytesIO()
    np.save(packed, vectors, allow_pickle=False)
    # Last and whole: where it is there, both are.
    write_whole(file, packed.getvalue())
