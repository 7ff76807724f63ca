"""Guide vectors on disk: append-only shards, each committed by one rename.

A store folder holds one folder per guide identity, with a manifest and shards. A shard is a safetensors
file of keys and vectors. It is written beside its place, flushed to disk and renamed, so a reader sees it
whole or not at all, and writers never touch each other's files.
"""

import json
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import xxhash
from jaxtyping import Float16

from gistembed.errors import StorageError, UserError
from gistembed.files import can_be_written, no_space, write_whole

_SHARD_SUFFIX = ".safetensors"


@dataclass(frozen=True)
class GuideIdentity:
    """All that a guide's vectors depend on, besides the text and its prompt.

    Attributes:
        files: xxh3-128 over the model's files: weights, tokenizer, pooling, normalisation.
        max_length: Longest input in tokens; None if there is no limit.
        dimensions: Length of a vector.
        dtype: How a vector is stored.
    """

    files: str
    max_length: int | None
    dimensions: int
    dtype: str = "float16"

    def digest(self) -> str:
        """The name of this guide's folder in the store."""
        return xxhash.xxh3_128_hexdigest(json.dumps(asdict(self), sort_keys=True).encode())


@dataclass(frozen=True)
class StoreSummary:
    """What is in the store for one guide."""

    folder: Path
    vectors: int
    damaged: tuple[Path, ...]


def key_head(prompt: str, task: str = "") -> bytes:
    """What the keys of all texts of one role have in common.

    Args:
        prompt: What the guide reads before the text.
        task: Branch of an asymmetric guide; empty where all roles share one.
    """
    return json.dumps([prompt, task]).encode() + b"\0"


def text_key(head: bytes, text: str) -> bytes:
    """128-bit key of a text under a prompt; texts are told apart to the byte.

    Args:
        head: From `key_head`.
        text: The raw text.
    """
    return xxhash.xxh3_128_digest(head + text.encode())


class GuideStore:
    """Vectors of one guide in a store folder."""

    def __init__(self, root: Path, identity: GuideIdentity) -> None:
        """Open the store and read the keys of all whole shards.

        Args:
            root: The store folder; it need not exist yet.
            identity: The guide that the vectors belong to.
        """
        self._root = root
        self.folder = root / identity.digest()
        self._identity = identity
        self._rows: dict[bytes, tuple[int, int]] = {}
        self._shards: list[Float16[np.ndarray, "texts dim"]] = []
        self._damaged: list[Path] = []
        for path in sorted(self.folder.glob(f"[!.]*{_SHARD_SUFFIX}")):
            self._open(path)

    def summary(self) -> StoreSummary:
        """How much is there, and which shards are damaged and not used."""
        return StoreSummary(self.folder, len(self._rows), tuple(self._damaged))

    def check_writable(self) -> None:
        """Make sure, before any long work and without writing, that vectors can be kept here.

        Raises:
            UserError: If the folder, or the nearest one above it that is there, can't be written.
        """
        if not can_be_written(self.folder):
            raise UserError(f"--store {self._root}: can't be written; choose another folder")

    def __contains__(self, key: bytes) -> bool:
        """Whether the key's vector is there."""
        return key in self._rows

    def read(self, keys: list[bytes]) -> Float16[np.ndarray, "texts dim"]:
        """Vectors of keys, in their order.

        Raises:
            KeyError: If a key is not there.
        """
        result = np.empty((len(keys), self._identity.dimensions), dtype=np.float16)
        for row, key in enumerate(keys):
            shard, position = self._rows[key]
            result[row] = self._shards[shard][position]
        return result

    def append(self, keys: list[bytes], vectors: Float16[np.ndarray, "texts dim"]) -> None:
        """Commit vectors to disk; when this returns, a crash can no longer lose them.

        Raises:
            StorageError: If the store can't be written.
        """
        from safetensors.numpy import save

        flat_keys = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(len(keys), 16)
        metadata = {"checksum": self._checksum(flat_keys, vectors)}
        content = save({"keys": flat_keys, "vectors": vectors}, metadata=metadata)
        path = self.folder / f"{secrets.token_hex(8)}{_SHARD_SUFFIX}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            manifest = self.folder / "guide.json"
            if not manifest.exists():
                write_whole(manifest, json.dumps(asdict(self._identity), indent=2).encode())
            write_whole(path, content)
        except OSError as error:
            advice = "free space or choose" if no_space(error) else "choose"
            raise StorageError(
                f"{self.folder}: the guide's vectors can't be stored ({error.strerror}); "
                f"{advice} another folder with --store"
            ) from error
        self._add(keys, vectors)

    def _open(self, path: Path) -> None:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy") as file:
                keys, vectors = file.get_tensor("keys"), file.get_tensor("vectors")
                intact = (file.metadata() or {}).get("checksum") == self._checksum(keys, vectors)
        except (SafetensorError, OSError):
            intact = False
        if intact:
            self._add([key.tobytes() for key in keys], vectors)
        else:
            self._damaged.append(path)

    def _add(self, keys: list[bytes], vectors: Float16[np.ndarray, "texts dim"]) -> None:
        shard = len(self._shards)
        self._shards.append(vectors)
        self._rows.update((key, (shard, position)) for position, key in enumerate(keys))

    def _checksum(self, keys: np.ndarray, vectors: np.ndarray) -> str:
        # With the guide's digest in front, a shard of another guide is foreign even if it fits.
        digest = xxhash.xxh3_128(self.folder.name.encode())
        digest.update(keys.tobytes())
        digest.update(vectors.tobytes())
        return digest.hexdigest()
