"""Guide vectors on disk: a folder for each guide, of shards that are each committed by one rename.

Writers never touch each other's files, and readers see a shard whole or not at all. What the shards hold is
found by searching each of them; `gistembed.guide.store.upkeep` merges many into one.
"""

import errno
import re
import secrets
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int32, Int64, Num

from gistembed.errors import StorageError, UserError
from gistembed.files import can_be_written, no_space
from gistembed.guide.store.identity import GuideIdentity
from gistembed.guide.store.keys import Keys
from gistembed.guide.store.manifest import NAME, GuideFacts, Manifest, manifests, read_manifest
from gistembed.guide.store.shard import BLOCK_ROWS, SUFFIX, DamagedError, Shard, write_shard

# Others may merge shards while we look for them.
_MOST_LOOKS = 10
# Of the system or of this process: nothing is wrong with the file.
_NO_MORE_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


@dataclass(frozen=True)
class StoreSummary:
    """What is in the store for one guide.

    Attributes:
        folder: Where.
        vectors: How many vectors, a text in two shards counting twice.
        shards: In how many files.
        bytes: Their size.
        damaged: Files that can't be used, and why.
        unreadable: Files that this process can't read, and why; their content may be sound.
    """

    folder: Path
    vectors: int
    shards: int
    bytes: int
    damaged: dict[Path, str]
    unreadable: dict[Path, str]


class GuideStore:
    """Vectors of one guide in a store folder.

    A row is the number of a vector in this view of the store; rows stay what they are while the view grows by
    `append`. Another view may number differently.
    """

    def __init__(
        self,
        root: Path,
        identity: GuideIdentity,
        name: str = "",
        facts: GuideFacts | None = None,
        *,
        only: Collection[Path] | None = None,
    ) -> None:
        """Open what is there.

        Args:
            root: The store folder; it need not exist yet.
            identity: The guide that the vectors belong to.
            name: What to call the guide; for people, and only if the store is new.
            facts: What the guide is by itself, for later runs that need not ask it; only if the store is new.
            only: Files to open instead of all that are there.
        """
        self.root = root
        self.name = name
        self._facts = facts
        self._only = only
        self.folder = root / identity.digest()
        self.identity = identity
        self.shards: list[Shard] = []
        self._damaged: dict[Path, str] = {}
        self._unreadable: dict[Path, str] = {}
        self._open_shards()
        self._starts = np.cumsum([0, *map(len, self.shards)])

    def reopened(self, only: Collection[Path] | None = None) -> "GuideStore":
        """The same store as it is now, not as it was when it was opened.

        Args:
            only: Files to open instead of all that are there.
        """
        return GuideStore(self.root, self.identity, self.name, self._facts, only=only)

    def summary(self) -> StoreSummary:
        """How much is there, and which files are not used: damaged ones, and those that can't be read."""
        size = 0
        for shard in self.shards:
            # Others may have merged it since.
            with suppress(FileNotFoundError):
                size += shard.path.stat().st_size
        return StoreSummary(
            self.folder, len(self), len(self.shards), size, dict(self._damaged), dict(self._unreadable)
        )

    def check_writable(self) -> None:
        """Make sure, before any long work and without writing, that vectors can be kept here.

        Raises:
            UserError: If the folder, or the nearest one above it that is there, can't be written.
        """
        if not can_be_written(self.folder):
            raise UserError(f"--store {self.root}: can't be written; choose another folder")

    def __len__(self) -> int:
        """How many rows there are."""
        return int(self._starts[-1])

    def find(self, keys: Keys) -> Int64[np.ndarray, " keys"]:
        """Rows of keys; -1 for those that are not there or whose vector is damaged.

        Args:
            keys: The keys.
        """
        rows = np.full(len(keys), -1)
        # Sorted keys visit a large shard from its beginning to its end.
        left = np.lexsort((keys.low, keys.high))
        largest_first = sorted(range(len(self.shards)), key=lambda number: -len(self.shards[number]))
        for number in largest_first:
            if not len(left):
                break
            places = self.shards[number].find(keys.at(left))
            here = places >= 0
            rows[left[here]] = self._starts[number] + places[here]
            left = left[~here]
        return rows

    def read(self, rows: Int64[np.ndarray, " rows"]) -> Num[np.ndarray, "rows dim"]:
        """Copies of the vectors of rows, in their order.

        Args:
            rows: Rows that `find` gave.

        Raises:
            StorageError: If a vector was damaged since, or is damaged and `find` was not asked.
        """
        result = np.empty((len(rows), self.identity.dimensions), self.identity.numpy_dtype)
        for shard, here, places in self._by_shard(rows):
            if not shard.intact(places).all():
                raise StorageError(f"{shard.path}: damaged; run `gistembed guide verify`, then start again")
            result[here] = shard.vectors[places]
        return result

    def lengths(self, rows: Int64[np.ndarray, " rows"]) -> Int32[np.ndarray, " rows"]:
        """Tokens of the texts of rows, prompts and special tokens included; 0 where they are not known.

        Args:
            rows: Rows that `find` gave.
        """
        result = np.zeros(len(rows), np.int32)
        for shard, here, places in self._by_shard(rows):
            result[here] = shard.lengths[places]
        return result

    def _by_shard(
        self, rows: Int64[np.ndarray, " rows"]
    ) -> Iterator[tuple[Shard, Int64[np.ndarray, " here"], Int64[np.ndarray, " here"]]]:
        """Each shard that holds some of the rows: which of them, and their places in it."""
        numbers = np.searchsorted(self._starts, rows, side="right") - 1
        for number in np.unique(numbers).tolist():
            here = np.flatnonzero(numbers == number)
            yield self.shards[number], here, rows[here] - self._starts[number]

    def append(
        self,
        keys: Keys,
        vectors: Num[np.ndarray, "keys dim"],
        lengths: Int32[np.ndarray, " keys"] | None = None,
    ) -> Path | None:
        """Commit vectors to disk; when this returns, a crash can no longer lose them.

        Args:
            keys: The keys; of equal ones the first counts.
            vectors: Their vectors, as `GuideIdentity.stored` gives them.
            lengths: Tokens of each text as the guide reads it; None if they are not known.

        Returns:
            The file; None if there is nothing to commit.

        Raises:
            StorageError: If the store can't be written.
        """
        if not len(keys):
            return None
        order = keys.distinct()
        vectors = vectors[order]
        blocks = (vectors[start : start + BLOCK_ROWS] for start in range(0, len(order), BLOCK_ROWS))
        lengths = np.zeros(len(order), np.int32) if lengths is None else lengths[order]
        return self.write(keys.at(order), lengths, blocks)

    def write(self, keys: Keys, lengths: Int32[np.ndarray, " keys"], blocks: Iterator[np.ndarray]) -> Path:
        """Commit a shard; see `write_shard`.

        Args:
            keys: Keys, ascending and different.
            lengths: Tokens of each text; 0 where they are not known.
            blocks: Their vectors, block by block.

        Raises:
            StorageError: If the store can't be written.
        """
        path = self.folder / f"{secrets.token_hex(8)}{SUFFIX}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if read_manifest(self.folder) is None:
                Manifest(self.name, self.identity, self._facts).write(self.folder)
            write_shard(path, self.identity, keys, lengths, blocks)
        except OSError as error:
            raise refused(self.folder, error) from error
        self._add(Shard(path, self.identity))
        return path

    def _add(self, shard: Shard) -> None:
        self.shards.append(shard)
        self._starts = np.append(self._starts, self._starts[-1] + len(shard))

    def _open_shards(self) -> None:
        for _ in range(_MOST_LOOKS):
            self.shards, self._damaged, self._unreadable, vanished = [], {}, {}, False
            there = self.folder.glob(f"[!.]*{SUFFIX}") if self._only is None else self._only
            paths = sorted(there)
            if paths:
                _allow_open_files(len(paths))
            for path in paths:
                try:
                    self.shards.append(Shard(path, self.identity))
                except FileNotFoundError:
                    if path.is_symlink():
                        self._damaged[path] = "it is a link to nowhere"
                    else:
                        vanished = True
                except OSError as error:
                    if error.errno in _NO_MORE_FILES:
                        raise StorageError(
                            f"{self.folder}: {len(paths):,} files are more than this process may open "
                            f"({error.strerror}); raise its limit (`ulimit -n`)"
                        ) from error
                    self._unreadable[path] = error.strerror or ""
                except DamagedError as error:
                    self._damaged[path] = str(error)
            if not vanished:
                return


def _allow_open_files(more: int) -> None:
    """Raise this process's limit of open files where that many more could break it: a mapped file counts."""
    import resource

    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Other views of this store, and other stores, have files open too.
    needed = len(list(Path("/dev/fd").iterdir())) + 2 * more
    if now != resource.RLIM_INFINITY and needed > now:
        wanted = now + needed
        wanted = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def default_store() -> Path:
    """Where vectors are kept unless the user says otherwise."""
    from platformdirs import user_cache_path

    return user_cache_path("gistembed") / "guide"


def stores_in(root: Path) -> list[GuideStore]:
    """The stores of all guides in a store folder.

    Args:
        root: The folder.

    Raises:
        UserError: If the folder holds none, and no vectors of guides that it doesn't know either.
    """
    stores = [GuideStore(root, found.guide, found.name, found.facts) for found in manifests(root)]
    if not stores and not nameless_in(root):
        raise UserError(f"--store {root}: holds no guide's vectors; `gistembed guide encode` makes some")
    return stores


def nameless_in(root: Path) -> list[Path]:
    """Folders of vectors that don't say whose they are: what they say is damaged, or missing.

    Args:
        root: The store folder.
    """
    return [
        folder
        for folder in sorted(root.glob("*"))
        if re.fullmatch(r"[0-9a-f]{32}", folder.name)
        and any(folder.glob(f"[!.]*{SUFFIX}"))
        and read_manifest(folder) is None
    ]


def is_unfinished(path: Path) -> bool:
    """Whether a file in a store is one that is being written, or was when its writer died."""
    return path.name.startswith(".") and (f"{SUFFIX}." in path.name or f"{NAME}." in path.name)


def refused(folder: Path, error: OSError) -> StorageError:
    """What it means that the disk refuses to keep vectors.

    Args:
        folder: Where they should go.
        error: The refusal.
    """
    advice = "free space or choose" if no_space(error) else "choose"
    return StorageError(
        f"{folder}: the guide's vectors can't be stored ({error.strerror}); "
        f"{advice} another folder with --store"
    )
