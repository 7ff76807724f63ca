"""Does the symmetry of blocks aa and pp pay? Three ways to the same gradients, stripped to what matters.

    python -m benchmarks.symmetry [--sizes 256 512 1024 2048 4096] [--out benchmarks/results/symmetry.csv]

- ``rows``: each chunk of rows computes all its scores and both of its gradient products. This needs memory
  for one chunk, and is what the loss does where a batch is more than one chunk.
- ``merged``: scores as before, but kept for all rows; at the end the slopes of a pair from both sides go
  through one product instead of two. The loss does this where a batch is one chunk.
- ``mirrored``: besides, each score and each similarity of a symmetric block is computed once and copied,
  transposed, to where the other row finds it.

Counted in products of B × B × d, the three blocks need 12, 10 and 8. What is saved has to pay for memory that
grows with B × B and for transposed copies. Bare products in row chunks stand beside them.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.baselines import bare_products
from benchmarks.tables import write_table

_DIM = 384
_TEMPERATURE = 0.01
_FAR = 1e30
_CHUNK_ROWS = 512
_SECONDS_A_SIZE = 60.0


def gradients(
    anchors: Tensor, positives: Tensor, guide_anchors: Tensor, guide_positives: Tensor, *, way: str
) -> list[Tensor]:
    """Gradients of the summed guided loss by unit vectors, over blocks ap, aa and pp of distinct texts."""
    rows = len(anchors)
    kept = way != "rows"
    memory = [anchors.new_empty(rows if kept else min(_CHUNK_ROWS, rows), 3 * rows) for _ in range(2)]
    student, guide = (anchors, positives), (guide_anchors, guide_positives)
    thresholds = (guide_anchors * guide_positives).sum(1)
    result = [torch.zeros_like(anchors), torch.zeros_like(positives)]
    for start in range(0, rows, _CHUNK_ROWS):
        chunk = slice(start, min(start + _CHUNK_ROWS, rows))
        here = chunk if kept else slice(0, chunk.stop - start)
        scores, similarities = (matrix[here] for matrix in memory)
        for matrix, vectors in zip(memory, (student, guide), strict=True):
            _products(matrix, here, chunk, vectors, mirrored=way == "mirrored")
        similarities.gt_(thresholds[chunk].unsqueeze(1))
        own = scores[:, :rows].diagonal(start).clone()
        scores.div_(_TEMPERATURE).sub_(similarities, alpha=_FAR)
        for block in range(3):
            scores[:, block * rows : (block + 1) * rows].diagonal(start).fill_(-_FAR)
        scores[:, :rows].diagonal(start).copy_(own / _TEMPERATURE)
        torch.softmax(scores, dim=1, out=scores)
        scores[:, :rows].diagonal(start).sub_(1)
        result[0][chunk].addmm_(scores[:, :rows], positives)
        result[1].addmm_(scores[:, :rows].T, anchors[chunk])
        if not kept:
            for side, block in ((0, 1), (1, 2)):
                slopes = scores[:, block * rows : (block + 1) * rows]
                result[side][chunk].addmm_(slopes, student[side])
                result[side].addmm_(slopes.T, student[side][chunk])
    if kept:
        for side, block in ((0, 1), (1, 2)):
            _merge(result[side], memory[0][:, block * rows : (block + 1) * rows], student[side])
    return result


def _products(
    matrix: Tensor, here: slice, chunk: slice, vectors: tuple[Tensor, Tensor], *, mirrored: bool
) -> None:
    rows = len(vectors[0])
    torch.mm(vectors[0][chunk], vectors[1].T, out=matrix[here, :rows])
    for side, block in ((0, 1), (1, 2)):
        first = block * rows
        start = chunk.start if mirrored else 0
        out = matrix[here, first + start : first + rows]
        torch.mm(vectors[side][chunk], vectors[side][start:].T, out=out)
        if mirrored:
            later = matrix[chunk.stop :, first + chunk.start : first + chunk.stop]
            later.copy_(matrix[here, first + chunk.stop : first + rows].T)


def _merge(gradient: Tensor, slopes: Tensor, vectors: Tensor) -> None:
    rows = len(vectors)
    for start in range(0, rows, _CHUNK_ROWS):
        stop = min(start + _CHUNK_ROWS, rows)
        both = slopes[start:stop, start:] + slopes[start:, start:stop].T
        gradient[start:stop].addmm_(both, vectors[start:])
        gradient[stop:].addmm_(both[:, stop - start :].T, vectors[start:stop])


def main() -> None:
    """Time all ways at all sizes, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=[256, 512, 1024, 2048, 4096])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/symmetry.csv"))
    options = parser.parse_args()
    table: list[dict[str, object]] = []
    for rows in options.sizes:
        table += _time(rows)
    write_table(options.out, table)


def _time(rows: int) -> list[dict[str, object]]:
    generator = torch.Generator().manual_seed(rows)
    centres = torch.randn(rows, _DIM, generator=generator)
    vectors = [
        functional.normalize(centres + noise * torch.randn(rows, _DIM, generator=generator), dim=1)
        for noise in (0.9, 0.9, 0.5, 0.5)
    ]
    ways: dict[str, Callable[[], object]] = {
        way: partial(gradients, *vectors, way=way) for way in ("rows", "merged", "mirrored")
    }
    expected = gradients(*vectors, way="rows")
    for way in ways:
        torch.testing.assert_close(gradients(*vectors, way=way), expected, rtol=1e-3, atol=1e-4)
    ways["bare products"] = partial(bare_products, *vectors)
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    began = time.perf_counter()
    while time.perf_counter() - began < _SECONDS_A_SIZE or len(seconds["rows"]) < 7:
        for way, run in ways.items():
            run()
            started = time.perf_counter()
            run()
            seconds[way].append(time.perf_counter() - started)
    medians = {way: statistics.median(values) for way, values in seconds.items()}
    print(f"\n{rows} rows: medians of {len(seconds['rows'])}")
    for way, median in medians.items():
        print(f"  {way:<15} {median * 1e3:9.2f} ms {median / medians['rows']:6.2f} × rows")
    return [
        {
            "rows": rows,
            "way": way,
            "repeats": len(seconds[way]),
            "median_ms": f"{median * 1e3:.4g}",
            "times_rows": f"{median / medians['rows']:.3g}",
            "times_bare_products": f"{median / medians['bare products']:.3g}",
        }
        for way, median in medians.items()
    ]


if __name__ == "__main__":
    main()
