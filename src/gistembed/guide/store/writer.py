"""Commit vectors a few thousand at a time, and keep the files few whatever their number."""

from pathlib import Path

import numpy as np
from jaxtyping import Int32, Num

from gistembed.errors import StorageError
from gistembed.guide.store.keys import Keys
from gistembed.guide.store.store import GuideStore
from gistembed.guide.store.upkeep import sound_rows, write_merged

# So many files of like size become one: no more than this times three or four are ever there, and each vector
# is written three or four times at most, for a billion of them.
_MERGED_FILES = 32


class StoreWriter:
    """Commits vectors to a store, and merges the files that it has written itself.

    Others may read, write and merge meanwhile: a file that is merged is removed only when the merged one is
    committed.

    Attributes:
        identity: The guide that the vectors belong to.
    """

    def __init__(self, store: GuideStore) -> None:
        """Begin with an empty view.

        Args:
            store: Where to write; what is there is left alone.
        """
        self.identity = store.identity
        self._store = store
        self._levels: dict[int, list[Path]] = {}

    def append(
        self,
        keys: Keys,
        vectors: Num[np.ndarray, "keys dim"],
        lengths: Int32[np.ndarray, " keys"] | None = None,
    ) -> None:
        """Commit vectors; see `GuideStore.append`.

        Args:
            keys: The keys.
            vectors: Their vectors, as `GuideIdentity.stored` gives them.
            lengths: Tokens of each text; None if they are not known.

        Raises:
            StorageError: If the store can't be written.
        """
        path = self._store.reopened(only=()).append(keys, vectors, lengths)
        level = 0
        while path is not None:
            files = self._levels.setdefault(level, [])
            files.append(path)
            path = self._merged(files) if len(files) == _MERGED_FILES else None
            level += 1

    def _merged(self, files: list[Path]) -> Path | None:
        """One file in the place of several; None if the disk has no room for both."""
        view = self._store.reopened(only=list(files))
        files.clear()
        rows, keys = sound_rows(view)
        if not len(rows):
            return None
        try:
            path = write_merged(view, rows, keys)
        except StorageError:
            return None
        for shard in view.shards:
            if shard.path != path:
                shard.path.unlink(missing_ok=True)
        return path
