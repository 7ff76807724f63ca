"""Files of kilobytes that unpack to gigabytes, and files with one endless line: refused in little memory."""

import re
import struct
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gistembed.errors import UserError
from gistembed.pairs import read_pairs

_MB = 2**20
_MOST_MB = 1000
_READ = """
import sys
from pathlib import Path
from gistembed.errors import UserError
from gistembed.pairs import read_rows, write_rows
try:
    write_rows((row for _, row in read_rows(sys.argv[1])), Path("out.jsonl"))
except UserError as error:
    print(error)
status = Path("/proc/self/status").read_text()
print(int(status.split("VmHWM:")[1].split()[0]) // 1024, Path("out.jsonl").exists())
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")


def refused(name):
    done = subprocess.run([sys.executable, "-c", _READ, name], capture_output=True, text=True, check=True)
    message, _, rest = done.stdout.rstrip().rpartition("\n")
    peak, left = rest.split()
    assert int(peak) < _MOST_MB
    assert left == "False"
    return message


def pack(name, head, unit, times):
    with pa.CompressedOutputStream(pa.OSFile(name, "wb"), "gzip" if name.endswith("gz") else "zstd") as file:
        file.write(head)
        for _ in range(times):
            file.write(unit)


def test_a_line_of_two_gigabytes():
    with open("hole.jsonl", "wb") as file:  # noqa: PTH123
        file.write(b'{"q":"')
        file.truncate(2 * 2**30)
    assert refused("hole.jsonl") == "hole.jsonl:1: the line is longer than 16 MiB. Split or drop it."


_LONG = "x" * 2 * _MB
_WORDS = pa.DictionaryArray.from_arrays(pa.array([0] * 2000, pa.int32()), [_LONG])
_VIEW = struct.pack("<i4sii", len(_LONG), b"xxxx", 0, 0)
REPEATED = {
    "words": _WORDS,
    "lists of words": pa.ListArray.from_arrays(range(2001), _WORDS),
    "views": pa.Array.from_buffers(
        pa.string_view(), 2000, [None, pa.py_buffer(_VIEW * 2000), pa.py_buffer(_LONG.encode())]
    ),
}


@pytest.mark.parametrize("kind", REPEATED)
@pytest.mark.parametrize("new_file", [pa.ipc.new_file, pa.ipc.new_stream])
def test_arrow_with_one_large_text_many_times(kind, new_file, monkeypatch):
    """Rows were read up to a thousand times the size of the file, which took a minute for one of 10 MB."""
    monkeypatch.setattr("gistembed.pairs.sources.arrow_tables._values", None)
    batch = pa.record_batch({"q": pa.array(["a"] * 2000), "pos": REPEATED[kind]})
    with pa.OSFile("words.arrow", "wb") as file, new_file(file, batch.schema) as writer:
        for _ in range(2):
            writer.write_batch(batch)
    with pytest.raises(UserError) as error:
        read_pairs("words.arrow")
    size = Path("words.arrow").stat().st_size
    message = re.fullmatch(
        rf"words\.arrow: its {size:,} bytes hold ([0-9,]+) bytes of text, which no text does\."
        r" Get or write the file anew\.",
        str(error.value),
    )
    # The anchors and where they begin are counted too.
    assert 0 <= int(message[1].replace(",", "")) - 4000 * len(_LONG) < 100_000


@pytest.mark.slow
def test_a_dictionary_of_one_large_text_many_times():
    """Kilobytes that would be a terabyte as texts."""
    words = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), ["x" * 10_000_000])
    table = pa.table({"q": words, "pos": words})
    pq.write_table(table, "words.parquet", store_schema=False, compression="zstd")
    message = refused("words.parquet")
    assert message.startswith("words.parquet: row 54: up to here, ")
    assert message.endswith(" bytes of text, which no text does. Get or write the file anew.")


SLOW = {
    "line.jsonl.gz": (b'{"q":"', b"a" * _MB),
    "line.csv.zst": (b"q,pos\n", b"a" * _MB),
    "quoted.csv.gz": (b'q,pos\n"', (b"a" * 1023 + b"\n") * 1024),
    "item.json.gz": (b'[{"query":"', b"a" * _MB),
    "space.json.zst": (b"", b" " * _MB),
    "lists.jsonl.zst": (b'{"q":[', b"[]," * (_MB // 3)),
    "fields.csv.zst": (b"q,pos\n", b"ab," * (_MB // 3)),
    "zeros.tsv.gz": (b"q\tpos\n", b"\0" * _MB),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_packed(name):
    pack(name, *SLOW[name], 1500)
    assert refused(name).startswith(name)


@pytest.mark.slow
def test_many_lines_that_are_whole():
    """Nothing is wrong but that they are many: they pass through in little memory, up to the last."""
    line = b'{"q":"' + b"a" * (_MB - 20) + b'","pos":"b"}\n'
    pack("long.jsonl.zst", b"", line, 1500)
    with pa.CompressedOutputStream(pa.OSFile("end.zst", "wb"), "zstd") as file:
        file.write(b"x\n")
    with open("long.jsonl.zst", "ab") as file, open("end.zst", "rb") as end:  # noqa: PTH123
        file.write(end.read())
    assert refused("long.jsonl.zst").startswith("long.jsonl.zst:1501: the line is not valid JSON")
