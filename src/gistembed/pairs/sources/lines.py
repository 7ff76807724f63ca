"""Lines of a file as text, unpacked on the way; no line and no file is ever larger than memory bears."""

import io
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

from gistembed.errors import UserError
from gistembed.pairs.sources.table import OnProblem, Problem, pass_over
from gistembed.pairs.wording import located, one_line

# What a line holds can take twenty times its length in memory: lists of nothing, fields of one letter.
LONGEST_LINE = 16 * 2**20
PACKED = {".gz": "gzip", ".zst": "zstd"}
"""Endings of packed files, and what Arrow calls the way in which they are packed."""

UTF8_BOM = b"\xef\xbb\xbf"
_OTHER_BOMS = (b"\xff\xfe", b"\xfe\xff")
_BUFFER = 2**16


def open_bytes(path: Path) -> BinaryIO:
    """A file for reading; one that ends with .gz or .zst is unpacked as it is read.

    Raises:
        OSError: If it can't be opened; reading raises it where the file is damaged or cut off.
    """
    if (packing := PACKED.get(path.suffix.lower())) is None:
        return path.open("rb")
    return cast(BinaryIO, io.BufferedReader(_Unpacked(path, packing), _BUFFER))


class _Unpacked(io.RawIOBase):
    """What a packed file holds, up to the very byte from which on it is damaged.

    Arrow gives nothing of a block in which the damage begins, so that it would seem to begin thousands of
    lines too early. That block is read once more, byte by byte.
    """

    mode = "rb"

    def __init__(self, path: Path, packing: str) -> None:
        self.name, self._packing = str(path), packing
        self._stream = self._opened()
        self._given = 0
        self._damage: OSError | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:  # noqa: ANN401 — any buffer
        if self._damage is not None:
            raise self._damage
        try:
            block = self._stream.read(len(buffer))
        except OSError as error:
            self._damage = error
            if not (block := self._sound_bytes()):
                raise
        buffer[: len(block)] = block
        self._given += len(block)
        return len(block)

    def close(self) -> None:
        self._stream.close()
        super().close()

    def _opened(self) -> Any:  # noqa: ANN401
        import pyarrow as pa

        return pa.CompressedInputStream(pa.OSFile(self.name), self._packing)

    def _sound_bytes(self) -> bytes:
        """Those that stand between what was given and the damage."""
        sound: list[bytes] = []
        with self._opened() as stream, suppress(OSError):
            left = self._given
            while left:
                left -= len(stream.read(min(left, _BUFFER)))
            while byte := stream.read(1):
                sound.append(byte)
        return b"".join(sound)


def plain_suffix(path: Path) -> str:
    """The ending that tells the format, in lower case: that before .gz or .zst."""
    name = path.with_suffix("") if path.suffix.lower() in PACKED else path
    return name.suffix.lower()


def packing_problem(path: Path, error: OSError) -> str | None:
    """What is wrong with packed data that is damaged or cut off, and what to do; None if that isn't it.

    Args:
        path: The file.
        error: What reading it raised.
    """
    # What Arrow says of packed data has no error number.
    if error.errno is not None or path.suffix.lower() not in PACKED:
        return None
    return f"the packed file is damaged or cut off here ({one_line(str(error))}). Get it anew."


def line_error(name: str, line: int, problem: str) -> UserError:
    """What is wrong with a line, as an exception."""
    return UserError(f"{located(name, 'line', line)}: {problem}")


def read_lines(
    path: Path, name: str, on_problem: OnProblem | None = None, *, escaped: bool = False
) -> Iterator[tuple[int, str]]:
    """Each line with its number, from 1; its line end stays.

    Args:
        path: The file, UTF-8, with or without a byte order mark.
        name: The file, as messages name it.
        on_problem: Told of lines that aren't UTF-8, which are then passed over; None ends at the first.
        escaped: Whether lines that aren't UTF-8 are given all the same, once told of, with half a surrogate
            pair for each byte that is the matter.

    Yields:
        Number and line.

    Raises:
        UserError: If a line isn't UTF-8 or is too long, or the file is damaged or cut off.
    """
    number = 0
    try:
        with open_bytes(path) as file:
            for number, line in enumerate(iter(partial(file.readline, LONGEST_LINE), b""), 1):
                if number == 1:
                    if line.startswith(_OTHER_BOMS):
                        raise line_error(name, number, "the file is UTF-16 or UTF-32. Save it as UTF-8.")
                    line = line.removeprefix(UTF8_BOM)
                if len(line) == LONGEST_LINE:
                    limit = LONGEST_LINE // 2**20
                    raise line_error(name, number, f"the line is longer than {limit} MiB. Split or drop it.")
                try:
                    text = line.decode()
                except UnicodeDecodeError as error:
                    where = f"byte 0x{line[error.start]:02x} at column {error.start + 1}"
                    problem = f"{where} is not valid UTF-8. Save the file as UTF-8 or drop the line."
                    pass_over(name, "line", Problem(number, problem), on_problem)
                    if not escaped:
                        continue
                    text = line.decode(errors="surrogateescape")
                yield number, text
    except OSError as error:
        if (broken := packing_problem(path, error)) is None:
            raise
        raise line_error(name, number + 1, broken) from None
