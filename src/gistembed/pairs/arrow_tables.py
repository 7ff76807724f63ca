"""Tables from columns that Arrow holds: Parquet files and `datasets`."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from gistembed.errors import UserError
from gistembed.pairs.table import Rows, Table, first_repeated
from gistembed.pairs.wording import listed, located, one_line, quoted

BATCH_ROWS = 10_000
PREFERRED_SPLIT = "train"

Batches = Callable[[Sequence[str]], Iterable[Any]]
"""Given column names, iterates over Arrow tables or record batches with these columns."""


def open_parquet(path: Path, name: str) -> Table:
    """A Parquet file.

    Raises:
        UserError: If it isn't one.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = tuple(file.schema_arrow.names)
    except (OSError, pa.ArrowException) as error:
        raise UserError(
            f"{name}: the file is not readable Parquet ({quoted(str(error))}). Write it anew."
        ) from None
    if (repeated := first_repeated(names)) is not None:
        raise UserError(f"{name}: two columns are named {quoted(repeated)}. Give each its own name.")
    return Table(name, "row", names, partial(_rows, name, partial(_parquet_batches, path)))


def open_saved(folder: Path, name: str) -> Table:
    """A folder that `save_to_disk` of `datasets` wrote.

    Raises:
        UserError: If it isn't one.
    """
    import datasets
    import pyarrow as pa

    try:
        saved = datasets.load_from_disk(folder)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, pa.ArrowException):
        # What `datasets` raises on a damaged description depends on which part of it is missing.
        raise UserError(
            f"{name}: the folder is not one that `datasets` saved to disk, or it is damaged. "
            f"Give such a folder, or a .jsonl, .csv, .tsv or .parquet file."
        ) from None
    return open_dataset(saved, name)


def open_dataset(data: object, name: str = "dataset") -> Table:
    """A `datasets.Dataset`, or the training split of a `datasets.DatasetDict`.

    Raises:
        UserError: If it is neither, or if it isn't clear which split to take.
    """
    import datasets

    if isinstance(data, datasets.DatasetDict):
        split = PREFERRED_SPLIT if PREFERRED_SPLIT in data or len(data) != 1 else next(iter(data))
        if split not in data:
            splits = f"the splits are {listed(data)}" if data else "there is no split"
            raise UserError(
                f"{name}: no split is named {quoted(split)}; {splits}. Give one split as the data."
            )
        data, name = data[split], one_line(f"{name}/{split}")
    if not isinstance(data, datasets.Dataset):
        raise UserError(
            f"{name}: pairs are read from a path, a datasets.Dataset or a datasets.DatasetDict, "
            f"not from a {type(data).__name__}."
        )
    names = tuple(data.column_names)
    return Table(name, "row", names, partial(_rows, name, partial(_dataset_batches, data)))


def _parquet_batches(path: Path, columns: Sequence[str]) -> Iterable[Any]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(BATCH_ROWS, columns=list(columns))


def _dataset_batches(data: Any, columns: Sequence[str]) -> Iterable[Any]:  # noqa: ANN401
    selected = data.select_columns(list(columns)).with_format("arrow")
    yield from selected.iter(BATCH_ROWS)


def _rows(name: str, batches: Batches, columns: Sequence[str]) -> Rows:
    import pyarrow as pa

    read = 0
    try:
        for batch in batches(columns):
            values = [_values(batch[column], name, read, column) for column in columns]
            yield from enumerate(zip(*values, strict=True), read + 1)
            read += batch.num_rows
    except (OSError, pa.ArrowException) as error:
        raise UserError(
            f"{name}: the rows after row {read} are not readable ({quoted(str(error))}). Write the file anew."
        ) from None


def _values(column: Any, name: str, before: int, label: str) -> list[object]:  # noqa: ANN401
    try:
        values: list[object] = column.to_pylist()
    except ValueError:
        # Arrow doesn't say which value it can't turn into a Python object.
        for number, value in enumerate(column, before + 1):
            try:
                value.as_py()
            except ValueError as error:
                raise UserError(
                    f"{located(name, 'row', number)}: column {quoted(label)} holds a value that is not text "
                    f"({quoted(str(error))}). Mend or drop the row."
                ) from None
        raise
    return values
