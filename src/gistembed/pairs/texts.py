"""The table of distinct texts: each has one integer id, which travels everywhere in the text's place."""

from operator import index
from typing import SupportsIndex

import numpy as np
import xxhash
from jaxtyping import UInt8


class Texts:
    """Distinct texts, numbered from 0 in the order in which they were first seen.

    Two texts are the same only if they are equal character by character.
    """

    def __init__(self) -> None:
        """An empty table."""
        self._texts: list[str] = []
        self._ids: dict[str, int] = {}

    def add(self, text: str) -> int:
        """The text's id, a new one if the text is new."""
        text_id = self._ids.setdefault(text, len(self._texts))
        if text_id == len(self._texts):
            self._texts.append(text)
        return text_id

    def id_of(self, text: str) -> int:
        """The id of a text.

        Raises:
            KeyError: If it isn't here.
        """
        return self._ids[text]

    def __getitem__(self, text_id: SupportsIndex) -> str:
        """The text with this id; -1, which pads elsewhere, is no id."""
        if index(text_id) < 0:
            raise IndexError(f"{text_id} is not the id of a text")
        return self._texts[text_id]

    def __len__(self) -> int:
        """How many distinct texts there are; ids are below it."""
        return len(self._texts)

    def hashes(self) -> UInt8[np.ndarray, "texts 16"]:
        """The xxh3-128 of each text's UTF-8 bytes, by id."""
        joined = b"".join(xxhash.xxh3_128_digest(text.encode()) for text in self._texts)
        return np.frombuffer(joined, np.uint8).reshape(-1, 16)

    def digest(self) -> str:
        """The xxh3-128 of all texts in the order of their ids."""
        return xxhash.xxh3_128_hexdigest(self.hashes().tobytes())
