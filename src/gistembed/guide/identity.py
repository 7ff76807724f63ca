"""All that a guide's vectors depend on, besides the text and its prompt."""

import json
from dataclasses import asdict, dataclass
from typing import Literal, get_args

import numpy as np
import xxhash

VectorDtype = Literal["float16", "float32"]

# In the digest, so that a store of another layout is another folder, not a damaged one.
_LAYOUT = 2


@dataclass(frozen=True)
class GuideIdentity:
    """All that a guide's vectors depend on, besides the text and its prompt.

    Attributes:
        files: xxh3-128 over the model's files: weights, tokenizer, pooling, normalisation.
        max_length: Longest input in tokens; None if there is no limit.
        dimensions: Length of a vector.
        dtype: How a vector is stored.

    Raises:
        ValueError: If the dtype is unknown.
    """

    files: str
    max_length: int | None
    dimensions: int
    dtype: VectorDtype = "float16"

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

    def digest(self) -> str:
        """The name of this guide's folder in the store."""
        content = asdict(self) | {"layout": _LAYOUT}
        return xxhash.xxh3_128_hexdigest(json.dumps(content, sort_keys=True).encode())
