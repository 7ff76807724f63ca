"""Finds the number of a text by its hash: 128 bits for each text, and a table of numbers; nothing else."""

import struct

import numpy as np
from jaxtyping import Int64, UInt8

_SMALLEST = 1 << 16
_FULLEST = 0.6
_MOST = np.iinfo(np.int32).max
# The two halves of a hash as numbers, as a view of it has them.
_HALVES = struct.Struct("=QQ")


class HashIndex:
    """Numbers of distinct 128-bit hashes, in the order in which they came.

    Takes 16 bytes for each hash and 7 to 13 for its place. Every step is one over whole arrays, which for a
    single hash costs far more than the hash itself: `find_one` and `add_one` do without.
    """

    def __init__(self) -> None:
        """An empty index."""
        self._hashes = np.empty((_SMALLEST, 2), np.uint64)
        self._slots = np.full(2 * _SMALLEST, -1, np.int32)
        self._count = 0

    def __len__(self) -> int:
        """How many hashes there are."""
        return self._count

    def hashes(self) -> UInt8[np.ndarray, "hashes 16"]:
        """All hashes by number."""
        return self._hashes[: self._count].view(np.uint8)

    def find(self, hashes: UInt8[np.ndarray, "some 16"]) -> Int64[np.ndarray, " some"]:
        """The number of each hash; -1 for those that aren't here."""
        keys = np.ascontiguousarray(hashes).view(np.uint64)
        numbers = np.full(len(keys), -1, np.int64)
        pending = np.arange(len(keys))
        slots = self._first_slots(keys)
        while len(pending):
            held = self._slots[slots]
            same = (held >= 0) & (self._hashes[held] == keys[pending]).all(axis=1)
            numbers[pending[same]] = held[same]
            on = (held >= 0) & ~same
            pending, slots = pending[on], self._next(slots[on])
        return numbers

    def add(self, hashes: UInt8[np.ndarray, "new 16"]) -> None:
        """Number hashes that are distinct and not here yet.

        Args:
            hashes: The hashes.
        """
        keys = np.ascontiguousarray(hashes).view(np.uint64)
        self._make_room(len(keys))
        numbers = np.arange(self._count, self._count + len(keys))
        self._hashes[numbers] = keys
        self._count += len(keys)
        self._place(keys, numbers)

    def find_one(self, digest: bytes) -> int:
        """The number of a hash; -1 if it isn't here.

        Args:
            digest: The 16 bytes of the hash.
        """
        return self._slots.item(self._slot_of(digest))

    def add_one(self, digest: bytes) -> int:
        """Number a hash that is not here yet, and return its number.

        Args:
            digest: The 16 bytes of the hash.
        """
        self._make_room(1)
        number = self._count
        self._hashes[number, 0], self._hashes[number, 1] = _HALVES.unpack(digest)
        self._slots[self._slot_of(digest)] = number
        self._count += 1
        return number

    def _slot_of(self, digest: bytes) -> int:
        """The slot that holds a hash, or the free one that it would get."""
        slots, hashes, last = self._slots, self._hashes, len(self._slots) - 1
        first, second = _HALVES.unpack(digest)
        slot: int = first & last
        while (held := slots.item(slot)) >= 0:
            if hashes.item(held, 0) == first and hashes.item(held, 1) == second:
                break
            slot = (slot + 1) & last
        return slot

    def _place(self, keys: np.ndarray, numbers: Int64[np.ndarray, " new"]) -> None:
        slots = self._first_slots(keys)
        while len(numbers):
            free = self._slots[slots] < 0
            # Where several claim one slot, the last one written has it; the others go on.
            self._slots[slots[free]] = numbers[free]
            on = self._slots[slots] != numbers
            numbers, slots = numbers[on], self._next(slots[on])

    def _make_room(self, more: int) -> None:
        needed = self._count + more
        assert needed < _MOST, "texts are numbered in 32 bits here"
        if needed > len(self._hashes):
            grown = np.empty((max(needed, len(self._hashes) * 3 // 2), 2), np.uint64)
            grown[: self._count] = self._hashes[: self._count]
            self._hashes = grown
        if needed > _FULLEST * len(self._slots):
            self._slots = np.full(1 << int(needed / _FULLEST).bit_length(), -1, np.int32)
            block = _SMALLEST
            for start in range(0, self._count, block):
                numbers = np.arange(start, min(start + block, self._count))
                self._place(self._hashes[numbers], numbers)

    def _first_slots(self, keys: np.ndarray) -> Int64[np.ndarray, " keys"]:
        return (keys[:, 0] & np.uint64(len(self._slots) - 1)).astype(np.int64)

    def _next(self, slots: Int64[np.ndarray, " some"]) -> Int64[np.ndarray, " some"]:
        return (slots + 1) & (len(self._slots) - 1)
