"""Memory of one training step by batch size: a MiniLM student, and a limit to what graphs may take.

    python -m benchmarks.batch_memory [--out benchmarks/results/batch_memory.csv] [--batches 128 1024 16384]

Each batch size is a step of `train_student` in a process of its own, on paragraphs of Python's documentation
that are numbered so as to be distinct. The guide's vectors are random: what they say changes no size. Peak is
that of the whole process, the libraries, the student and its optimizer included.

Not covered: accelerators.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from transformers.utils import logging as transformers_logging

from benchmarks.memory import peak, resident
from benchmarks.numbered import numbered_pairs, random_guide
from benchmarks.step import _student
from benchmarks.tables import write_table
from gistembed import MaskPolicy
from gistembed.batches import BatchPlan, TokenCache
from gistembed.train import TrainingPlan, train_student

_STUDENT = "2-layer MiniLM"
_GRAPH_BYTES = int(2e9)


def main() -> None:
    """Run a step of each batch size, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/batch_memory.csv"))
    parser.add_argument("--batches", type=int, nargs="+", default=[128, 1024, 16_384])
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        print(json.dumps(step(options.one)))
        return
    rows: list[dict[str, object]] = []
    for batch_size in options.batches:
        command = [sys.executable, "-m", "benchmarks.batch_memory", "--one", str(batch_size)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(rows[-1], flush=True)
        write_table(options.out, rows)


def step(batch_size: int) -> dict[str, object]:
    """One training step."""
    transformers_logging.disable_progress_bar()
    pairs = numbered_pairs(batch_size)
    student = _student(_STUDENT)
    guide = random_guide(pairs)
    tokens = TokenCache.read(student, pairs)
    before = resident()
    with tempfile.TemporaryDirectory() as folder:
        outcome = train_student(
            student,
            pairs,
            [guide],
            TrainingPlan(
                BatchPlan(len(pairs), batch_size, seed=0),
                1,
                2e-5,
                0.0,
                0.01,
                MaskPolicy(),
                graph_bytes=_GRAPH_BYTES,
            ),
            tokens=tokens,
            checkpoints=Path(folder) / "checkpoints",
            logs=Path(folder) / "logs",
            resume=False,
        )
    return {
        "student": _STUDENT,
        "batch": batch_size,
        "graph_gb": _GRAPH_BYTES / 1e9,
        "micro_batches": outcome.micro_batches,
        "replayed": outcome.replayed,
        "mb_before": round(before / 1e6),
        "peak_mb": round(peak() / 1e6),
    }


if __name__ == "__main__":
    main()
