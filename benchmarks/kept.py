"""The ways in which a guide's vectors may be kept: in how many bits, and how many of their numbers."""

from collections.abc import Callable

from torch import Tensor

Kept = Callable[[Tensor], Tensor]
"""What is left of vectors, as float32."""


def ways_to_keep(dimensions: int) -> dict[str, tuple[int, Kept]]:
    """By name: bytes that a vector takes, and what is left of it.

    Args:
        dimensions: Length of a vector.
    """
    half, quarter = dimensions // 2, dimensions // 4
    return {
        "float32": (4 * dimensions, lambda vectors: vectors),
        "float16": (2 * dimensions, lambda vectors: vectors.half().float()),
        "bfloat16": (2 * dimensions, lambda vectors: vectors.bfloat16().float()),
        "int8, by each vector's largest": (dimensions, _int8),
        f"float16, the first {half} dimensions": (2 * half, lambda vectors: vectors[:, :half].half().float()),
        f"float16, the first {quarter} dimensions": (
            2 * quarter,
            lambda vectors: vectors[:, :quarter].half().float(),
        ),
    }


def _int8(vectors: Tensor) -> Tensor:
    scale = vectors.abs().amax(dim=1, keepdim=True) / 127
    return (vectors / scale).round()
