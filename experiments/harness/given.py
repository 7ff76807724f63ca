"""Files of given vectors that guide in a model's place."""

import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from experiments.harness.identity import file_digest, key_of
from gistembed.files import write_whole
from gistembed.pairs import read_pairs

_DIMENSIONS = 64


def random_guide(train: Path, folder: Path, seed: int = 0) -> str:
    """The file of a vector drawn at random for each text of some pairs; made if it isn't there.

    Args:
        train: The pairs.
        folder: Where to.
        seed: Decides the vectors.
    """
    file = folder / f"random-{key_of(train=file_digest(train), seed=seed, dimensions=_DIMENSIONS)}.npy"
    if not file.exists():
        pairs = read_pairs(train)
        texts = pairs.texts.of(pairs.text_ids())
        vectors = np.random.default_rng(seed).standard_normal((len(texts), _DIMENSIONS), dtype=np.float32)
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
