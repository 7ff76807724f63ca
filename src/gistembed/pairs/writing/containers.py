"""How records become a file: JSON Lines, CSV, Parquet or Arrow, packed where the ending says so."""

import contextlib
import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

from gistembed.errors import UserError
from gistembed.files import whole_file
from gistembed.pairs.sources.lines import PACKED, plain_suffix
from gistembed.pairs.wording import one_line
from gistembed.pairs.writing.layouts import Record

_AT_ONCE = 10_000

_PARTING = re.compile(r"[\t\r\n]+")
"""What parts fields and lines where nothing is quoted."""

Records = Callable[[], Iterator[Record]]
"""Gives the records, from the first on at each call."""

FLAT = (".csv", ".tsv")
PACKING = (".parquet", ".arrow")
"""Kinds that are never packed as whole files: reading them means jumping about."""
NESTED = (".jsonl", ".ndjson", *PACKING)


def write_records(records: Records, path: Path, *, header: bool = True) -> None:
    """Write records to a file of the kind that its ending says.

    Args:
        records: The records.
        path: The file; its ending is one of `FLAT` and `NESTED`.
        header: Whether a file of CSV begins with the names of its columns; without, nothing is quoted.

    Raises:
        UserError: If values of a column don't fit together.
        OSError: If the disk refuses; nothing is left behind.
    """
    match plain_suffix(path):
        case ".jsonl" | ".ndjson":
            with _packed(path) as file:
                for record in records():
                    file.write(_line(record))
        case ".csv" | ".tsv" as suffix:
            with _packed(path) as file:
                _write_separated(records, file, "," if suffix == ".csv" else "\t", header)
        case _:
            _write_arrow(records, path)


def _line(record: Record) -> bytes:
    try:
        return json.dumps(record, ensure_ascii=False, allow_nan=False).encode() + b"\n"
    except (TypeError, ValueError) as error:
        raise UserError(
            f"a column can't be written as JSON ({one_line(str(error))}); write .parquet instead"
        ) from None


@contextlib.contextmanager
def _packed(path: Path) -> Iterator[BinaryIO]:
    with whole_file(path) as file:
        if (packing := PACKED.get(path.suffix.lower())) is None:
            yield file
            return
        import pyarrow as pa

        # The file is flushed and closed by whoever opened it.
        with pa.CompressedOutputStream(pa.PythonFile(_Kept(file), "w"), packing) as stream:
            packed = io.BufferedWriter(stream)
            yield packed
            packed.flush()


class _Kept(io.RawIOBase):
    """A file that another's closing doesn't close."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:  # noqa: ANN401 — any buffer
        return self._file.write(data)


def _names(records: Iterable[Record]) -> list[str]:
    return list(dict.fromkeys(chain.from_iterable(records)))


def _write_separated(records: Records, file: BinaryIO, delimiter: str, header: bool) -> None:
    names = _names(records())
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    if header:
        # Both signs in the line end: then a text that holds either of them is quoted.
        writer = csv.DictWriter(text, names, delimiter=delimiter, lineterminator="\r\n")
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in record.items()} for record in records())
    else:
        for record in records():
            text.write(delimiter.join(_PARTING.sub(" ", value) for value in record.values()) + "\n")
    text.detach()


def _cell(value: object) -> object:
    """What a cell of CSV has no form for, as JSON."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


def _write_arrow(records: Records, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pa.unify_schemas(
            [pa.Table.from_pylist(block).schema for block in _blocks(records())], promote_options="permissive"
        )
        with whole_file(path) as file:
            writer = (
                pq.ParquetWriter(file, schema)
                if plain_suffix(path) == ".parquet"
                else pa.ipc.new_file(file, schema)
            )
            with writer:
                for block in _blocks(records()):
                    writer.write_table(pa.Table.from_pylist(block, schema=schema))
    except pa.ArrowException as error:
        raise UserError(f"{path}: values of a column don't fit together ({one_line(str(error))})") from None


def _blocks(records: Iterator[Record]) -> Iterator[list[Record]]:
    """Blocks of records that all have the same keys, so that Arrow sees every column."""
    while block := list(islice(records, _AT_ONCE)):
        names = _names(block)
        yield [{name: record.get(name) for name in names} for record in block]
