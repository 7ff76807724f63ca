"""Tables from columns that Arrow holds: Parquet and Arrow files, and `datasets`."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from gistembed.errors import UserError
from gistembed.pairs.sources.lines import LONGEST_LINE
from gistembed.pairs.sources.table import BLOCK_ROWS, Block, Choose, OnProblem, Table, first_repeated
from gistembed.pairs.wording import listed, located, one_line, quoted

PREFERRED_SPLIT = "train"

# Rows that are read at once hold about so many bytes of text at most.
_BLOCK_BYTES = 16 * 2**20

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
    return _table(name, names, partial(_parquet_batches, path))


def open_arrow(path: Path, name: str) -> Table:
    """An Arrow file, or what Arrow calls a stream.

    Raises:
        UserError: If it is neither.
    """
    import pyarrow as pa

    try:
        with _arrow_reader(path) as reader:
            names = tuple(reader.schema.names)
    except (OSError, pa.ArrowException) as error:
        raise UserError(
            f"{name}: the file is not readable Arrow ({quoted(str(error))}). Write it anew."
        ) from None
    return _table(name, names, partial(_arrow_batches, path))


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
            f"Give such a folder, a folder of BEIR, or a .jsonl, .csv, .tsv, .parquet or .arrow file."
        ) from None
    return open_dataset(saved, name)


def open_dataset(data: object, name: str = "dataset") -> Table:
    """A `datasets.Dataset`, or the training split of a `datasets.DatasetDict`; streaming ones too.

    Raises:
        UserError: If it is neither, or if it isn't clear which split to take.
    """
    import datasets

    if isinstance(data, datasets.DatasetDict | datasets.IterableDatasetDict):
        split = PREFERRED_SPLIT if PREFERRED_SPLIT in data or len(data) != 1 else next(iter(data))
        if split not in data:
            splits = f"the splits are {listed(data)}" if data else "there is no split"
            raise UserError(
                f"{name}: no split is named {quoted(split)}; {splits}. Give one split as the data."
            )
        data, name = data[split], one_line(f"{name}/{split}")
    if isinstance(data, datasets.IterableDataset):
        return Table(name, "row", partial(_streamed_blocks, data))
    if not isinstance(data, datasets.Dataset):
        raise UserError(
            f"{name}: pairs are read from a path, a datasets.Dataset or a datasets.DatasetDict, "
            f"not from a {type(data).__name__}."
        )
    return _table(name, tuple(data.column_names), partial(_dataset_batches, data))


def _table(name: str, names: tuple[str, ...], batches: Batches) -> Table:
    if (repeated := first_repeated(names)) is not None:
        raise UserError(f"{name}: two columns are named {quoted(repeated)}. Give each its own name.")
    return Table(name, "row", partial(_blocks, name, names, batches), names)


def _parquet_batches(path: Path, columns: Sequence[str]) -> Iterable[Any]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        yield from file.iter_batches(_rows_at_once(file.metadata), columns=list(columns))


def _rows_at_once(metadata: Any) -> int:  # noqa: ANN401
    """How many rows of a Parquet file hold little enough, however small they are packed."""
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    widest = max((group.total_byte_size / max(group.num_rows, 1) for group in groups), default=0)
    return max(1, min(BLOCK_ROWS, int(_BLOCK_BYTES / max(widest, 1))))


def _arrow_reader(path: Path) -> Any:  # noqa: ANN401
    import pyarrow as pa

    source = pa.memory_map(str(path))
    try:
        return pa.ipc.open_file(source)
    except pa.ArrowInvalid:
        source.seek(0)
        return pa.ipc.open_stream(source)


def _arrow_batches(path: Path, columns: Sequence[str]) -> Iterable[Any]:
    import pyarrow as pa

    with _arrow_reader(path) as reader:
        batches = (
            (reader.get_batch(number) for number in range(reader.num_record_batches))
            if isinstance(reader, pa.RecordBatchFileReader)
            else iter(reader)
        )
        for batch in batches:
            batch.validate(full=True)
            for start in range(0, batch.num_rows, BLOCK_ROWS):
                yield batch.select(list(columns)).slice(start, BLOCK_ROWS)


def _dataset_batches(data: Any, columns: Sequence[str]) -> Iterable[Any]:  # noqa: ANN401
    selected = data.select_columns(list(columns)).with_format("arrow")
    yield from selected.iter(BLOCK_ROWS)


def _streamed_blocks(data: Any, choose: Choose, on_problem: OnProblem | None) -> Iterator[Block]:  # noqa: ANN401
    known: tuple[str, ...] = ()
    chosen: Sequence[str] = ()
    read = 0
    for batch in data.iter(BLOCK_ROWS):
        if (names := tuple(batch)) != known:
            known, chosen = names, choose(names)
        rows = len(next(iter(batch.values()), ()))
        yield Block(range(read + 1, read + rows + 1), chosen, [list(batch[column]) for column in chosen])
        read += rows


def _blocks(
    name: str, names: tuple[str, ...], batches: Batches, choose: Choose, on_problem: OnProblem | None
) -> Iterator[Block]:
    import pyarrow as pa

    chosen = choose(names)
    if not chosen:
        return
    read = 0
    try:
        for batch in batches(chosen):
            rows = batch.num_rows
            cells = [_values(batch[column], name, read, column) for column in chosen]
            yield Block(range(read + 1, read + rows + 1), chosen, cells)
            read += rows
    except (OSError, pa.ArrowException) as error:
        raise UserError(
            f"{name}: the rows after row {read} are not readable ({quoted(str(error))}). Write the file anew."
        ) from None


def _values(column: Any, name: str, before: int, label: str) -> list[object]:  # noqa: ANN401
    if column.nbytes > LONGEST_LINE and len(column) == 1:
        raise UserError(
            f"{located(name, 'row', before + 1)}: column {quoted(label)} holds more than "
            f"{LONGEST_LINE // 2**20} MiB. Split or drop the row."
        )
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
