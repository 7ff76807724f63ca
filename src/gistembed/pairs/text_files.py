"""Tables from text files, line by line: JSON Lines, CSV and TSV."""

import csv
import json
from collections.abc import Generator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from gistembed.errors import UserError
from gistembed.pairs.table import Absent, Rows, Table, first_repeated
from gistembed.pairs.wording import listed, located, one_line, quoted

UTF8_BOM = b"\xef\xbb\xbf"
OTHER_BOMS = (b"\xff\xfe", b"\xfe\xff")
LARGEST_FIELD = 2**31 - 1


def open_jsonl(path: Path, name: str) -> Table:
    """A file with one JSON object on each line; its columns are all keys that occur.

    Raises:
        UserError: If any line isn't valid; the message names the line.
    """
    # A first pass over the file finds keys that occur late without holding its rows in memory.
    keys: dict[str, None] = {}
    for _, row in _objects(path, name):
        keys |= dict.fromkeys(row)
    if not keys:
        raise UserError(f"{name}: there are no rows.")
    return Table(name, "line", tuple(keys), partial(_object_rows, path, name))


def open_csv(path: Path, name: str, delimiter: str) -> Table:
    """A file of fields parted by a delimiter; its first line names the columns.

    Raises:
        UserError: If the first line doesn't name every column by a different name.
    """
    with closing(_records(path, name, delimiter)) as records:
        line, header = next(records, (1, []))
    if not header:
        raise UserError(f"{name}: there are no rows.")
    for position, column in enumerate(header, 1):
        if not column.strip():
            raise _error(name, line, f"column {position} has no name. Name it or take it out.")
    if (repeated := first_repeated(header)) is not None:
        raise _error(name, line, f"two columns are named {quoted(repeated)}. Give each its own name.")
    return Table(name, "line", tuple(header), partial(_record_rows, path, name, delimiter))


def _error(name: str, line: int, problem: str) -> UserError:
    return UserError(f"{located(name, 'line', line)}: {problem}")


def _lines(path: Path, name: str) -> Generator[tuple[int, str], None, None]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if number == 1:
                if line.startswith(OTHER_BOMS):
                    raise _error(name, number, "the file is UTF-16 or UTF-32. Save it as UTF-8.")
                line = line.removeprefix(UTF8_BOM)
            try:
                text = line.decode()
            except UnicodeDecodeError as error:
                where = f"byte 0x{line[error.start]:02x} at column {error.start + 1}"
                problem = f"{where} is not valid UTF-8. Save the file as UTF-8 or drop the line."
                raise _error(name, number, problem) from None
            yield number, text


def _objects(path: Path, name: str) -> Generator[tuple[int, dict[str, Any]], None, None]:
    decoder = json.JSONDecoder(object_pairs_hook=_object)
    for number, line in _lines(path, name):
        line = line.rstrip()
        if not line:
            continue
        try:
            row = decoder.decode(line)
        except json.JSONDecodeError as error:
            problem = f"not valid JSON at column {error.colno} ({error.msg})"
        except RecursionError:
            problem = "nested too deeply"
        except ValueError as error:
            problem = f"not readable ({str(error).partition(';')[0]})"
        else:
            if isinstance(row, dict):
                yield number, row
                continue
            problem = f"not an object but {quoted(row)}"
        raise _error(name, number, f"the line is {problem}. Each line must be one whole JSON object.")


def _object(items: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(items)
    if len(row) < len(items):
        raise ValueError("a key stands twice in one object")
    return row


def _object_rows(path: Path, name: str, columns: Sequence[str]) -> Rows:
    for number, row in _objects(path, name):
        yield number, [row.get(column, Absent.KEY) for column in columns]


def _records(path: Path, name: str, delimiter: str) -> Generator[tuple[int, list[str]], None, None]:
    """Records that aren't blank, each with the line it begins on."""
    reader = csv.reader((line for _, line in _lines(path, name)), delimiter=delimiter, strict=True)
    limit = csv.field_size_limit(LARGEST_FIELD)
    begin = 1
    try:
        for fields in reader:
            if fields:
                yield begin, fields
            begin = reader.line_num + 1
    except csv.Error as error:
        if "unexpected end" in str(error):
            problem = "a quoted field begins here and is never closed"
        elif "new-line" in str(error):
            problem = "a carriage return stands outside quotes"
        else:
            problem = f"the quotes don't match ({one_line(str(error))})"
        advice = 'End lines with a line feed, and write a quote inside a quoted field as "".'
        raise _error(name, begin, f"{problem}. {advice}") from None
    finally:
        csv.field_size_limit(limit)


def _record_rows(path: Path, name: str, delimiter: str, columns: Sequence[str]) -> Rows:
    with closing(_records(path, name, delimiter)) as records:
        _, header = next(records)
        positions = [header.index(column) for column in columns]
        for line, fields in records:
            if len(fields) != len(header):
                problem = (
                    f"the row has {len(fields)} fields, but the header has {len(header)} ({listed(header)})"
                )
                raise _error(name, line, f"{problem}. Put quotes around fields that hold the delimiter.")
            yield line, [fields[position] for position in positions]
