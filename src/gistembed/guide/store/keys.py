"""What a text is looked up by: 128 bits over its exact bytes, its prompt and its branch of the guide."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import xxhash
from jaxtyping import Int64, UInt64


@dataclass(frozen=True, eq=False)
class Keys:
    """Keys of texts, in two halves that can be sorted and searched as numbers.

    Attributes:
        high: First half of each key.
        low: Second half.
    """

    high: UInt64[np.ndarray, " texts"]
    low: UInt64[np.ndarray, " texts"]

    @classmethod
    def of(cls, texts: Iterable[str], *, prompt: str, task: str = "") -> "Keys":
        """Keys of raw texts; texts are told apart to the byte.

        Args:
            texts: The raw texts.
            prompt: What the guide reads before each text.
            task: Branch of an asymmetric guide; empty where all roles share one.
        """
        head = json.dumps([prompt, task]).encode() + b"\0"
        digests = b"".join(xxhash.xxh3_128_digest(head + text.encode()) for text in texts)
        halves = np.frombuffer(digests, dtype=">u8").reshape(-1, 2).astype(np.uint64)
        return cls(np.ascontiguousarray(halves[:, 0]), np.ascontiguousarray(halves[:, 1]))

    @classmethod
    def joined(cls, parts: Sequence["Keys"]) -> "Keys":
        """One after another.

        Args:
            parts: At least one.
        """
        return cls(
            np.concatenate([part.high for part in parts]), np.concatenate([part.low for part in parts])
        )

    def to_bytes(self) -> list[bytes]:
        """Each key as its 16 bytes."""
        halves = np.stack([self.high, self.low], axis=1).astype(">u8")
        return [row.tobytes() for row in halves]

    def __len__(self) -> int:
        """How many there are."""
        return len(self.high)

    def at(self, places: Int64[np.ndarray, " _"] | slice) -> "Keys":
        """The keys at some places."""
        return Keys(self.high[places], self.low[places])

    def distinct(self) -> Int64[np.ndarray, " distinct"]:
        """Where each distinct key stands first, in the order of the keys as numbers."""
        order = np.lexsort((self.low, self.high))
        high, low = self.high[order], self.low[order]
        new = np.ones(len(order), dtype=bool)
        new[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
        # The sort is stable: the first of equal keys is the first in place too.
        places: Int64[np.ndarray, " distinct"] = order[new]
        return places
