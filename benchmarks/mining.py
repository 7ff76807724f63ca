"""Mining on embeddings that are there: ours against sentence-transformers' `mine_hard_negatives`.

    python -m benchmarks.mining [--sizes 20000 50000] [--repeats 3]

So many pairs, d = 384, in clusters of 50 that are close to each other; five negatives for each anchor among
the nearest 100 documents, at least 5 % below the positive. Both start from a data set in memory and end with
all rows in memory. Each run is a process of its own, the two take turns; its time is that of the mining
alone, its memory the growth of the process's peak over what texts and embeddings need. Before that, both must
give the same negatives at a small size.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import datasets
import numpy as np
import torch
from sentence_transformers.util import mine_hard_negatives, pairwise_cos_sim
from sentence_transformers.util.similarity import cos_sim

from benchmarks.memory import peak, reset_peak, resident
from benchmarks.tables import write_table
from gistembed.guide import GuideVectors
from gistembed.mine import MiningSettings, MiningTally, mine_negatives, mined_rows
from gistembed.pairs import read_pairs, read_rows

_DIM = 384
_CLUSTER = 50
_SMALL = 1000
_OPTIONS = {"num_negatives": 5, "range_max": 100, "relative_margin": 0.05}

Mined = dict[str, list[str]]


class _Given:
    """A model that finds the embeddings of texts by the number that they end with."""

    device = torch.device("cpu")
    similarity = staticmethod(cos_sim)
    similarity_pairwise = staticmethod(pairwise_cos_sim)

    def __init__(self, queries: np.ndarray, documents: np.ndarray) -> None:
        self.queries, self.documents = queries, documents

    def encode_query(self, texts: list[str], **_: object) -> np.ndarray:
        return self.queries[[int(text.split()[1]) for text in texts]]

    def encode_document(self, texts: list[str], **_: object) -> np.ndarray:
        return self.documents[[int(text.split()[1]) for text in texts]]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=[20_000, 50_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/mining.csv"))
    parser.add_argument("--alone", nargs=2, metavar=("WHO", "SIZE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    datasets.disable_progress_bars()
    if options.alone:
        who, size = options.alone
        print(json.dumps(_measure(who, int(size))))
        return
    rows, queries, documents = _data(_SMALL)
    expected = _theirs(rows, queries, documents)
    assert len(expected) > _SMALL / 2
    assert _ours(rows, queries, documents) == expected
    table: list[dict[str, object]] = []
    for size in options.sizes:
        runs: dict[str, list[dict[str, float]]] = {"ours": [], "sentence-transformers": []}
        for _ in range(options.repeats):
            for who, own in runs.items():
                own.append(_in_own_process(who, size))
        theirs = statistics.median(run["seconds"] for run in runs["sentence-transformers"])
        for who, own in runs.items():
            seconds = [run["seconds"] for run in own]
            table.append(
                {
                    "what": who,
                    "pairs": size,
                    "runs": len(own),
                    "seconds": f"{statistics.median(seconds):.4g}",
                    "fastest": f"{min(seconds):.4g}",
                    "slowest": f"{max(seconds):.4g}",
                    "processor_seconds": f"{statistics.median(run['processor'] for run in own):.4g}",
                    "times_sentence_transformers": f"{theirs / statistics.median(seconds):.3g}",
                    "memory_mb": f"{statistics.median(run['memory'] for run in own) / 1e6:.0f}",
                }
            )
            print("  ".join(f"{name} {value}" for name, value in table[-1].items()), flush=True)
    write_table(options.out, table)


def _data(size: int) -> tuple[datasets.Dataset, np.ndarray, np.ndarray]:
    """Rows of texts that tell their number, and the embeddings of both columns."""
    random = np.random.default_rng(0)

    def near(vectors: np.ndarray) -> np.ndarray:
        noise = random.standard_normal((size, _DIM), np.float32)
        moved = vectors + 0.8 * noise / np.linalg.norm(noise, axis=1, keepdims=True)
        unit: np.ndarray = moved / np.linalg.norm(moved, axis=1, keepdims=True)
        return unit

    centres = random.standard_normal((size // _CLUSTER, _DIM), np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    documents = near(centres[random.integers(0, len(centres), size)])
    texts = {
        "anchor": [f"query {number}" for number in range(size)],
        "positive": [f"document {number}" for number in range(size)],
    }
    return datasets.Dataset.from_dict(texts), near(documents), documents


def _ours(rows: datasets.Dataset, queries: np.ndarray, documents: np.ndarray) -> Mined:
    pairs = read_pairs(rows)
    places = np.full((2, len(pairs.texts)), -1)
    places[0, pairs.anchors] = np.arange(len(pairs))
    places[1, pairs.positives] = np.arange(len(pairs), 2 * len(pairs))
    vectors = GuideVectors(np.concatenate([queries, documents]), {"anchor": places[0], "document": places[1]})
    settings = MiningSettings(**_OPTIONS, too_few="drop")
    mined = mine_negatives(pairs, vectors, settings)
    made = mined_rows(read_rows(rows), pairs, mined, settings, MiningTally())
    return {row.anchor.text: [negative.text for negative in row.negatives] for row in made}


def _theirs(rows: datasets.Dataset, queries: np.ndarray, documents: np.ndarray) -> Mined:
    mined = mine_hard_negatives(
        rows, _Given(queries, documents), output_format="n-tuple", verbose=False, **_OPTIONS
    )
    names = [name for name in mined.column_names if name.startswith("negative")]
    return dict(
        zip(mined["anchor"], map(list, zip(*(mined[name] for name in names), strict=True)), strict=True)
    )


def _measure(who: str, size: int) -> dict[str, float]:
    mine = {"ours": _ours, "sentence-transformers": _theirs}[who]
    inputs = _data(size)
    mine(*_data(_SMALL))
    before = resident()
    reset_peak()
    started, used = time.perf_counter(), time.process_time()
    mine(*inputs)
    return {
        "seconds": time.perf_counter() - started,
        "processor": time.process_time() - used,
        "memory": float(peak() - before),
    }


def _in_own_process(who: str, size: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.mining", "--alone", who, str(size)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
