"""Reads made-up pairs: time and memory, beside the reading of `datasets`.

    python -m benchmarks.pairs [--rows 1000000 10000000] [--out benchmarks/results/pairs.csv]

Ours reads the file, checks every text and numbers the distinct ones, so that training can start. `datasets`
reads it into an Arrow file of its own; nothing is checked and nothing numbered then. The third way is
`datasets` and what ours does besides, in plain Python: every text checked and numbered in a dictionary.

Texts are words drawn at random: anchors of 8, positives of 30; of pairs with lists, two negatives out of
200,000. Each measurement has a process of its own. ``peak_MB`` is what it held at most, with the libraries;
``own_MB`` the same without the pages of files that are mapped and that the system can take back.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.memory import peak

_FORMS = ("jsonl", "jsonl.gz", "csv", "parquet", "lists.jsonl")
_WAYS = ("ours", "datasets", "datasets, checked and numbered")
_BLOCK = 100_000
_WORDS = 20_000


def main() -> None:
    """Write the files, measure every way, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the files go; 4 GB (a temporary folder)")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/pairs.csv"))
    parser.add_argument("--alone", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        print(json.dumps(_measured(options.alone[0], Path(options.alone[1]))))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        table = []
        for rows in options.rows:
            # The large file is about memory: one form, and ours alone, because the others would take long.
            large = rows > 2_000_000
            for form in ("jsonl",) if large else _FORMS:
                path = Path(folder) / f"{rows}.{form}"
                write_pairs(path, rows)
                ways = _WAYS if form == "jsonl" and not large else ("ours",)
                runs: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
                for _ in range(1 if large else options.runs):
                    for way in ways:
                        runs[way].append(_alone(way, path))
                path.unlink()
                for way, own in runs.items():
                    seconds = median(run["seconds"] for run in own)
                    table.append(
                        {
                            "way": way,
                            "form": form,
                            "rows": rows,
                            "runs": len(own),
                            "seconds": round(seconds, 1),
                            "rows_per_second": round(rows / seconds),
                            "peak_MB": round(max(run["peak"] for run in own) / 1e6),
                            "own_MB": round(max(run["own"] for run in own) / 1e6),
                        }
                    )
                    print(table[-1], flush=True)
        # Brings torch along, which the processes that measure do without.
        from benchmarks.tables import write_table

        write_table(options.out, table)


def write_pairs(path: Path, rows: int) -> None:
    """Made-up pairs in a file of a form: always the same for as many rows."""
    from gistembed.pairs.writing.containers import write_records

    generator = np.random.default_rng(0)
    lengths = generator.integers(2, 9, _WORDS)
    words = np.array(["".join(generator.choice(list("aeionrst"), length)) for length in lengths])
    lists = path.name.endswith("lists.jsonl")
    documents = [" ".join(words[generator.integers(0, _WORDS, 30)]) for _ in range(200_000 if lists else 0)]

    def records() -> Iterator[dict[str, object]]:
        own = np.random.default_rng(1)
        for start in range(0, rows, _BLOCK):
            count = min(_BLOCK, rows - start)
            drawn = words[own.integers(0, _WORDS, (count, 38))].tolist()
            for line in drawn:
                record: dict[str, object] = {"query": " ".join(line[:8]), "pos": " ".join(line[8:])}
                if lists:
                    negatives = own.integers(0, len(documents), 2).tolist()
                    record |= {"pos": [record["pos"]], "neg": [documents[one] for one in negatives]}
                yield record

    write_records(records, path)


def _alone(way: str, path: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.pairs", "--alone", way, str(path)]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _measured(way: str, path: Path) -> dict[str, float]:
    started = time.perf_counter()
    if way == "ours":
        from gistembed.pairs import read_pairs

        held: object = read_pairs(path)
    else:
        held = _by_datasets(path, checked=way != "datasets")
    seconds = time.perf_counter() - started
    status = Path("/proc/self/status").read_text(encoding="ascii")
    own = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon:")) * 1024
    del held
    return {"seconds": seconds, "peak": peak(), "own": own}


def _by_datasets(path: Path, *, checked: bool) -> object:
    import datasets

    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory(dir=path.parent) as cache:
        data = datasets.load_dataset("json", data_files=str(path), cache_dir=cache)["train"]
        numbers: dict[str, int] = {}
        ids: list[tuple[int, int]] = []
        if checked:
            for row in data:
                for text in row.values():
                    if not isinstance(text, str) or not text.strip() or "\0" in text:
                        raise ValueError(text)
                ids.append(tuple(numbers.setdefault(text, len(numbers)) for text in row.values()))
        return data, numbers, ids


if __name__ == "__main__":
    main()
