"""Care for a store: what is in it, whether it is sound, many shards made into one, and vectors taken out."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from gistembed.errors import UserError
from gistembed.files import flush_folder, whole_file
from gistembed.guide.store.keys import Keys
from gistembed.guide.store.shard import BLOCK_ROWS
from gistembed.guide.store.store import GuideStore, is_unfinished, refused
from gistembed.pairs.writing.place import check_new

# A writer touches its unfinished file every few seconds; one that was not touched for so long has no writer.
_ABANDONED_SECONDS = 3600.0
_EXPORT_ROWS = 16 * BLOCK_ROWS


@dataclass(frozen=True)
class StoreCheck:
    """What a check of a guide's vectors found.

    Attributes:
        vectors: Vectors that are what was written.
        damaged: By file: what is wrong with it.
        unreadable: By file: why this process can't read it; what it holds was not checked.
        lost: Vectors in damaged parts; those of whole files that are not used are not counted.
    """

    vectors: int
    damaged: dict[Path, str]
    unreadable: dict[Path, str]
    lost: int


@dataclass(frozen=True)
class Compaction:
    """What became of a guide's shards.

    Attributes:
        vectors: Vectors kept.
        shards_before: Files before.
        shards_after: Files after.
        freed: Bytes that the disk got back.
    """

    vectors: int
    shards_before: int
    shards_after: int
    freed: int


def verify(store: GuideStore, on_progress: Callable[[int], None] = lambda count: None) -> StoreCheck:
    """Read everything, and compare it with its checksums.

    Args:
        store: The store.
        on_progress: Called with the number of vectors checked since the call before.
    """
    summary = store.summary()
    damaged, sound, lost = summary.damaged, 0, 0
    for shard in store.shards:
        bad = 0
        if not shard.keys_intact():
            bad = len(shard)
            damaged[shard.path] = "its keys are damaged"
        else:
            for start in range(0, len(shard), BLOCK_ROWS):
                block = np.arange(start, min(start + BLOCK_ROWS, len(shard)))
                bad += int((~shard.intact(block)).sum())
                on_progress(len(block))
            if bad:
                damaged[shard.path] = f"{bad:,} of its {len(shard):,} vectors are damaged"
        sound, lost = sound + len(shard) - bad, lost + bad
    return StoreCheck(sound, damaged, summary.unreadable, lost)


def compact(store: GuideStore, on_progress: Callable[[int], None] = lambda count: None) -> Compaction:
    """Merge all shards into one, without what is damaged or there twice, and remove what crashes left behind.

    Others may read and write meanwhile. Files that this process can't read stay: they may be sound.

    Args:
        store: The store.
        on_progress: Called with the number of vectors written since the call before.

    Raises:
        UserError: If another process is at it.
        StorageError: If the disk refuses; everything is as it was then.
    """
    with _alone(store.folder):
        store = store.reopened()
        before = store.summary()
        old = [shard.path for shard in store.shards]
        unusable = list(before.damaged)
        rows, keys = sound_rows(store)
        merged = None
        if len(rows) and (len(old) > 1 or len(rows) < len(store)):
            merged = write_merged(store, rows, keys, on_progress)
        try:
            replaced = old if merged is not None or not len(rows) else []
            for path in [*replaced, *unusable]:
                # Its writer may have merged it with others meanwhile.
                path.unlink(missing_ok=True)
            for path in store.folder.glob(".*"):
                if _abandoned(path):
                    path.unlink()
            flush_folder(store.folder)
        except OSError as error:
            raise refused(store.folder, error) from error
    after = store.reopened().summary()
    return Compaction(after.vectors, len(old) + len(unusable), after.shards, before.bytes - after.bytes)


def export(store: GuideStore, path: Path, on_progress: Callable[[int], None] = lambda count: None) -> int:
    """Write all sound vectors to one file, by key: Parquet (columns ``key``, ``vector``) or a numpy array.

    A numpy array has the vectors only; their keys go to a second one beside it, ``<name>.keys.npy``.

    Args:
        store: The store.
        path: The file; ``.parquet`` or ``.npy``.
        on_progress: Called with the number of vectors written since the call before.

    Returns:
        How many vectors were written.

    Raises:
        UserError: If the file's kind is another, or something is there already.
        OSError: If the disk refuses; nothing is left behind.
    """
    writers = {".parquet": _write_parquet, ".npy": _write_arrays}
    if path.suffix not in writers:
        raise UserError(f"{path}: vectors are exported as {' or '.join(writers)}; choose such a name")
    for place in (path, _keys_path(path)) if path.suffix == ".npy" else (path,):
        check_new(place)
    rows, keys = sound_rows(store)
    writers[path.suffix](store, path, rows, keys, on_progress)
    return len(rows)


def write_merged(
    store: GuideStore,
    rows: Int64[np.ndarray, " rows"],
    keys: Keys,
    on_progress: Callable[[int], None] = lambda count: None,
) -> Path:
    """Commit some rows once more, as one file.

    Args:
        store: The store.
        rows: Rows, as `sound_rows` gives them.
        keys: Their keys.
        on_progress: Called with the number of vectors written since the call before.

    Raises:
        StorageError: If the disk refuses.
    """
    return store.write(keys, store.lengths(rows), _blocks(store, rows, on_progress))


def sound_rows(store: GuideStore) -> tuple[Int64[np.ndarray, " rows"], Keys]:
    """Rows that can be used, each key once, in the order of the keys, and these keys.

    Args:
        store: The store.
    """
    if not store.shards:
        empty = np.empty(0, np.uint64)
        return np.empty(0, np.int64), Keys(empty, empty)
    keys = Keys.joined([shard.keys for shard in store.shards])
    sound = np.concatenate(
        [
            shard.intact(np.arange(len(shard))) if shard.keys_intact() else np.zeros(len(shard), bool)
            for shard in store.shards
        ]
    )
    rows = np.flatnonzero(sound)
    rows = rows[keys.at(rows).distinct()]
    return rows, keys.at(rows)


def _blocks(
    store: GuideStore,
    rows: Int64[np.ndarray, " rows"],
    on_progress: Callable[[int], None],
    size: int = BLOCK_ROWS,
) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), size):
        block = rows[start : start + size]
        yield store.read(block)
        on_progress(len(block))


def _write_parquet(
    store: GuideStore, path: Path, rows: np.ndarray, keys: Keys, on_progress: Callable[[int], None]
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    # Half floats are not read everywhere.
    kind = pa.list_(pa.float32(), store.identity.dimensions)
    schema = pa.schema([("key", pa.binary(16)), ("vector", kind)])
    with whole_file(path) as file, pq.ParquetWriter(file, schema) as writer:
        for number, vectors in enumerate(_blocks(store, rows, on_progress, _EXPORT_ROWS)):
            here = keys.at(np.arange(number * _EXPORT_ROWS, number * _EXPORT_ROWS + len(vectors)))
            flat = pa.array(vectors.astype(np.float32).ravel())
            columns = [
                pa.array(here.to_bytes(), pa.binary(16)),
                pa.FixedSizeListArray.from_arrays(flat, store.identity.dimensions),
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def _write_arrays(
    store: GuideStore, path: Path, rows: np.ndarray, keys: Keys, on_progress: Callable[[int], None]
) -> None:
    header = {"shape": (len(rows), store.identity.dimensions), "fortran_order": False}
    header["descr"] = np.lib.format.dtype_to_descr(store.identity.numpy_dtype)
    keys_path = _keys_path(path)
    try:
        with whole_file(keys_path) as keys_file:
            np.save(keys_file, np.array(keys.to_bytes(), "V16"), allow_pickle=False)
            with whole_file(path) as file:
                np.lib.format.write_array_header_1_0(file, header)
                for vectors in _blocks(store, rows, on_progress, _EXPORT_ROWS):
                    file.write(vectors.tobytes())
    except BaseException:
        # Vectors without their keys are of no use.
        path.unlink(missing_ok=True)
        raise


def _keys_path(path: Path) -> Path:
    return path.with_suffix(".keys.npy")


def _abandoned(path: Path) -> bool:
    """Whether a hidden file is what a crash left of a shard or a manifest."""
    return is_unfinished(path) and path.is_file() and time.time() - path.stat().st_mtime > _ABANDONED_SECONDS


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Without another process that merges shards here; the lock of a dead process is none."""
    from filelock import FileLock, Timeout

    try:
        with FileLock(folder / ".compact.lock", timeout=0):
            yield
    except Timeout as error:
        raise UserError(f"{folder}: another process is compacting it; wait for it to end") from error
    except PermissionError as error:
        raise UserError(f"{folder}: can't be written ({error.strerror})") from error
