"""Items of an array one by one: the same as json.loads gives, wherever blocks end; and what can be broken."""

import io
import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gistembed.errors import UserError
from gistembed.pairs.sources import json_array
from gistembed.pairs.sources.json_array import array_items

ADVICE = "The file is damaged or was cut off; get it anew."

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


class Trickle:
    """A file that gives few bytes at a time, as a stream may."""

    def __init__(self, content, size) -> None:
        """Hold some bytes, and give so many at a time."""
        self.file, self.size = io.BytesIO(content), size

    def read(self, size, /):
        return self.file.read(min(size, self.size))


def items(content, size=1 << 20, **settings):
    return list(array_items(Trickle(content, size), "data.json", item="record", **settings))


@settings(max_examples=60)
@given(
    values=st.lists(VALUES, max_size=6),
    size=st.integers(1, 40),
    indent=st.sampled_from([None, 0, 3]),
    ascii_only=st.booleans(),
    bom=st.booleans(),
)
def test_items_are_those_of_the_whole_array(values, size, indent, ascii_only, bom):
    text = json.dumps(values, indent=indent, ensure_ascii=ascii_only)
    content = text.encode("utf-8-sig" if bom else "utf-8", "surrogatepass")
    try:
        content.decode()
    except UnicodeDecodeError:
        return
    assert items(content, size) == list(enumerate(json.loads(text), 1))


GOOD = '[{"a": "é"}, {"a": 2}'


@pytest.mark.parametrize("size", [1, 2, 5, 1 << 20])
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "data.json: the file is empty; give one with a JSON array of records."),
        (" \n", "data.json: the file is empty; give one with a JSON array of records."),
        ('{"a": 1}', "data.json: the file begins with '{'; give one with a JSON array of records."),
        (GOOD, f"data.json: record 2: is the last, but no ] follows. {ADVICE}"),
        (GOOD + ",", f"data.json: record 3: the file ends within it. {ADVICE}"),
        (GOOD + ', {"a": "b', f"data.json: record 3: the file ends within it. {ADVICE}"),
        (GOOD + ', {"a": ', f"data.json: record 3: the file ends within it. {ADVICE}"),
        (GOOD + ",]", f"data.json: record 3: not valid JSON at its character 1 (Expecting value). {ADVICE}"),
        (
            GOOD + ', {"a": no}, {"a": "and so on for long enough"}]',
            f"data.json: record 3: not valid JSON at its character 7 (Expecting value). {ADVICE}",
        ),
        (
            GOOD + ', {"a" 1}]',
            f"data.json: record 3: not valid JSON at its character 6 (Expecting ':' delimiter). {ADVICE}",
        ),
        (GOOD + ' {"a": 3}]', f"data.json: record 2: is followed by '{{', not by a comma. {ADVICE}"),
        (GOOD + "] []", f"data.json: after the array of 2 records there is more. {ADVICE}"),
        (GOOD + ", " + "[" * 100_000, f"data.json: record 3: nested too deeply. {ADVICE}"),
        (
            GOOD + ", " + "1" * 5000 + "]",
            "data.json: record 3: not readable "
            "(Exceeds the limit (4300 digits) for integer string conversion). " + ADVICE,
        ),
    ],
)
def test_what_is_broken_is_named(text, problem, size):
    if len(text) > 10_000 and size < 100:
        size = 5000
    with pytest.raises(UserError) as error:
        items(text.encode(), size)
    assert str(error.value) == problem


@pytest.mark.parametrize("size", [1, 3, 1 << 20])
def test_what_is_not_utf_8_is_named_with_its_record(size):
    content = '["é", "b","'.encode() + b"\xff" + b'", "d"]'
    read = []
    with pytest.raises(UserError) as error:
        read.extend(array_items(Trickle(content, size), "data.json", item="record"))
    assert str(error.value) == f"data.json: record 3: byte 0xff is not valid UTF-8. {ADVICE}"


def test_good_items_come_before_the_broken_one():
    stream = array_items(io.BytesIO(b'[1, {"a": 2}, t'), "data.json")
    assert [next(stream), next(stream)] == [(1, 1), (2, {"a": 2})]
    with pytest.raises(
        UserError, match=r"^data\.json: item 3: not valid JSON at its character 1 \(Expecting value\)"
    ):
        next(stream)


def test_a_string_that_never_ends_is_given_up():
    """A quote is missing: without a limit all of a large file would be read as one string."""
    file = io.BytesIO(b'["a", "' + b"x" * 5_000_000)
    with pytest.raises(UserError) as error:
        list(array_items(file, "data.json", longest=1000))
    assert str(error.value) == f"data.json: item 2: longer than 1,000 characters. {ADVICE}"
    assert file.tell() <= 2 << 20


def test_memory_is_that_of_an_item(monkeypatch):
    """5,000 items of 2 kB: as a list they would hold 10 MB."""
    monkeypatch.setattr(json_array, "_BYTES_AT_ONCE", 1 << 14)
    item = json.dumps({"text": "x" * 2000}).encode()

    class Endless:
        left = 5_000

        def read(self, size, /):
            self.left -= 1
            if self.left <= 0:
                return b"" if self.left else b" 0]"
            return (b"[" if self.left == 4_999 else b"") + item + b","

    tracemalloc.start()
    count = sum(1 for _ in array_items(Endless(), "data.json"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 5_000
    assert peak < 1 << 20
