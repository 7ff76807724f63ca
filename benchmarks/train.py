"""Guided training from end to end, ours against sentence-transformers' own trainer and guided losses.

    python -m benchmarks.train [--out benchmarks/results/train.csv] [--pairs 1024] [--repeats 1] [--only TEXT]

Each variant trains the same student on the same pairs for three epochs in a process of its own, and is then
asked to find the positives of pairs that nobody trained on. Timed is all from the pairs to the trained
weights: ours reads the texts' tokens and encodes each text with the guide once into an empty store; theirs
asks the guide at each step. The peer's losses run with their defaults and with other settings. Loading
models, and Python itself, are not timed. A static student, whose table is random, has a static guide, so that
what is compared is all but the guide; it is small, so that what comes once, before the first step, shows with
few pairs (`--pairs`). Variants take turns; the table gives medians, and peak memory of
the process.

Not covered: several processes, accelerators.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from datasets import Dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer.losses import CachedGISTEmbedLoss, GISTEmbedLoss
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tests.real_text import documentation_pairs
from transformers.utils import logging as transformers_logging

from benchmarks.memory import peak
from benchmarks.step import _guide, _student
from benchmarks.tables import write_table
from gistembed import MaskPolicy
from gistembed.batches import BatchPlan, TokenCache
from gistembed.console import Console
from gistembed.guide import GuideSettings, do_work, prepare_work
from gistembed.models import EmbeddingModel, load_model
from gistembed.pairs import read_pairs
from gistembed.train import TrainingPlan, train_student

_EPOCHS = 3
_RATE = 2e-5
_TEMPERATURE = 0.01
_HELD_OUT = 300
_MAX_LENGTH = 128

Loss = Callable[[SentenceTransformer, SentenceTransformer], object]


@dataclass(frozen=True)
class Variant:
    """Who trains what, and how.

    Attributes:
        student: Name of the student.
        batch_size: Pairs that see each other.
        who: Ours, or which of the peer's losses, as the table calls it.
        loss: The peer's loss of student and guide; None for ours.
        graph_gb: What graphs may take in ours; all that is free by default.
    """

    student: str
    batch_size: int
    who: str
    loss: Loss | None = None
    graph_gb: float | None = None

    @property
    def name(self) -> str:
        """For the command line."""
        return f"{self.student}, batch {self.batch_size}: {self.who}"


def _cached(mini_batch: int) -> Loss:
    return lambda model, guide: CachedGISTEmbedLoss(
        model, guide, temperature=_TEMPERATURE, mini_batch_size=mini_batch
    )


def _plain(model: SentenceTransformer, guide: SentenceTransformer) -> object:
    if not isinstance(model[0], StaticEmbedding):
        return GISTEmbedLoss(model, guide, temperature=_TEMPERATURE)
    # The constructor refuses static models, but the loss works with them.
    accepted = _guide().model
    loss = GISTEmbedLoss(accepted, accepted, temperature=_TEMPERATURE)
    loss.model, loss.guide = model, guide
    return loss


_MINILM = "2-layer MiniLM"
_STATIC = "static 384"
VARIANTS = (
    Variant(_MINILM, 128, "ours"),
    Variant(_MINILM, 128, "ours, one graph kept", graph_gb=0),
    Variant(_MINILM, 128, "peer GISTEmbedLoss", _plain),
    Variant(_MINILM, 128, "peer CachedGISTEmbedLoss, mini-batches of 32 (default)", _cached(32)),
    Variant(_MINILM, 1024, "ours"),
    Variant(_MINILM, 1024, "ours, one graph kept", graph_gb=0),
    Variant(_MINILM, 1024, "peer CachedGISTEmbedLoss, mini-batches of 32 (default)", _cached(32)),
    Variant(_STATIC, 512, "ours"),
    Variant(_STATIC, 512, "peer GISTEmbedLoss", _plain),
)


def main() -> None:
    """Run all variants in turn, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/train.csv"))
    parser.add_argument("--pairs", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--only", default="", help="variants whose name holds this text")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        print(json.dumps(run(next(v for v in VARIANTS if v.name == options.one), options.pairs)))
        return
    chosen = [variant for variant in VARIANTS if options.only in variant.name]
    results: dict[str, list[dict[str, float]]] = {variant.name: [] for variant in chosen}
    for _ in range(options.repeats):
        for variant in chosen:
            results[variant.name].append(_in_a_process(variant, options.pairs))
            print(f"{variant.name}: {results[variant.name][-1]}", flush=True)
    rows: list[dict[str, object]] = []
    for variant in chosen:
        medians = {
            name: statistics.median(result[name] for result in results[variant.name])
            for name in results[variant.name][0]
        }
        ours = next(
            v
            for v in chosen
            if v.who == "ours" and (v.student, v.batch_size) == (variant.student, variant.batch_size)
        )
        base = statistics.median(result["seconds"] for result in results[ours.name])
        rows.append(
            {
                "student": variant.student,
                "batch": variant.batch_size,
                "variant": variant.who,
                "pairs": options.pairs,
                "epochs": _EPOCHS,
                "repeats": options.repeats,
                "seconds": f"{medians['seconds']:.1f}",
                "of_which_guide": "" if variant.loss else f"{medians['guide_seconds']:.1f}",
                "peak_mb": f"{medians['peak_mb']:.0f}",
                "first_place_before": f"{medians['before']:.3f}",
                "first_place_after": f"{medians['after']:.3f}",
                "times_ours": f"{medians['seconds'] / base:.2f}",
            }
        )
        write_table(options.out, rows)


def _train_pairs(rows: list[tuple[str, str]], count: int) -> list[tuple[str, str]]:
    """So many pairs; where there are fewer, they come again with a number before each text."""
    copies = range(-(-count // len(rows)))
    return [(f"{copy} {a}", f"{copy} {p}") if copy else (a, p) for copy in copies for a, p in rows][:count]


def _in_a_process(variant: Variant, pairs: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.train", "--one", variant.name, "--pairs", str(pairs)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def run(variant: Variant, count: int) -> dict[str, float]:
    """Train once."""
    transformers_logging.disable_progress_bar()
    rows = documentation_pairs()
    order = np.random.default_rng(0).permutation(len(rows))
    held_out = [rows[i] for i in order[:_HELD_OUT]]
    train = _train_pairs([rows[i] for i in order[_HELD_OUT:]], count)
    data = Dataset.from_dict({"anchor": [a for a, _ in train], "positive": [p for _, p in train]})
    student, guide = _student(variant.student), _guide()
    before = _first_place(student.model, held_out)
    with tempfile.TemporaryDirectory() as folder:
        if variant.student == _STATIC:
            student.model.save_pretrained(f"{folder}/guide", create_model_card=False)
            guide = load_model(f"{folder}/guide", option="guide")
        started = time.perf_counter()
        if variant.loss is None:
            guide_seconds = _ours(variant, student, guide, data, Path(folder))
        else:
            guide_seconds = float("nan")
            _theirs(variant, variant.loss, student, guide, data, Path(folder))
        seconds = time.perf_counter() - started
    return {
        "seconds": seconds,
        "guide_seconds": guide_seconds,
        "peak_mb": peak() / 1e6,
        "before": before,
        "after": _first_place(student.model, held_out),
    }


def _ours(
    variant: Variant, student: EmbeddingModel, guide: EmbeddingModel, data: Dataset, folder: Path
) -> float:
    pairs = read_pairs(data)
    started = time.perf_counter()
    settings = GuideSettings(guide.name, max_length=guide.max_length)
    vectors = do_work(prepare_work(settings, folder / "store", pairs), Console(quiet=True))
    guide_seconds = time.perf_counter() - started
    plan = BatchPlan(len(pairs), variant.batch_size, seed=0)
    train_student(
        student,
        pairs,
        [vectors],
        TrainingPlan(
            plan,
            _EPOCHS * plan.steps_per_epoch,
            _RATE,
            0.1,
            _TEMPERATURE,
            MaskPolicy(),
            graph_bytes=None if variant.graph_gb is None else int(variant.graph_gb * 1e9),
        ),
        tokens=TokenCache.read(student, pairs),
        checkpoints=folder / "checkpoints",
        logs=folder / "logs",
        resume=False,
    )
    return guide_seconds


def _theirs(
    variant: Variant, loss: Loss, student: EmbeddingModel, guide: EmbeddingModel, data: Dataset, folder: Path
) -> None:
    SentenceTransformerTrainer(
        model=student.model,
        args=SentenceTransformerTrainingArguments(
            output_dir=str(folder),
            per_device_train_batch_size=variant.batch_size,
            num_train_epochs=_EPOCHS,
            learning_rate=_RATE,
            warmup_steps=0.1,
            dataloader_drop_last=True,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=data,
        loss=loss(student.model, guide.model),
    ).train()


def _first_place(model: SentenceTransformer, pairs: list[tuple[str, str]]) -> float:
    """Share of the anchors whose positive is the nearest of all positives."""
    anchors, positives = zip(*pairs, strict=True)
    scores = model.encode(list(anchors), normalize_embeddings=True, show_progress_bar=False) @ np.transpose(
        model.encode(list(positives), normalize_embeddings=True, show_progress_bar=False)
    )
    return float((scores.argmax(1) == np.arange(len(pairs))).mean())


if __name__ == "__main__":
    main()
