"""What a file of given vectors offers: a .parquet, .npy or .safetensors file, opened but not read yet."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int64

from gistembed.errors import UserError
from gistembed.guide.given.texts import find_column, name_column, open_texts, texts_path
from gistembed.pairs.rows.columns import plain_name
from gistembed.pairs.sources.arrow_tables import open_parquet
from gistembed.pairs.sources.table import Table
from gistembed.pairs.wording import listed, located, one_line, quoted

VECTOR_NAMES = ["vector", "vectors", "embedding", "embeddings"]

KINDS = (".parquet", ".npy", ".safetensors")
_EITHER = f"{', '.join(KINDS[:-1])} or {KINDS[-1]}"
_SAFETENSORS_DTYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}
_KINDS = "float16, float32 or float64"
# Bytes of vectors that are held besides those that are kept.
_BLOCK_BYTES = 1 << 24

Blocks = Iterator[tuple[Int64[np.ndarray, " rows"], Float[np.ndarray, "rows dim"]]]


@dataclass(frozen=True)
class FileVectors:
    """The vectors of a file, not read yet.

    Attributes:
        count: How many there are; None where the texts stand in the same rows and tell.
        dimensions: Length of each.
        dtype: How they are kept: native float16 or float32.
        mapped: All of them, where the file can be used as it is.
        read: Gives the vectors of ascending rows, block by block.
    """

    count: int | None
    dimensions: int
    dtype: np.dtype
    mapped: Float[np.ndarray, "vectors dim"] | None
    read: Callable[[Int64[np.ndarray, " _"]], Blocks]


def checked(path: str | os.PathLike[str]) -> tuple[Path, str]:
    """A file of a known kind, and what messages call it.

    Raises:
        UserError: If there is no such file, or its ending is another.
    """
    path, name = Path(path), one_line(os.fspath(path))
    with reading(name):
        is_there, is_folder = path.exists(), path.is_dir()
    if not is_there:
        raise UserError(f"{name}: there is no such file.")
    if is_folder:
        raise UserError(f"{name}: this is a folder. Give a {_EITHER} file.")
    if path.suffix.lower() not in KINDS:
        raise UserError(
            f"{name}: the ending {quoted(path.suffix)} is not one of a file of vectors. "
            f"Give a {_EITHER} file."
        )
    return path, name


@contextmanager
def reading(name: str) -> Iterator[None]:
    """While it lasts, a file that can't be read is the user's error.

    Args:
        name: The file, as messages name it.

    Raises:
        UserError: In place of an `OSError`.
    """
    try:
        yield
    except OSError as error:
        where = name if error.filename is None else one_line(os.fsdecode(error.filename))
        raise UserError(f"{where}: the file can't be read ({error.strerror}).") from None


def open_given(
    path: Path, name: str, text_column: str | None, vector_column: str | None
) -> tuple[Table, FileVectors]:
    """The table that holds the texts, and the vectors.

    Args:
        path: A file that is `checked`.
        name: The file, as messages name it.
        text_column: The column of texts, if its name doesn't tell.
        vector_column: The column or tensor of vectors, if its name doesn't tell.

    Raises:
        UserError: If the file or that of its texts isn't as it should be.
    """
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        table = open_parquet(path, name)
        # The column of texts is looked for first: without it, there is little use in naming the vectors'.
        name_column(table, text_column)
        column = find_column(table, "vector", VECTOR_NAMES, vector_column)
        return table, _parquet_vectors(path, name, column)
    if suffix == ".safetensors":
        matrix = _map_safetensors(path, name, vector_column)
    elif vector_column is None:
        matrix = _map_npy(path, name)
    else:
        raise UserError(f"{name}: a .npy file has no names. Leave vector_column out.")
    return open_texts(texts_path(path, name)), _matrix_vectors(matrix)


def _kept_dtype(dtype: np.dtype) -> np.dtype:
    return np.dtype(np.float16 if dtype.itemsize == 2 else np.float32)


def _kept(block: Float[np.ndarray, "rows dim"]) -> Float[np.ndarray, "rows dim"]:
    # Too large a number becomes infinite, and is refused as such.
    with np.errstate(over="ignore"):
        return block.astype(_kept_dtype(block.dtype), copy=False)


def _block_rows(dimensions: int) -> int:
    return max(1, _BLOCK_BYTES // (8 * dimensions))


def _map_npy(path: Path, name: str) -> np.ndarray:
    try:
        matrix = np.lib.format.open_memmap(path, mode="r")
    except OSError:
        raise
    # numpy reads the header as Python: a damaged one raises what any wrong program does.
    except Exception as error:
        raise UserError(
            f"{name}: the file is not a readable numpy array ({quoted(str(error))}). "
            f"Write it anew with numpy.save."
        ) from None
    if matrix.dtype.kind != "f" or matrix.dtype.itemsize not in (2, 4, 8):
        raise UserError(f"{name}: the array is of {matrix.dtype}. Save it as {_KINDS}.")
    _check_shape(matrix.shape, name, "array")
    return matrix


def _map_safetensors(path: Path, name: str, tensor: str | None) -> np.ndarray:
    from safetensors import SafetensorError, safe_open

    try:
        # This checks the whole header, so that what follows can rely on it.
        with safe_open(path, framework="numpy") as file:
            names = list(file.keys())
    except SafetensorError as error:
        raise UserError(
            f"{name}: the file is not readable safetensors ({quoted(str(error))}). Write it anew."
        ) from None
    if tensor is None:
        known = [other for other in names if plain_name(other) in VECTOR_NAMES] if len(names) > 1 else names
        if len(known) != 1:
            problem = f"tensors {listed(known)} could each be" if known else "no tensor is known as"
            raise UserError(
                f"{name}: {problem} the vectors. {_tensors(names)}; name one 'vectors', "
                f"or say which to use with vector_column."
            )
        (tensor,) = known
    elif tensor not in names:
        raise UserError(f"{name}: there is no tensor {quoted(tensor)}. {_tensors(names)}.")
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        entry: dict[str, Any] = json.loads(file.read(length))[tensor]
    if entry["dtype"] not in _SAFETENSORS_DTYPES:
        raise UserError(f"{name}: tensor {quoted(tensor)} is of {entry['dtype']}. Save it as {_KINDS}.")
    shape = tuple(entry["shape"])
    _check_shape(shape, name, f"tensor {quoted(tensor)}")
    start = 8 + length + entry["data_offsets"][0]
    return np.memmap(path, _SAFETENSORS_DTYPES[entry["dtype"]], "r", start, shape)


def _tensors(names: Sequence[str]) -> str:
    return f"The tensors are {listed(sorted(names))}" if names else "There are no tensors"


def _check_shape(shape: tuple[int, ...], name: str, what: str) -> None:
    if len(shape) != 2 or not all(shape):
        raise UserError(f"{name}: the {what} has the shape {shape}. Save one row of numbers for each text.")


def _matrix_vectors(matrix: np.ndarray) -> FileVectors:
    dtype = _kept_dtype(matrix.dtype)
    # Rows that don't lie together would be gathered from all over the file for each batch.
    mapped = matrix if matrix.dtype == dtype and matrix.flags.c_contiguous else None
    return FileVectors(len(matrix), matrix.shape[1], dtype, mapped, partial(_matrix_blocks, matrix))


def _matrix_blocks(matrix: np.ndarray, rows: Int64[np.ndarray, " _"]) -> Blocks:
    step = _block_rows(matrix.shape[1])
    for start in range(0, len(rows), step):
        here = rows[start : start + step]
        yield here, _kept(matrix[here])


def _parquet_vectors(path: Path, name: str, column: str) -> FileVectors:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        kind = file.schema_arrow.field(column).type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not (is_list and pa.types.is_floating(kind.value_type)):
        raise UserError(
            f"{name}: column {quoted(column)} is of {one_line(str(kind))}. Write lists of {_KINDS}."
        )
    dimensions = 0
    for _, vectors in _parquet_batches(path, name, column, 1, None):
        dimensions = vectors.shape[1]
        break
    dtype = _kept_dtype(np.dtype(kind.value_type.to_pandas_dtype()))
    return FileVectors(
        None, dimensions, dtype, None, partial(_parquet_blocks, path, name, column, dimensions)
    )


def _parquet_blocks(
    path: Path, name: str, column: str, dimensions: int, rows: Int64[np.ndarray, " _"]
) -> Blocks:
    for start, vectors in _parquet_batches(path, name, column, _block_rows(dimensions), dimensions):
        begin, end = np.searchsorted(rows, [start, start + len(vectors)])
        here = rows[begin:end]
        yield here, _kept(vectors[here - start])


def _parquet_batches(
    path: Path, name: str, column: str, size: int, dimensions: int | None
) -> Iterator[tuple[int, np.ndarray]]:
    """Batches of all vectors, each with the row that it starts at."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    start = 0
    try:
        # Otherwise the vectors of a row group, which may be all there are, are held whole.
        with pq.ParquetFile(path, buffer_size=_BLOCK_BYTES, pre_buffer=False) as file:
            for batch in file.iter_batches(size, columns=[column]):
                vectors = _matrix_of(batch.column(0), name, column, start, dimensions)
                yield start, vectors
                start += len(vectors)
    except (OSError, pa.ArrowException) as error:
        raise UserError(
            f"{name}: the rows after row {start} are not readable ({quoted(str(error))}). "
            f"Write the file anew."
        ) from None


def _matrix_of(
    lists: Any,  # noqa: ANN401
    name: str,
    column: str,
    start: int,
    dimensions: int | None,
) -> np.ndarray:
    """The vectors of an Arrow array of lists."""
    import pyarrow.compute as pc

    def refuse(row: int, problem: str) -> UserError:
        return UserError(f"{located(name, 'row', start + row + 1)}: column {quoted(column)} {problem}.")

    if lists.null_count:
        row = pc.index(lists.is_null(), True).as_py()
        raise refuse(row, "is null. Every row needs a vector; fill or drop the row")
    lengths = pc.list_value_length(lists).to_numpy(zero_copy_only=False)
    if not len(lengths):
        return np.empty((0, dimensions or 0), np.float32)
    wanted = int(lengths[0]) if dimensions is None else dimensions
    if not wanted:
        raise refuse(0, "is an empty list. Every row needs a vector; fill or drop the row")
    if (lengths != wanted).any():
        row = int(np.argmax(lengths != wanted))
        problem = f"holds {lengths[row]} numbers, but row 1 holds {wanted}"
        raise refuse(row, f"{problem}. All vectors must have one length")
    values = lists.flatten()
    if values.null_count:
        row = pc.index(values.is_null(), True).as_py() // wanted
        raise refuse(row, "holds a null. Mend or drop the row")
    matrix: np.ndarray = values.to_numpy(zero_copy_only=False).reshape(-1, wanted)
    return matrix
