"""Draws triplets from labelled texts, in blocks and over one matrix of all rows: time and memory of each.

    python -m benchmarks.mtebcls [--rows 5000 20000] [--classes 2 20] [--out benchmarks/results/mtebcls.csv]

The vectors are made up: 384 numbers in float16, around one centre for each class, as a store of a guide of
MiniLM's size gives them. The other way is the one that the paper's data were made in: all similarities at
once, and for each class the most similar of its part of the matrix. Each measurement has a process of its
own; memory is what it held at most above what it held when the vectors were there.
"""

import argparse
import json
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

import numpy as np

from benchmarks.memory import peak, reset_peak, resident
from benchmarks.tables import write_table

_DIMENSIONS = 384
_TOPK = 100
_TEMPERATURE = 0.05
_SEED = 1029


def main() -> None:
    """Measure every size both ways and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[5_000, 20_000])
    parser.add_argument("--classes", type=int, nargs="+", default=[2, 20])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/mtebcls.csv"))
    parser.add_argument("--alone", choices=["blocks", "matrix"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        print(json.dumps(_measured(options.alone, options.rows[0], options.classes[0])))
        return
    table: list[dict[str, object]] = []
    for rows, classes, way in product(options.rows, options.classes, ("blocks", "matrix")):
        runs = [_alone(way, rows, classes) for _ in range(options.runs)]
        table.append(
            {
                "way": way,
                "rows": rows,
                "classes": classes,
                "seconds": round(min(run["seconds"] for run in runs), 2),
                "peak_MB": round(max(run["bytes"] for run in runs) / 1e6),
            }
        )
        print(table[-1], flush=True)
    write_table(options.out, table)


def _alone(way: str, rows: int, classes: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.mtebcls", "--alone", way]
    command += ["--rows", str(rows), "--classes", str(classes)]
    found: dict[str, float] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return found


def _measured(way: str, rows: int, classes: int) -> dict[str, float]:
    from gistembed.build import draw_triplets

    generator = np.random.default_rng(0)
    labels = generator.integers(0, classes, rows)
    centres = generator.standard_normal((classes, _DIMENSIONS), np.float32)
    noise = generator.standard_normal((rows, _DIMENSIONS), np.float32)
    vectors = (centres[labels] + 2 * noise).astype(np.float16)
    del noise
    # What libraries set up at their first use is not counted.
    few = np.arange(200) % 2
    draw_triplets(vectors[:200], few)
    _by_matrix(vectors[:200], few)
    reset_peak()
    before, started = resident(), time.perf_counter()
    if way == "blocks":
        draw_triplets(vectors, labels, seed=_SEED, topk=_TOPK, temperature=_TEMPERATURE)
    else:
        _by_matrix(vectors, labels)
    return {"seconds": time.perf_counter() - started, "bytes": peak() - before}


def _by_matrix(vectors: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All similarities at once, and the draws of each class from its part of them."""
    import torch

    generator = torch.Generator().manual_seed(_SEED)
    unit = torch.nn.functional.normalize(torch.from_numpy(vectors).float(), dim=1)
    similarities = unit @ unit.T
    similarities.fill_diagonal_(-torch.inf)
    classes = torch.from_numpy(labels)
    positives, negatives = (
        torch.empty(len(labels), dtype=torch.long),
        torch.empty(len(labels), dtype=torch.long),
    )
    for label in classes.unique():
        own, others = torch.nonzero(classes == label)[:, 0], torch.nonzero(classes != label)[:, 0]
        part = similarities[own][:, own]
        nearest = part.topk(min(_TOPK, len(own) - 1), dim=1)
        chosen = torch.multinomial((nearest.values / _TEMPERATURE).softmax(dim=1), 1, generator=generator)
        positives[own] = own[nearest.indices.gather(1, chosen)[:, 0]]
        negatives[own] = others[torch.randint(len(others), (len(own),), generator=generator)]
    return positives.numpy(), negatives.numpy()


if __name__ == "__main__":
    main()
