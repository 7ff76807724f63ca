"""One file of keys and vectors: written once and whole, mapped into memory, checked block by block.

It is a safetensors file, so that anything can read it: keys in ascending order, how many tokens each of their
texts has, and their vectors. Its metadata hold a checksum of the keys and lengths and one of each block of
vectors, and a seal over these, the layout and the guide that the vectors belong to. The seal is checked when
the file is opened; a checksum, before what it covers is used for the first time.
"""

import json
import mmap
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from jaxtyping import Bool, Int32, Int64, Num

from gistembed.files import whole_file
from gistembed.guide.store.identity import GuideIdentity
from gistembed.guide.store.keys import Keys

SUFFIX = ".safetensors"
BLOCK_ROWS = 1024
"""Vectors that one checksum covers."""

_FORMAT = "gistembed guide shard"
_DTYPES = {"float16": "F16", "float32": "F32", "int8": "I8"}
# Bytes before a row's vector: both halves of its key, and its length.
_INDEX_BYTES = 8 + 8 + 4
_CHECKSUM_DIGITS = 16
# What is mapped as 64-bit numbers should start like one; 64 also suits everything else.
_ALIGNMENT = 64


class DamagedError(ValueError):
    """A file, or a part of it, is not what was written."""


class Shard:
    """A shard that is there; nothing of it is read before it is asked for.

    Attributes:
        path: The file.
        keys: Keys, ascending; check with `keys_intact` before use.
        lengths: Tokens of each text, in the order of the keys; 0 where they are not known. Checked with
            the keys.
        vectors: Vectors in the order of the keys; check with `intact` before use.
    """

    def __init__(self, path: Path, guide: GuideIdentity) -> None:
        """Map the file and check the seal.

        Args:
            path: The file.
            guide: The guide that its vectors must belong to.

        Raises:
            DamagedError: If it is no whole shard of this guide.
            OSError: If it can't be read.
        """
        self.path = path
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            length = int.from_bytes(file.read(8), "little")
            header = file.read(min(length, size))
            try:
                metadata = json.loads(header)["__metadata__"]
                rows = int(metadata["rows"])
                self._block_checksums = metadata["vectors"]
                self._keys_checksum = metadata["keys"]
                expected = _header(guide, rows, self._keys_checksum, self._block_checksums)
            except (ValueError, KeyError, TypeError) as error:
                raise DamagedError("its header can't be read") from error
            if header != expected[8:]:
                raise DamagedError("it belongs to another guide, or its header is damaged")
            row_bytes = _INDEX_BYTES + guide.dimensions * guide.numpy_dtype.itemsize
            if size != len(expected) + rows * row_bytes:
                raise DamagedError("it is cut off or too long")
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        start = len(expected)
        high, low = (np.frombuffer(self._map, np.uint64, rows, start + 8 * rows * half) for half in (0, 1))
        self.keys = Keys(high, low)
        self.lengths: Int32[np.ndarray, " rows"] = np.frombuffer(self._map, np.int32, rows, start + 16 * rows)
        self.vectors: Num[np.ndarray, "rows dim"] = np.frombuffer(
            self._map, guide.numpy_dtype, rows * guide.dimensions, start + _INDEX_BYTES * rows
        ).reshape(rows, guide.dimensions)
        self._checked: Bool[np.ndarray, " blocks"] = np.zeros(-(-rows // BLOCK_ROWS), bool)
        self._sound = np.zeros_like(self._checked)
        self._keys_sound: bool | None = None

    def __len__(self) -> int:
        """How many vectors there are."""
        return len(self.keys)

    def find(self, keys: Keys) -> Int64[np.ndarray, " keys"]:
        """Where keys stand, and -1 for those that are not here or whose vector is damaged.

        Args:
            keys: The keys; sorted ones are found faster.
        """
        if not self.keys_intact():
            return np.full(len(keys), -1)
        places = np.searchsorted(self.keys.high, keys.high)
        found = np.full(len(keys), -1)
        open_ = np.arange(len(keys))
        # All but never does a second key share the first half.
        while len(open_):
            open_ = open_[places[open_] < len(self)]
            open_ = open_[self.keys.high[places[open_]] == keys.high[open_]]
            same = self.keys.low[places[open_]] == keys.low[open_]
            found[open_[same]] = places[open_[same]]
            open_ = open_[~same]
            places[open_] += 1
        hits = found >= 0
        found[hits] = np.where(self.intact(found[hits]), found[hits], -1)
        return found

    def keys_intact(self) -> bool:
        """Whether the keys, and the lengths with them, are those that were written."""
        if self._keys_sound is None:
            self._keys_sound = _keys_checksum(self.keys, self.lengths) == self._keys_checksum
        return self._keys_sound

    def intact(self, places: Int64[np.ndarray, " _"]) -> Bool[np.ndarray, " _"]:
        """Whether the vectors at some places are those that were written.

        Args:
            places: The places.
        """
        blocks = places // BLOCK_ROWS
        for block in np.unique(blocks[~self._checked[blocks]]).tolist():
            rows = self.vectors[block * BLOCK_ROWS : (block + 1) * BLOCK_ROWS]
            digits = slice(block * _CHECKSUM_DIGITS, (block + 1) * _CHECKSUM_DIGITS)
            self._sound[block] = _checksum(rows) == self._block_checksums[digits]
            self._checked[block] = True
            self._forget(rows)
        sound: Bool[np.ndarray, " _"] = self._sound[blocks]
        return sound

    def _forget(self, rows: np.ndarray) -> None:
        """Give back the memory of pages that were read for their checksum only."""
        start = rows.ctypes.data - np.frombuffer(self._map, np.uint8).ctypes.data
        first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
        length = (start + rows.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE - first
        if length > 0 and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED, first, length)


def write_shard(
    path: Path,
    guide: GuideIdentity,
    keys: Keys,
    lengths: Int32[np.ndarray, " keys"],
    blocks: Iterable[np.ndarray],
) -> None:
    """Commit a shard to disk; when this returns, a crash can no longer lose it.

    Args:
        path: The file.
        guide: The guide that the vectors belong to.
        keys: Keys, ascending and different.
        lengths: Tokens of each text; 0 where they are not known.
        blocks: Their vectors, `BLOCK_ROWS` at a time.

    Raises:
        OSError: If the disk refuses; nothing is left behind.
    """
    places = "0" * (_CHECKSUM_DIGITS * -(-len(keys) // BLOCK_ROWS))
    checksums: list[str] = []
    keys_checksum = _keys_checksum(keys, lengths)
    with whole_file(path) as file:
        # The checksums are known at the end, and take the room that is left for them here.
        file.write(_header(guide, len(keys), keys_checksum, places))
        file.write(keys.high.tobytes())
        file.write(keys.low.tobytes())
        file.write(np.ascontiguousarray(lengths, np.int32).tobytes())
        rows = 0
        for block in blocks:
            content = np.ascontiguousarray(block, guide.numpy_dtype)
            checksums.append(_checksum(content))
            file.write(content.tobytes())
            rows += len(content)
        assert rows == len(keys), "every key has its vector"
        file.seek(0)
        file.write(_header(guide, len(keys), keys_checksum, "".join(checksums)))


def _keys_checksum(keys: Keys, lengths: np.ndarray) -> str:
    return _checksum(keys.high) + _checksum(keys.low) + _checksum(lengths)


def _checksum(numbers: np.ndarray) -> str:
    return xxhash.xxh3_64_hexdigest(np.ascontiguousarray(numbers).data)


def _header(guide: GuideIdentity, rows: int, keys: str, vectors: str) -> bytes:
    """All of the file before its numbers: one content has one header, so that a reader can compare."""
    row_bytes = guide.dimensions * guide.numpy_dtype.itemsize
    metadata = {"format": _FORMAT, "rows": str(rows), "keys": keys, "vectors": vectors}
    layout: dict[str, Any] = {
        "keys_high": _tensor("U64", [rows], 0, 8 * rows),
        "keys_low": _tensor("U64", [rows], 8 * rows, 16 * rows),
        "lengths": _tensor("I32", [rows], 16 * rows, _INDEX_BYTES * rows),
        "vectors": _tensor(
            _DTYPES[guide.dtype],
            [rows, guide.dimensions],
            _INDEX_BYTES * rows,
            rows * (_INDEX_BYTES + row_bytes),
        ),
    }
    sealed = json.dumps([guide.digest(), metadata, layout], sort_keys=True).encode()
    content = {"__metadata__": metadata | {"seal": xxhash.xxh3_128_hexdigest(sealed)}, **layout}
    text = json.dumps(content, sort_keys=True).encode()
    text += b" " * (-(8 + len(text)) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def _tensor(dtype: str, shape: list[int], begin: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
