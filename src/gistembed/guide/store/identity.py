"""All that a guide's vectors depend on, besides the text and its prompt."""

import json
from dataclasses import asdict, dataclass
from typing import get_args

import numpy as np
import xxhash
from jaxtyping import Float32, Num

from gistembed.terms import Backend, VectorDtype

# In the digest, so that a store of another layout is another folder, not a damaged one.
_LAYOUT = 3
_LARGEST_INT8 = 127


@dataclass(frozen=True)
class GuideIdentity:
    """All that a guide's vectors depend on, besides the text and its prompt.

    Attributes:
        files: xxh3-128 over the model's files: weights, tokenizer, pooling, normalisation.
        max_length: Longest input in tokens; None if there is no limit.
        dimensions: Length of a vector.
        dtype: How a vector is stored.
        backend: What runs the model.

    Raises:
        ValueError: If the dtype is unknown.
    """

    files: str
    max_length: int | None
    dimensions: int
    dtype: VectorDtype = "float16"
    backend: Backend = "torch"

    def __post_init__(self) -> None:
        """Refuse what could not be stored."""
        if self.dtype not in get_args(VectorDtype):
            raise ValueError(
                f"dtype: {self.dtype!r} is unknown; choose one of {', '.join(get_args(VectorDtype))}"
            )

    @property
    def numpy_dtype(self) -> np.dtype:
        """How a vector is stored, for numpy."""
        return np.dtype(self.dtype)

    def stored(self, vectors: Float32[np.ndarray, "texts dim"]) -> Num[np.ndarray, "texts dim"]:
        """Vectors as they are stored; see `stored_as`.

        Args:
            vectors: Vectors of any length.
        """
        return stored_as(vectors, self.dtype)

    def digest(self) -> str:
        """The name of this guide's folder in the store."""
        content = asdict(self) | {"layout": _LAYOUT}
        return xxhash.xxh3_128_hexdigest(json.dumps(content, sort_keys=True).encode())


def stored_as(vectors: Float32[np.ndarray, "texts dim"], dtype: VectorDtype) -> Num[np.ndarray, "texts dim"]:
    """Vectors in fewer bits; of int8 ones the largest number is 127, as only directions count.

    A vector that is not finite becomes zeros in int8, which knows no other sign.

    Args:
        vectors: Vectors of any length.
        dtype: What to keep of each number.
    """
    if dtype != "int8":
        with np.errstate(over="ignore"):
            return vectors.astype(dtype)
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    usable = np.isfinite(largest) & (largest > 0)
    scaled = np.divide(vectors, largest, out=np.zeros_like(vectors), where=usable)
    quantised: Num[np.ndarray, "texts dim"] = np.rint(scaled * _LARGEST_INT8).astype(np.int8)
    return quantised
