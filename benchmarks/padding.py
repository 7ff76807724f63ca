"""Training with and without padding: the same student and batches, step by step in turn.

    python -m benchmarks.padding [--out benchmarks/results/padding_cpu.csv] [--batches 128 512] [--rounds 3]
        [--steps 2] [--layers 2 6] [--bf16]

The student is MiniLM or its first layers, on an accelerator if there is one; the texts are paragraphs of
Python's documentation, up to 128 tokens, numbered so as to be distinct. Timed are whole trainings of some
steps, their first step included and the trial before it left out, after one of each kind that is not timed;
both kinds take turns, and the table gives the medians. The guide's vectors are random: what they say changes
no time.

Not covered: several processes.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

from transformers.utils import logging as transformers_logging

from benchmarks.numbered import numbered_pairs, random_guide
from benchmarks.step import _GUIDE_FOLDER, _MAX_LENGTH
from benchmarks.tables import write_table
from gistembed import MaskPolicy
from gistembed.batches import BatchPlan, TokenCache
from gistembed.models import EmbeddingModel, load_model
from gistembed.pairs import Pairs
from gistembed.train import TrainingOutcome, TrainingPlan, train_student


def main() -> None:
    """Train both ways in turn, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="by default named after the device")
    parser.add_argument("--batches", type=int, nargs="+", default=[128, 512])
    parser.add_argument("--layers", type=int, nargs="+", default=[2, 6])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--bf16", action="store_true")
    options = parser.parse_args()
    transformers_logging.disable_progress_bar()
    rows: list[dict[str, object]] = []
    for layers in options.layers:
        for batch_size in options.batches:
            rows.append(_compared(layers, batch_size, options.rounds, options.steps, bf16=options.bf16))
            print(rows[-1], flush=True)
            write_table(options.out or Path(f"benchmarks/results/padding_{rows[0]['device']}.csv"), rows)


def _compared(layers: int, batch_size: int, rounds: int, steps: int, *, bf16: bool) -> dict[str, object]:
    pairs = numbered_pairs(batch_size * steps)
    outcomes: dict[bool, list[TrainingOutcome]] = {False: [], True: []}
    for _ in range(rounds + 1):
        for padding_free, its in outcomes.items():
            its.append(_trained(_student(layers), pairs, batch_size, steps, padding_free, bf16=bf16))
    seconds = {
        padding_free: statistics.median(batch_size / outcome.pairs_per_second for outcome in its[1:])
        for padding_free, its in outcomes.items()
    }
    return {
        "device": _student(layers).model.device.type,
        "student": f"MiniLM, {layers} layers",
        "computes_in": "bf16" if bf16 else "float32",
        "batch": batch_size,
        "micro_batches_padded": outcomes[False][-1].micro_batches,
        "micro_batches_packed": outcomes[True][-1].micro_batches,
        "seconds_padded": f"{seconds[False]:.3f}",
        "seconds_packed": f"{seconds[True]:.3f}",
        "padded_takes": f"{seconds[False] / seconds[True]:.2f}",
    }


def _student(layers: int) -> EmbeddingModel:
    student = load_model(str(_GUIDE_FOLDER), option="student", max_length=_MAX_LENGTH)
    encoder = student.model[0].auto_model.encoder
    encoder.layer = encoder.layer[:layers]
    return student


def _trained(
    student: EmbeddingModel, pairs: Pairs, batch_size: int, steps: int, padding_free: bool, *, bf16: bool
) -> TrainingOutcome:
    with tempfile.TemporaryDirectory() as folder:
        return train_student(
            student,
            pairs,
            [random_guide(pairs)],
            TrainingPlan(
                BatchPlan(len(pairs), batch_size, seed=0),
                steps,
                2e-5,
                0.0,
                0.01,
                MaskPolicy(),
                {"bf16": bf16},
                padding_free=padding_free,
            ),
            tokens=TokenCache.read(student, pairs),
            checkpoints=Path(folder) / "checkpoints",
            logs=Path(folder) / "logs",
            resume=False,
        )


if __name__ == "__main__":
    main()
