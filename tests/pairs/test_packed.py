"""Packed files that are cut off: every line before the cut is read, and the one with the cut is named."""

import gzip
import random

import pyarrow as pa
import pytest

from gistembed.errors import UserError
from gistembed.pairs import read_rows

WORDS = random.Random(0)
LINES = [b'{"q": "%d", "pos": "%x"}\n' % (line, WORDS.getrandbits(8000)) for line in range(900)]


def zstd(content):
    stream = pa.BufferOutputStream()
    with pa.CompressedOutputStream(stream, "zstd") as packed:
        packed.write(content)
    return stream.getvalue().to_pybytes()


@pytest.mark.parametrize(("name", "pack"), [("p.jsonl.gz", gzip.compress), ("p.jsonl.zst", zstd)])
def test_the_line_with_the_cut_is_named(tmp_path, name, pack):
    """It was the first of a mebibyte of lines, and none of these was read."""
    path, whole = tmp_path / name, 777
    path.write_bytes(pack(b"".join(LINES[:whole])) + pack(LINES[whole])[:-12])
    problems, read = [], 0
    with pytest.raises(UserError) as error:
        for read, _ in read_rows(path, on_problem=problems.append):  # noqa: B007
            pass
    assert str(error.value) == (
        f"{path}:{whole + 1}: the packed file is damaged or cut off here (Truncated compressed stream). "
        "Get it anew."
    )
    assert (read, problems) == (whole, [])
