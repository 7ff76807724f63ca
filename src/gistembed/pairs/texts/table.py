"""The table of distinct texts: Arrow arrays, of which all but the newest lie in memory-mapped files."""

import secrets
import tempfile
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import suppress
from operator import index
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
import xxhash
from jaxtyping import Int64, UInt8

from gistembed.files import storage_error
from gistembed.pairs.texts.index import HashIndex

# Texts wait in memory until there are so many, or so many bytes of them; then they go to a file.
_CHUNK_TEXTS = 1 << 16
_CHUNK_BYTES = 32 * 2**20

_AT_ONCE = 10_000


class Texts:
    """Distinct texts, numbered from 0 in the order in which they were first seen.

    Two texts are the same only if they are equal character by character; their 128-bit hashes say so.
    Large tables lie in temporary files (in ``TMPDIR``) that no name leads to, so that nothing is left behind.
    """

    def __init__(self) -> None:
        """An empty table."""
        self._index = HashIndex()
        self._chunks: list[Any] = []
        self._starts: list[int] = []
        self._open: list[str] = []
        self._open_bytes = 0

    def add(self, text: str) -> int:
        """The text's id, a new one if the text is new.

        Raises:
            UnicodeEncodeError: If it holds half a surrogate pair.
            StorageError: If the disk is full.
        """
        encoded = text.encode()
        digest = xxhash.xxh3_128_digest(encoded)
        number = self._index.find_one(digest)
        if number < 0:
            number = self._index.add_one(digest)
            self._keep([text], len(encoded))
        return number

    def add_all(self, texts: Sequence[str]) -> Int64[np.ndarray, " texts"]:
        """The id of each text; new texts get new ids, in their order.

        Raises:
            UnicodeEncodeError: If a text holds half a surrogate pair; none is added then.
            StorageError: If the disk is full.
        """
        encoded = [text.encode() for text in texts]
        first: dict[bytes, int] = {}
        digests = [xxhash.xxh3_128_digest(text) for text in encoded]
        which = np.fromiter(
            (first.setdefault(digest, len(first)) for digest in digests), np.int64, len(digests)
        )
        hashes = np.frombuffer(b"".join(first), np.uint8).reshape(-1, 16)
        ids = self._index.find(hashes)
        new = np.flatnonzero(ids < 0)
        if len(new):
            ids[new] = np.arange(len(self), len(self) + len(new))
            self._index.add(hashes[new])
            # Of equal texts, any is the one that is kept; the last is the easiest to find.
            place = np.empty(len(first), np.int64)
            place[which] = np.arange(len(which))
            kept = place[new].tolist()
            self._keep([texts[number] for number in kept], sum(len(encoded[number]) for number in kept))
        return ids[which]

    def id_of(self, text: str) -> int:
        """The id of a text.

        Raises:
            KeyError: If it isn't here.
        """
        if (found := self.number_of(text)) < 0:
            raise KeyError(text)
        return found

    def number_of(self, text: str) -> int:
        """The id of a text; -1 if it isn't here."""
        return self._index.find_one(xxhash.xxh3_128_digest(text.encode()))

    def numbers_of(self, texts: Sequence[str]) -> Int64[np.ndarray, " texts"]:
        """The id of each text; -1 for those that aren't here."""
        digests = b"".join(xxhash.xxh3_128_digest(text.encode()) for text in texts)
        return self._index.find(np.frombuffer(digests, np.uint8).reshape(-1, 16))

    def __getitem__(self, text_id: SupportsIndex) -> str:
        """The text with this id; -1, which pads elsewhere, is no id."""
        number = index(text_id)
        if number < 0:
            raise IndexError(f"{number} is not the id of a text")
        chunk = bisect_right(self._starts, number) - 1
        if chunk >= 0 and number - self._starts[chunk] < len(self._chunks[chunk]):
            text: str = self._chunks[chunk][number - self._starts[chunk]].as_py()
            return text
        return self._open[number - self._sealed]

    def of(self, text_ids: Int64[np.ndarray, " ids"]) -> list[str]:
        """The texts with these ids, which are none of them -1."""
        import pyarrow as pa

        texts = [""] * len(text_ids)
        chunks = np.searchsorted(self._starts, text_ids, "right") - 1
        chunks[text_ids >= self._sealed] = len(self._chunks)
        for chunk in np.unique(chunks).tolist():
            places = np.flatnonzero(chunks == chunk)
            if chunk == len(self._chunks):
                waiting = (text_ids[places] - self._sealed).tolist()
                found = [self._open[number] for number in waiting]
            else:
                within = pa.array(text_ids[places] - self._starts[chunk])
                found = self._chunks[chunk].take(within).to_pylist()
            for place, text in zip(places.tolist(), found, strict=True):
                texts[place] = text
        return texts

    def each(self, text_ids: Int64[np.ndarray, " ids"]) -> Iterator[str]:
        """The same one after another, so that not all of them are held at once."""
        for start in range(0, len(text_ids), _AT_ONCE):
            yield from self.of(text_ids[start : start + _AT_ONCE])

    def __len__(self) -> int:
        """How many distinct texts there are; ids are below it."""
        return len(self._index)

    def hashes(self) -> UInt8[np.ndarray, "texts 16"]:
        """The xxh3-128 of each text's UTF-8 bytes, by id."""
        return self._index.hashes()

    def digest(self) -> str:
        """The xxh3-128 of all texts in the order of their ids."""
        return xxhash.xxh3_128_hexdigest(self.hashes().tobytes())

    @property
    def _sealed(self) -> int:
        """How many texts lie in files."""
        return self._starts[-1] + len(self._chunks[-1]) if self._chunks else 0

    def _keep(self, texts: Sequence[str], size: int) -> None:
        """Keep texts that were numbered just now, of so many bytes together."""
        self._open += texts
        self._open_bytes += size
        if len(self._open) >= _CHUNK_TEXTS or self._open_bytes >= _CHUNK_BYTES:
            self._seal()

    def _seal(self) -> None:
        """Move the texts that wait in memory to a file, and map it."""
        start = self._sealed
        self._chunks.append(_mapped(self._open))
        self._starts.append(start)
        self._open, self._open_bytes = [], 0


def _mapped(texts: Sequence[str]) -> Any:  # noqa: ANN401 — an Arrow array
    """These texts as an Arrow array in a file that is gone when nobody holds the array."""
    import pyarrow as pa

    batch = pa.record_batch([pa.array(texts, pa.large_string())], names=["text"])
    folder = tempfile.gettempdir()
    path = Path(folder, f"gistembed-texts-{secrets.token_hex(8)}.arrow")
    try:
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, batch.schema) as writer:
            writer.write(batch)
        with pa.memory_map(str(path)) as mapped:
            return pa.ipc.open_file(mapped).get_batch(0).column(0)
    except OSError as error:
        raise storage_error(error, place=folder) from error
    finally:
        # Where a file that is mapped can't be removed, it is left to the system's own cleaning.
        with suppress(OSError):
            path.unlink()
