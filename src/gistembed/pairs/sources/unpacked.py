"""How large the data of Arrow and Parquet is once it is unpacked, found out before it is."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gistembed.errors import UserError

# So much may be unpacked at once, or if that is more, so many bytes from each packed byte; real text is never
# packed so well.
_UNPACKED_AT_ONCE = 64 * 2**20
_UNPACKED_FROM_ONE = 1000
# Texts that stand many times take little in a file; so many bytes of them are read in any case.
_WRITTEN_OUT = 2**30

# Numbers of Arrow's format: https://github.com/apache/arrow/blob/main/format/Message.fbs
_DICTIONARY, _RECORDS = 2, 3
_FILE_MAGIC = b"ARROW1\0\0"
_CONTINUED = -1
_LONGEST_DESCRIPTION = 64 * 2**20


def refuse_parquet_bomb(group: Any, file_size: int, where: str) -> None:  # noqa: ANN401
    """Refuse a row group that unpacks to far more than the file takes.

    Args:
        group: What the file says of the row group.
        file_size: Bytes of the file.
        where: The file and row group, as messages begin.

    Raises:
        UserError: If it does.
    """
    _refuse_bomb(file_size, group.total_byte_size, where)


def refuse_arrow_bomb(path: Path, name: str) -> None:
    """Refuse an Arrow file with a batch that unpacks to far more than it takes in the file.

    Args:
        path: The file, or what Arrow calls a stream.
        name: The file, as messages name it.

    Raises:
        UserError: If there is such a batch.
        pyarrow.ArrowException: If the file is damaged.
    """
    import pyarrow as pa

    with pa.memory_map(str(path)) as source:
        start = len(_FILE_MAGIC) if is_arrow_file(source) else 0
        source.seek(start)
        mark, length = struct.unpack("<ii", source.read(8).ljust(8, b"\0"))
        if (described := length if mark == _CONTINUED else mark) > _LONGEST_DESCRIPTION:
            raise pa.ArrowInvalid(f"it begins with a description of {described:,} bytes")
        source.seek(start)
        # The first message tells the columns.
        for number, message in enumerate(pa.ipc.MessageReader.open_stream(source)):
            packed, unpacked = message.body.size if message.body else 0, sum(_unpacked_buffers(message))
            _refuse_bomb(packed, unpacked, f"{name}: batch {number}")


def refuse_long_words(file_size: int, unpacked: int, where: str) -> None:
    """Refuse a file whose rows, with the words of dictionaries written out, hold far more than it takes.

    Args:
        file_size: Bytes of the file.
        unpacked: Bytes of the rows.
        where: How the message begins: the file, and up to where its rows are meant.

    Raises:
        UserError: If they do.
    """
    if unpacked > max(_WRITTEN_OUT, _UNPACKED_FROM_ONE * file_size):
        raise UserError(
            f"{where} {file_size:,} bytes hold {unpacked:,} bytes of text, which no text does. "
            "Get or write the file anew."
        )


def is_arrow_file(source: Any) -> bool:  # noqa: ANN401
    """Whether this begins as an Arrow file does; what doesn't may be a stream."""
    return bool(source.read_at(len(_FILE_MAGIC), 0) == _FILE_MAGIC)


def _refuse_bomb(packed: int, unpacked: int, where: str) -> None:
    if unpacked > max(_UNPACKED_AT_ONCE, _UNPACKED_FROM_ONE * packed):
        raise UserError(
            f"{where}: {packed:,} bytes unpack to {unpacked:,}, which no text does. "
            "Get or write the file anew."
        )


def _unpacked_buffers(message: Any) -> Iterator[int]:  # noqa: ANN401
    """How long each packed buffer of a message is unpacked: that stands before it."""
    data = message.metadata.to_pybytes()
    table = _follow(data, 0)
    kind, header = _field(data, table, 1), _field(data, table, 2)
    if kind is None or header is None or data[kind] not in (_DICTIONARY, _RECORDS):
        return
    records: int | None = _follow(data, header)
    if data[kind] == _DICTIONARY:
        inner = _field(data, _follow(data, header), 1)
        records = None if inner is None else _follow(data, inner)
    if records is None or _field(data, records, 3) is None:
        # Without a word on how they are packed, they aren't.
        return
    if (buffers := _field(data, records, 2)) is None:
        return
    first = _follow(data, buffers)
    (count,) = struct.unpack_from("<I", data, first)
    body = memoryview(message.body)
    for place in range(first + 4, first + 4 + 16 * count, 16):
        offset, length = struct.unpack_from("<qq", data, place)
        if length > 0:
            yield max(int.from_bytes(body[offset : offset + 8], "little", signed=True), 0)


def _follow(data: bytes, place: int) -> int:
    """Where the table or vector stands that this place of a flatbuffer points to."""
    (step,) = struct.unpack_from("<I", data, place)
    return place + int(step)


def _field(data: bytes, table: int, number: int) -> int | None:
    """Where a field of a table stands in a flatbuffer; None if it isn't there."""
    (back,) = struct.unpack_from("<i", data, table)
    fields = table - back
    (size,) = struct.unpack_from("<H", data, fields)
    entry = 4 + 2 * number
    if entry >= size:
        return None
    (offset,) = struct.unpack_from("<H", data, fields + entry)
    return table + int(offset) if offset else None
