"""Tables from text files, line by line: JSON Lines, CSV and TSV."""

import csv
import json.scanner
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

from gistembed.errors import UserError
from gistembed.pairs.sources.json_array import DECODER, array_items
from gistembed.pairs.sources.lines import (
    LONGEST_LINE,
    UTF8_BOM,
    line_error,
    open_bytes,
    packing_problem,
    read_lines,
)
from gistembed.pairs.sources.table import (
    BLOCK_BYTES,
    BLOCK_ROWS,
    Absent,
    Block,
    Choose,
    OnProblem,
    Problem,
    Table,
    first_repeated,
    pass_over,
)
from gistembed.pairs.wording import counted, listed, located, one_line, quoted

# White space at the beginning of an array is no longer than this.
_BEGINNING = 4096

_Objects = Callable[[OnProblem | None], Iterator[tuple[int, dict[str, Any], int]]]
"""Gives the objects of a file: place, object, and about how long it is there."""


def open_jsonl(path: Path, name: str) -> Table:
    """A file with one JSON object on each line; its columns are all keys that occur."""
    return Table(name, "line", partial(_object_blocks, partial(_objects, path, name)))


def begins_array(path: Path, name: str) -> bool:
    """Whether a file begins with a JSON array, white space and a byte order mark aside.

    Raises:
        UserError: If it is packed, and damaged.
        OSError: If it can't be read.
    """
    try:
        with open_bytes(path) as file:
            return file.read(_BEGINNING).removeprefix(UTF8_BOM).lstrip().startswith(b"[")
    except OSError as error:
        if (broken := packing_problem(path, error)) is None:
            raise
        raise line_error(name, 1, broken) from None


def open_array(path: Path, name: str) -> Table:
    """A file that holds one JSON array of objects, as MEDI's authors ship it; its rows are numbered."""
    return Table(name, "row", partial(_object_blocks, partial(_array_objects, path, name)))


def open_csv(path: Path, name: str, delimiter: str) -> Table:
    """A file of fields parted by a delimiter; its first line names the columns.

    Raises:
        UserError: If the first line doesn't name every column by a different name.
    """
    with closing(_records(path, name, delimiter, None)) as records:
        line, header = next(records, (1, []))
    if not header:
        raise UserError(f"{name}: there are no rows.")
    names = _named(header)
    if not names:
        raise line_error(name, line, "no column has a name. Name them in this line.")
    if len(header) == 1 and (advice := _other_delimiter(names[0], delimiter)) is not None:
        raise line_error(name, line, f"the one column is named {quoted(names[0])}. {advice}")
    if (repeated := first_repeated(names)) is not None:
        raise line_error(name, line, f"two columns are named {quoted(repeated)}. Give each its own name.")
    read = partial(
        _record_blocks,
        partial(_below_header, path, name, delimiter),
        partial(_ragged, header),
        name,
        tuple(header),
    )
    return Table(name, "line", read, names)


def _named(header: Sequence[str]) -> tuple[str, ...]:
    """The columns that have a name; the index of a table of pandas has none, and nobody can ask for it."""
    return tuple(column for column in header if column.strip())


def _other_delimiter(column: str, delimiter: str) -> str | None:
    """What to do about a file whose one column is named as if another delimiter parted several."""
    if delimiter == "," and "\t" in column:
        return "If tabs part the columns, name the file .tsv."
    if delimiter == "\t" and "," in column:
        return "If commas part the columns, part them by tabs, or name the file .csv."
    if ";" in column:
        return f"If semicolons part the columns, part them by {'commas' if delimiter == ',' else 'tabs'}."
    return None


def open_plain_tsv(path: Path, name: str, header: tuple[str, ...]) -> Table:
    """A file of fields parted by tabs, without quotes and without a line that names the columns.

    Args:
        path: The file.
        name: The file, as messages name it.
        header: What its columns are.
    """
    read = partial(
        _record_blocks, partial(_fields, path, name), partial(_ragged_fields, header), name, header
    )
    return Table(name, "line", read, header)


def _object_blocks(objects_of: _Objects, choose: Choose, on_problem: OnProblem | None) -> Iterator[Block]:
    keys: dict[str, None] = {}
    chosen: Sequence[str] = ()
    objects = objects_of(on_problem)
    more = True
    while more:
        places: list[int] = []
        rows: list[dict[str, Any]] = []
        problem = None
        more, held = False, 0
        try:
            for place, row, length in objects:
                places.append(place)
                rows.append(row)
                held += length
                if len(rows) == BLOCK_ROWS or held >= BLOCK_BYTES:
                    more = True
                    break
        except UserError as error:
            # What is wrong in the rows before this line is told first.
            problem = error
        # Nearly all rows have the same keys in the same order, so that there is little to look at.
        forms = dict.fromkeys(map(tuple, rows))
        if any(not keys.keys() >= set(form) for form in forms):
            for form in forms:
                keys |= dict.fromkeys(form)
            chosen = choose(tuple(keys))
        if keys:
            yield Block(places, chosen, [_values(rows, key, forms) for key in chosen])
        if problem is not None:
            raise problem


def _values(rows: list[dict[str, Any]], key: str, forms: Iterable[tuple[str, ...]]) -> list[object]:
    if all(key in form for form in forms):
        return list(map(itemgetter(key), rows))
    return [row.get(key, Absent.KEY) for row in rows]


def _objects(
    path: Path, name: str, on_problem: OnProblem | None
) -> Iterator[tuple[int, dict[str, Any], int]]:
    # The types that are known of it take the decoder for a scanner.
    scan = json.scanner.make_scanner(DECODER)  # type: ignore[arg-type]
    for number, line in read_lines(path, name, on_problem):
        line = line.rstrip()
        if not line:
            continue
        try:
            # What the scanner reads to the end is sound; of all else, the decoder says what is wrong.
            row, end = scan(line, 0)
            if end == len(line) and type(row) is dict:
                yield number, row, end
                continue
        except (StopIteration, RecursionError, ValueError):
            pass
        try:
            row = DECODER.decode(line)
        except json.JSONDecodeError as error:
            problem = f"not valid JSON at column {error.colno} ({error.msg})"
        except RecursionError:
            problem = "nested too deeply"
        except ValueError as error:
            problem = f"not readable ({str(error).partition(';')[0]})"
        else:
            if isinstance(row, dict):
                yield number, row, len(line)
                continue
            problem = f"not an object but {quoted(row)}"
        problem = f"the line is {problem}. Each line must be one whole JSON object."
        pass_over(name, "line", Problem(number, problem), on_problem)


def _array_objects(
    path: Path, name: str, on_problem: OnProblem | None
) -> Iterator[tuple[int, dict[str, Any], int]]:
    number = held = 0

    def note(read: int) -> None:
        nonlocal held
        held += read

    try:
        with open_bytes(path) as file:
            for number, value in array_items(file, name, item="row", on_bytes=note):
                if isinstance(value, dict):
                    yield number, value, held
                    held = 0
                    continue
                problem = f"not an object but {quoted(value)}. Each item of the array must be one object."
                pass_over(name, "row", Problem(number, problem), on_problem)
    except OSError as error:
        if (broken := packing_problem(path, error)) is None:
            raise
        raise UserError(f"{located(name, 'row', number + 1)}: {broken}") from None


def _records(
    path: Path, name: str, delimiter: str, on_problem: OnProblem | None
) -> Generator[tuple[int, list[str]], None, None]:
    """Records that aren't blank, each with the line it begins on."""
    # The first line of the record at hand, and whether all its lines are UTF-8. One that isn't is told of and
    # its record left out, but where that ends can only be seen with it.
    begin, whole = 0, True

    def lines() -> Iterator[str]:
        nonlocal begin
        for number, line in read_lines(path, name, None if on_problem is None else note, escaped=True):
            begin = begin or number
            yield line

    def note(problem: Problem) -> None:
        nonlocal whole
        assert on_problem is not None
        whole = False
        on_problem(problem)

    reader = csv.reader(lines(), delimiter=delimiter, strict=True)
    try:
        while (fields := _next_record(reader)) is not None:
            if fields and whole:
                yield begin, fields
            begin, whole = 0, True
    except csv.Error as error:
        if "unexpected end" in str(error) or "field larger than" in str(error):
            problem = "a quoted field begins here and is never closed"
        elif "new-line" in str(error):
            problem = "a carriage return stands outside quotes"
        else:
            problem = f"the quotes don't match ({one_line(str(error))})"
        advice = 'End lines with a line feed, and write a quote inside a quoted field as "".'
        raise line_error(name, begin, f"{problem}. {advice}") from None


def _next_record(reader: Iterator[list[str]]) -> list[str] | None:
    """The next record, with fields as long as a line may be; None at the end."""
    # The limit is that of the whole process, so it is moved only while nobody else's code runs.
    limit = csv.field_size_limit(LONGEST_LINE)
    try:
        return next(reader, None)
    finally:
        csv.field_size_limit(limit)


def _below_header(
    path: Path, name: str, delimiter: str, on_problem: OnProblem | None
) -> Generator[tuple[int, list[str]], None, None]:
    records = _records(path, name, delimiter, on_problem)
    next(records)
    yield from records


def _fields(
    path: Path, name: str, on_problem: OnProblem | None
) -> Generator[tuple[int, list[str]], None, None]:
    for number, line in read_lines(path, name, on_problem):
        if line := line.rstrip("\r\n"):
            yield number, line.split("\t")


def _ragged(header: Sequence[str], fields: int) -> str:
    return (
        f"the row has {counted(fields, 'field')}, but the header has {len(header)} ({listed(header)}). "
        "Put quotes around fields that hold the delimiter."
    )


def _ragged_fields(header: Sequence[str], fields: int) -> str:
    return (
        f"the line has {counted(fields, 'field')}, not {len(header)} ({listed(header)}). "
        "Part them by one tab each; the texts hold none."
    )


def _record_blocks(
    records_of: Any,  # noqa: ANN401 — a partial of _below_header or _fields
    ragged: Callable[[int], str],
    name: str,
    header: tuple[str, ...],
    choose: Choose,
    on_problem: OnProblem | None,
) -> Iterator[Block]:
    chosen = choose(_named(header))
    positions = [header.index(column) for column in chosen]
    places: list[int] = []
    rows: list[list[str]] = []
    held = 0

    def block() -> Block:
        columns = list(zip(*rows, strict=True))
        return Block(places, chosen, [columns[position] for position in positions])

    try:
        for line, fields in records_of(on_problem):
            if len(fields) != len(header):
                pass_over(name, "line", Problem(line, ragged(len(fields))), on_problem)
                continue
            places.append(line)
            rows.append(fields)
            held += sum(map(len, fields))
            if len(rows) == BLOCK_ROWS or held >= BLOCK_BYTES:
                yield block()
                places, rows, held = [], [], 0
    except UserError:
        # What is wrong in the rows before this line is told first.
        if rows:
            yield block()
        raise
    if rows:
        yield block()
