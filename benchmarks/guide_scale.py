"""What a store of a million, a hundred million and a billion texts takes: reckoned from measured rates.

    python -m benchmarks.guide_scale [--rates benchmarks/results/guide.csv]

Measured here: the bytes of a vector on disk, of a text in memory while its work is planned, and how long a
merge of files takes. Taken from `benchmarks.guide`: texts encoded in a second, and keys looked up. All else
is multiplication, and is written as a Markdown table.
"""

import argparse
import csv
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.memory import peak
from gistembed.guide import GuideIdentity, GuideStore, Keys, compact

_ROWS = 200_000
_TEXTS = 1_000_000
_DIMENSIONS = 384
_CHARACTERS = 300
_SIZES = (10**6, 10**8, 10**9)
_DAY = 86_400
# Pairs that a small student on one GPU may train on in a second: for the network that it would need.
_PAIRS_PER_SECOND = 2_000


def main() -> None:
    """Measure, reckon and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rates", type=Path, default=Path("benchmarks/results/guide.csv"))
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        print(_planned_bytes())
        return
    rates = _rates(options.rates)
    (halves, merged), (quarters, _) = _stored("float16"), _stored("int8")
    alone = subprocess.run(
        [sys.executable, "-m", "benchmarks.guide_scale", "--alone"],
        capture_output=True,
        text=True,
        check=True,
    )
    planned = float(alone.stdout)
    encoded, found = rates["encode, ours"], rates["warm start"]
    print(
        f"measured: {halves:.1f} bytes a vector as float16, {quarters:.1f} as int8; {planned:.0f} bytes of "
        f"memory a text of {_CHARACTERS} characters; {merged:,.0f} vectors merged a second; "
        f"{encoded:.0f} texts encoded and {found:,.0f} keys looked up a second\n"
    )
    lines: list[tuple[str, Callable[[int], str]]] = [
        ("on disk, float16", lambda count: _bytes(count * halves)),
        ("on disk, int8", lambda count: _bytes(count * quarters)),
        ("encoding, on one such machine", lambda count: _time(count / encoded)),
        ("such machines, to encode in a day", lambda count: f"{max(1, round(count / encoded / _DAY)):,}"),
        ("raw text that goes to the workers", lambda count: _bytes(count * _CHARACTERS)),
        ("memory where the work is planned", lambda count: _bytes(count * planned)),
        ("keys made and looked up in a warm start", lambda count: _time(count / found)),
        ("merging all files into one", lambda count: _time(count / merged)),
        ("read in an epoch, each text once", lambda count: _bytes(count * 2 * _DIMENSIONS)),
    ]
    print("| | " + " | ".join(f"{size:,} texts" for size in _SIZES) + " |")
    print("|---" * (len(_SIZES) + 1) + "|")
    for name, value in lines:
        print(f"| {name} | " + " | ".join(value(size) for size in _SIZES) + " |")
    network = _PAIRS_PER_SECOND * 2 * 2 * _DIMENSIONS
    print(f"\n{_PAIRS_PER_SECOND:,} pairs a second read {_bytes(network)} of vectors a second")


def _rates(path: Path) -> dict[str, float]:
    with path.open(encoding="utf-8") as file:
        rows = csv.DictReader(line for line in file if not line.startswith("#"))
        return {row["what"]: float(row["per_second"]) for row in rows}


def _stored(dtype: str) -> tuple[float, float]:
    """Bytes of a vector on disk, and vectors merged in a second."""
    identity = GuideIdentity("0" * 32, 128, _DIMENSIONS, dtype)
    generator = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        store = GuideStore(Path(folder), identity)
        for start in range(0, _ROWS, _ROWS // 4):
            vectors = generator.standard_normal((_ROWS // 4, _DIMENSIONS), np.float32)
            keys = Keys.of(map(str, range(start, start + _ROWS // 4)), prompt="")
            store.append(keys, identity.stored(vectors), np.ones(_ROWS // 4, np.int32))
        size = store.summary().bytes
        started = time.perf_counter()
        compact(store)
        return size / _ROWS, _ROWS / (time.perf_counter() - started)


def _planned_bytes() -> float:
    """Memory of a text and its key while the work is planned, in a process of its own."""
    from datasets import Dataset

    from gistembed.guide import Keys
    from gistembed.pairs import read_pairs

    half = _TEXTS // 2
    before = peak()
    filler = "x" * (_CHARACTERS - 20)
    columns = {
        "anchor": [f"question {number:09d} {filler}" for number in range(half)],
        "positive": [f"answer {number:011d} {filler}" for number in range(half)],
    }
    pairs = read_pairs(Dataset.from_dict(columns))
    del columns
    keys = Keys.of((pairs.texts[i] for i in range(len(pairs.texts))), prompt="")
    keys.distinct()
    return (peak() - before) / _TEXTS


def _bytes(count: float) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count / 1e3:.3g} kB"


def _time(seconds: float) -> str:
    for unit, size in (("days", _DAY), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


if __name__ == "__main__":
    main()
