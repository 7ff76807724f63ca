"""Reads the MEDI archive: triplets with an instruction for each text, in one JSON array of gigabytes."""

import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from gistembed.errors import UserError
from gistembed.pairs import Passage, Problem, Row
from gistembed.pairs.rows.cells import string_problem, text_problem
from gistembed.pairs.sources.json_array import array_items
from gistembed.pairs.sources.table import Absent
from gistembed.pairs.wording import listed, one_line, quoted

FORM = '{"query": [INSTRUCTION, TEXT], "pos": …, "neg": …, "task_name": NAME}'
"""A record, as messages show it."""

_ENCRYPTED = 0x1


def read_medi(
    path: str | os.PathLike[str],
    *,
    on_problem: Callable[[Problem], None] | None = None,
    on_bytes: Callable[[int], None] = lambda count: None,
) -> Iterator[tuple[int, Row]]:
    """The records of the archive in their order, each with its number from 1.

    Memory doesn't grow with the archive, and nothing is unpacked to disk.

    Args:
        path: ``medi-data.zip``, or the ``.json`` file that it holds: an array of records of `FORM`.
        on_problem: Called for each record that isn't of that form, which is then passed over; None ends at
            the first. What isn't JSON always ends the reading.
        on_bytes: Called with the number of bytes of JSON read since the call before.

    Yields:
        Number and row, with instructions in `Passage.instruction`; an empty one is none.

    Raises:
        UserError: If the file can't be read, or a record can't and nobody is told of it.
    """
    name = one_line(os.fspath(path))
    with _opened(Path(path), name) as file:
        for number, record in array_items(file, name, item="record", on_bytes=on_bytes):
            try:
                row = _row(record)
            except _RecordError as problem:
                if on_problem is None:
                    raise UserError(f"{name}: record {number}: {problem}") from None
                on_problem(Problem(number, str(problem)))
                continue
            yield number, row


def size_of(path: str | os.PathLike[str]) -> int:
    """How many bytes of JSON there are to read, as the file or the archive says.

    Args:
        path: See `read_medi`.

    Raises:
        UserError: If the file can't be read.
    """
    path, name = Path(path), one_line(os.fspath(path))
    with _faults(name):
        if not _is_zip(path, name):
            return path.stat().st_size
        with zipfile.ZipFile(path) as archive:
            return _member(archive, name).file_size


class _RecordError(Exception):
    """What is wrong with a record, and what to do; the reader adds the place."""


@contextmanager
def _opened(path: Path, name: str) -> Iterator[IO[bytes]]:
    """The JSON file, or the one in the archive."""
    with _faults(name):
        if _is_zip(path, name):
            with zipfile.ZipFile(path) as archive, archive.open(_member(archive, name)) as file:
                yield file
        else:
            with path.open("rb") as file:
                yield file


@contextmanager
def _faults(name: str) -> Iterator[None]:
    """What is wrong with a file, in words."""
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{name}: there is no such file.") from None
    except OSError as error:
        raise UserError(f"{name}: the file can't be read ({error.strerror}).") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        problem = one_line(str(error)) or "it ends too early"
        raise UserError(f"{name}: not a sound zip archive ({problem}). Get the file anew.") from None


def _is_zip(path: Path, name: str) -> bool:
    kind = path.suffix.lower()
    if kind not in (".zip", ".json"):
        raise UserError(f"{name}: neither a .zip nor a .json file; give medi-data.zip or medi-data.json.")
    return kind == ".zip"


def _member(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    """The one JSON file of an archive."""
    found = [
        info
        for info in archive.infolist()
        # What macOS adds to an archive is no part of it.
        if info.filename.lower().endswith(".json") and not info.filename.startswith("__MACOSX/")
    ]
    if len(found) != 1:
        files = f"these: {listed(info.filename for info in found)}" if found else "none"
        raise UserError(f"{name}: has to hold one .json file, but holds {files}. Give the .json file itself.")
    if found[0].flag_bits & _ENCRYPTED:
        raise UserError(f"{name}: is encrypted. Unpack it and give the .json file.")
    return found[0]


def _row(record: object) -> Row:
    if not isinstance(record, dict):
        raise _RecordError(f"is {quoted(record)}, not an object. A record is {FORM}.")
    task = record.get("task_name", Absent.KEY)
    if isinstance(task, int) and not isinstance(task, bool):
        task = str(task)
    if (problem := text_problem(task)) is not None:
        raise _RecordError(f"'task_name' {problem}. A record is {FORM}.")
    query, positive, negative = (_passage(record, role) for role in ("query", "pos", "neg"))
    return Row(query, (positive,), (negative,), task=task)


def _passage(record: dict[str, Any], role: str) -> Passage:
    """One of a record's texts with its instruction."""
    value = record.get(role, Absent.KEY)
    if value is Absent.KEY or value is None:
        problem = "is missing" if value is Absent.KEY else "is null"
        raise _RecordError(f"{role!r} {problem}. A record is {FORM}.")
    if not isinstance(value, list) or len(value) != 2:
        raise _RecordError(f"{role!r} is {quoted(value)}, not an instruction and a text. A record is {FORM}.")
    instruction, text = value
    if (fault := string_problem(instruction)) is not None:
        raise _RecordError(f"the instruction of {role!r} {fault}. A record is {FORM}.")
    if (fault := text_problem(text)) is not None:
        raise _RecordError(f"the text of {role!r} {fault}. A record is {FORM}.")
    return Passage(text, instruction=instruction or None)
