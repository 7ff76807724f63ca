"""Tables from columns that Arrow holds: Parquet and Arrow files, and `datasets`."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from gistembed.errors import UserError
from gistembed.pairs.sources.lines import LONGEST_LINE
from gistembed.pairs.sources.table import (
    BLOCK_BYTES,
    BLOCK_ROWS,
    READABLE,
    Block,
    Choose,
    OnProblem,
    Table,
    first_repeated,
)
from gistembed.pairs.sources.unpacked import (
    is_arrow_file,
    refuse_arrow_bomb,
    refuse_long_words,
    refuse_parquet_bomb,
)
from gistembed.pairs.wording import listed, located, one_line, quoted

PREFERRED_SPLIT = "train"

# Where lists may hold the words of a dictionary so often that they become this many times as long, they are
# read as words and parted before they are written out: slower, and hardly any file of texts needs it.
_REPEATED = 64
_REPEATED_LEAST = 4 * 2**20

# What Arrow raises for texts that aren't UTF-8, and for times that Python or its time zones don't know.
_NO_VALUE = (ValueError, OverflowError, KeyError)

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
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise UserError(
            f"{name}: the file is not readable Parquet ({quoted(str(error))}). Write it anew."
        ) from None
    return _table(name, names, partial(_parquet_batches, path, name), path.stat().st_size)


def open_arrow(path: Path, name: str) -> Table:
    """An Arrow file, or what Arrow calls a stream.

    Raises:
        UserError: If it is neither.
    """
    import pyarrow as pa

    try:
        refuse_arrow_bomb(path, name)
        with _arrow_reader(path) as reader:
            names = tuple(reader.schema.names)
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise UserError(
            f"{name}: the file is not readable Arrow ({quoted(str(error))}). Write it anew."
        ) from None
    return _table(name, names, partial(_arrow_batches, path, name), path.stat().st_size)


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
            f"{name}: the folder is not one that `datasets` saved to disk, or it is damaged. Give {READABLE}."
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


def _table(name: str, names: tuple[str, ...], batches: Batches, size: int | None = None) -> Table:
    if (repeated := first_repeated(names)) is not None:
        raise UserError(f"{name}: two columns are named {quoted(repeated)}. Give each its own name.")
    return Table(name, "row", partial(_blocks, name, names, batches, size), names)


def _parquet_batches(path: Path, name: str, columns: Sequence[str]) -> Iterable[Any]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        chosen = _leaves(file.schema, columns)
        of_bytes = [leaf for number, leaf in chosen.items() if _is_bytes(file.schema.column(number))]
        with pq.ParquetFile(path, read_dictionary=of_bytes) as words:
            for number in range(file.metadata.num_row_groups):
                group = file.metadata.row_group(number)
                refuse_parquet_bomb(group, path.stat().st_size, f"{name}: row group {number + 1}")
                first = next(words.iter_batches(1, row_groups=[number], columns=list(columns)), None)
                if first is None:
                    continue
                # What the file says of a column is only asked for now that Arrow has read something of it:
                # where it is damaged, asking would end the program.
                chunks = [group.column(leaf) for leaf in chosen]
                rows, repeated = _reading(chunks, group.num_rows, list(map(_longest_word, first.columns)))
                yield from (words if repeated else file).iter_batches(
                    rows, row_groups=[number], columns=list(columns)
                )


def _leaves(schema: Any, columns: Sequence[str]) -> dict[int, str]:  # noqa: ANN401
    """Number and path of what Parquet stores these columns as, which is more than one for nested ones."""
    paths = [schema.column(number).path for number in range(len(schema))]
    wanted = set(columns)
    return {
        number: path
        for number, path in enumerate(paths)
        if path in wanted or path.partition(".")[0] in wanted
    }


def _is_bytes(leaf: Any) -> bool:  # noqa: ANN401
    return bool(leaf.physical_type == "BYTE_ARRAY")


def _longest_word(array: Any) -> int:  # noqa: ANN401
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = array.type
    if pa.types.is_dictionary(kind):
        return max(pc.max(_lengths(array.dictionary)).as_py() or 0, _longest_word(array.dictionary))
    if pa.types.is_struct(kind):
        return max((_longest_word(array.field(number)) for number in range(kind.num_fields)), default=0)
    return _longest_word(array.values) if _is_list(kind) else 0


def _reading(chunks: Sequence[Any], rows: int, words: Sequence[int]) -> tuple[int, bool]:
    """How many rows of a row group hold little enough, and whether words must be parted first.

    Args:
        chunks: What the file says of each column in the row group.
        rows: Rows of the row group.
        words: The longest word of each column's dictionary.

    Returns:
        Rows to read at once, and whether to read dictionaries as what they are.
    """
    word = max(words)
    widest = sum(
        max(chunk.total_uncompressed_size, word * chunk.num_values) / max(rows, 1) for chunk in chunks
    )
    # How many values of a list are in one row isn't known; all could be.
    repeated = any(
        word * chunk.num_values > _REPEATED * max(chunk.total_uncompressed_size, _REPEATED_LEAST)
        for chunk in chunks
        if "." in chunk.path_in_schema
    )
    return max(1, min(BLOCK_ROWS, int(BLOCK_BYTES / max(widest, 1)))), repeated


def _arrow_reader(path: Path) -> Any:  # noqa: ANN401
    import pyarrow as pa

    source = pa.memory_map(str(path))
    return pa.ipc.open_file(source) if is_arrow_file(source) else pa.ipc.open_stream(source)


def _arrow_batches(path: Path, name: str, columns: Sequence[str]) -> Iterable[Any]:
    with _arrow_reader(path) as reader:
        repeats = any(_may_repeat(reader.schema.field(column).type) for column in columns)
    if repeats:
        # A word stands once in the file however long it is, so the sum is known long before it is read.
        held = sum(_written_out(array) for batch in _sound_batches(path, columns) for array in batch.columns)
        refuse_long_words(path.stat().st_size, held, f"{name}: its")
    yield from _sound_batches(path, columns)


def _may_repeat(kind: Any) -> bool:  # noqa: ANN401
    """Whether values of a type may be longer than what stands in the file for them."""
    import pyarrow as pa

    if isinstance(kind, pa.ExtensionType):
        return _may_repeat(kind.storage_type)
    tests = (pa.types.is_dictionary, pa.types.is_string_view, pa.types.is_binary_view)
    fields = [kind.field(number) for number in range(kind.num_fields)]
    return any(test(kind) for test in tests) or any(_may_repeat(field.type) for field in fields)


def _sound_batches(path: Path, columns: Sequence[str]) -> Iterator[Any]:
    import pyarrow as pa

    with _arrow_reader(path) as reader:
        batches = (
            (reader.get_batch(number) for number in range(reader.num_record_batches))
            if isinstance(reader, pa.RecordBatchFileReader)
            else iter(reader)
        )
        for batch in batches:
            # Arrow reads what lies in memory as it is; offsets that lead elsewhere would end the program.
            batch.validate(full=True)
            yield batch.select(list(columns))


def _dataset_batches(data: Any, columns: Sequence[str]) -> Iterable[Any]:  # noqa: ANN401
    selected = data.select_columns(list(columns)).with_format("arrow")
    for table in selected.iter(BLOCK_ROWS):
        # What `datasets` saved lies in Arrow files, which may be damaged.
        table.validate(full=True)
        yield from table.to_batches()


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
    name: str,
    names: tuple[str, ...],
    batches: Batches,
    size: int | None,
    choose: Choose,
    on_problem: OnProblem | None,
) -> Iterator[Block]:
    import pyarrow as pa

    chosen = choose(names)
    if not chosen:
        return
    read = unpacked = 0
    try:
        for batch in chain.from_iterable(map(_parted, batches(chosen))):
            rows = batch.num_rows
            unpacked += sum(map(_written_out, batch.columns))
            if size is not None:
                refuse_long_words(size, unpacked, f"{located(name, 'row', read + rows)}: up to here,")
            cells = [_values(batch[column], name, read, column) for column in chosen]
            yield Block(range(read + 1, read + rows + 1), chosen, cells)
            read += rows
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise UserError(
            f"{name}: the rows after row {read} are not readable ({quoted(str(error))}). Write the file anew."
        ) from None


def _parted(batch: Any) -> Iterator[Any]:  # noqa: ANN401
    """The rows of a batch, parted so that no part holds too much once every value is written out."""
    rows = batch.num_rows
    if rows > 1 and (rows > BLOCK_ROWS or sum(map(_written_out, batch.columns)) > BLOCK_BYTES):
        yield from _parted(batch.slice(0, rows // 2))
        yield from _parted(batch.slice(rows // 2))
    else:
        yield batch


def _written_out(array: Any) -> int:  # noqa: ANN401
    """How many bytes the values of an array take, each word of a dictionary as often as it stands there."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        return _written_out(array.storage)
    if pa.types.is_dictionary(kind):
        return pc.sum(_lengths(array.dictionary).take(array.indices)).as_py() or 0
    if pa.types.is_struct(kind):
        return sum(map(_written_out, array.flatten()))
    if _is_list(kind):
        return _written_out(array.flatten())
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        return pc.sum(_lengths(array)).as_py() or 0
    if pa.types.is_run_end_encoded(kind) or pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind):
        raise pa.ArrowNotImplementedError(f"values of the type {kind} are not read here")
    return int(array.nbytes)


def _is_list(kind: Any) -> bool:  # noqa: ANN401
    import pyarrow as pa

    return any(test(kind) for test in (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list))


def _lengths(array: Any) -> Any:  # noqa: ANN401
    """The length of each value in bytes; 0 of what isn't text or bytes."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = array.type
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        # Arrow's own function doesn't take views; each begins with its length.
        if not len(array):
            return pa.array([], pa.int32())
        lengths = np.frombuffer(array.buffers()[1], np.int32)[::4][array.offset :][: len(array)]
        return pa.array(np.where(array.is_valid().to_numpy(zero_copy_only=False), lengths, 0))
    if any(
        test(kind)
        for test in (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_binary,
            pa.types.is_large_binary,
        )
    ):
        return pc.binary_length(array)
    return pa.array(np.zeros(len(array), np.int32))


def _values(column: Any, name: str, before: int, label: str) -> list[object]:  # noqa: ANN401
    if len(column) == 1 and _written_out(column) > LONGEST_LINE:
        raise UserError(
            f"{located(name, 'row', before + 1)}: column {quoted(label)} holds more than "
            f"{LONGEST_LINE // 2**20} MiB. Split or drop the row."
        )
    try:
        values: list[object] = column.to_pylist()
    except _NO_VALUE:
        # Arrow doesn't say which value it can't turn into a Python object.
        for number, value in enumerate(column, before + 1):
            try:
                value.as_py()
            except _NO_VALUE as error:
                raise UserError(
                    f"{located(name, 'row', number)}: column {quoted(label)} holds a value that is not text "
                    f"({quoted(str(error))}). Mend or drop the row."
                ) from None
        raise
    return values
