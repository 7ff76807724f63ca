"""The items of one large JSON array, one after another, without the array in memory."""

import codecs
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Protocol, runtime_checkable

from gistembed.errors import UserError
from gistembed.pairs.wording import counted, one_line, quoted

_BYTES_AT_ONCE = 1 << 20
# An item in characters; whatever is longer isn't one but the rest of a damaged file.
_LONGEST_ITEM = 1 << 24
# In JSON that is only cut off, an error stands no further from the end than a literal or an escape is long.
_LONGEST_TOKEN = 16
_LONGEST_JOINT = 2
_ADVICE = "The file is damaged or was cut off; get it anew."
_WHITE_SPACE = re.compile(r"[ \t\n\r]*")


class _RepeatedKeyError(ValueError):
    """An object of which nobody can tell what it holds."""


def _object(items: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(items)
    if len(found) < len(items):
        raise _RepeatedKeyError("a key stands twice in one object")
    return found


DECODER = json.JSONDecoder(object_pairs_hook=_object)
"""Reads JSON; an object in which a key stands twice is a ValueError."""


@runtime_checkable
class Readable(Protocol):
    """What can be read from start to end."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end."""


def array_items(
    file: Readable,
    name: str,
    *,
    item: str = "item",
    longest: int = _LONGEST_ITEM,
    on_bytes: Callable[[int], None] = lambda count: None,
) -> Iterator[tuple[int, object]]:
    """The items of a file that holds one JSON array, each with its number from 1.

    Memory is that of the longest item and of a few MiB.

    Args:
        file: The file, in UTF-8.
        name: What messages call it.
        item: What messages call an item.
        longest: Most characters of an item.
        on_bytes: Called with the number of bytes read since the call before.

    Yields:
        Number and item.

    Raises:
        UserError: If the file isn't such an array; the message names the item.
    """
    text = _Window(file, name, on_bytes)
    if (sign := text.next_sign()) != "[":
        found = f"begins with {quoted(sign)}" if sign else "is empty"
        raise UserError(f"{name}: the file {found}; give one with a JSON array of {item}s.")
    text.at += 1
    number, closed = 0, text.next_sign() == "]"
    while not closed:
        number += 1
        text.where = f"{name}: {item} {number}"
        yield number, text.value(longest)
        sign = text.next_sign()
        if sign not in (",", "]"):
            found = (
                f"is followed by {quoted(sign)}, not by a comma" if sign else "is the last, but no ] follows"
            )
            raise UserError(f"{text.where}: {found}. {_ADVICE}")
        closed = sign == "]"
        text.at += not closed
    text.at += 1
    if text.next_sign():
        raise UserError(f"{name}: after the array of {counted(number, item)} there is more. {_ADVICE}")


class _Window:
    """The part of a text that is being read.

    Attributes:
        at: The next character.
        where: What is being read, as messages begin.
    """

    def __init__(self, file: Readable, name: str, on_bytes: Callable[[int], None]) -> None:
        self.at = 0
        self.where = name
        self._file = file
        self._on_bytes = on_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._text = ""
        self._broken: str | None = None

    def next_sign(self) -> str:
        """The next character that isn't white space, which stays unread; nothing at the end."""
        while True:
            match = _WHITE_SPACE.match(self._text, self.at)
            assert match is not None
            self.at = match.end()
            if self.at < len(self._text):
                return self._text[self.at]
            if not self._more():
                return ""

    def value(self, longest: int) -> object:
        """The next JSON value, read."""
        self.next_sign()
        while True:
            try:
                value, end = DECODER.raw_decode(self._text, self.at)
            except json.JSONDecodeError as error:
                held, place = len(self._text) - self.at, error.pos - self.at
                if held > longest:
                    raise UserError(f"{self.where}: longer than {longest:,} characters. {_ADVICE}") from None
                is_open = error.msg.startswith("Unterminated string")
                if (is_open or place > held - _LONGEST_TOKEN) and self._more():
                    continue
                problem = f"not valid JSON at its character {place + 1:,} ({error.msg})"
                if is_open or place >= held:
                    problem = "the file ends within it"
                raise UserError(f"{self.where}: {problem}. {_ADVICE}") from None
            except RecursionError:
                raise UserError(f"{self.where}: nested too deeply. {_ADVICE}") from None
            except _RepeatedKeyError as error:
                raise UserError(f"{self.where}: {error}. Write each key once.") from None
            except ValueError as error:
                problem = one_line(str(error).partition(":")[0])
                raise UserError(f"{self.where}: not readable ({problem}). {_ADVICE}") from None
            else:
                length = end - self.at
                # A number may go on in what hasn't been read yet, past a "." or an "e+" that is read already.
                open_end = isinstance(value, int | float) and len(self._text) - end <= _LONGEST_JOINT
                if not open_end or not self._more():
                    self.at += length
                    return value

    def _more(self) -> bool:
        """Read on, and forget what was read; False at the end.

        Of a long value as much again is read as there is, so that it isn't tried too often.
        """
        if self._broken is not None:
            raise UserError(f"{self.where}: {self._broken}. {_ADVICE}")
        rest = self._text[self.at :]
        block = self._file.read(max(_BYTES_AT_ONCE, len(rest)))
        self._on_bytes(len(block))
        try:
            decoded = self._decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            # What stands before is still good, and the item that isn't has not been reached.
            decoded = bytes(error.object[: error.start]).decode()
            self._broken = f"byte 0x{error.object[error.start]:02x} is not valid UTF-8"
        self._text, self.at = rest + decoded, 0
        return bool(block)
