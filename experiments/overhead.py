"""Overhead: what a guide costs in time and memory, live or stored, whole or as an approximation.

A training of two epochs is measured from end to end, in a process of its own that has loaded nothing before.
The ways take turns, several times, and the table has medians; nothing else of the experiments runs meanwhile.

- ``none``: no guide.
- ``live``: the guide reads each batch, by the loss that stands in for sentence-transformers' own, in their
  trainer. Their trainer without a guide costs otherwise than ours, so `live` against `none` is not the guide
  alone.
- ``cold``: the guide reads each text once, into an empty store, and the training reads from there.
- ``warm``: the store is full already, as it is from the second training on; in 16 bits a number, in 8, and in
  16 with a quarter of the numbers.

`first` is the time before the first step that the guide takes, `step` what a step takes then, `whole` both
together; `bytes a text` is what the store holds of a text. Whether approximations change what is masked,
`benchmarks/results/guide_precision.csv` tells.

What can't be concluded: an accelerator shifts all of it, and two epochs are few: a live guide costs the same
in each, a stored one nothing after the first.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.memory import peak, reset_peak

from experiments.harness import Experiment, Lab, Row, Training
from experiments.harness.cuts import first_layers
from experiments.harness.identity import key_of, model_identity
from experiments.harness.training import encode_for, guide_vectors, prepared, quiet_libraries
from gistembed.console import Console
from gistembed.files import write_whole
from gistembed.guide import do_work
from gistembed.models import load_model
from gistembed.prepare.guides import PreparedVectors
from gistembed.train import train_student

_DATA = "pubmed-topics"
_EPOCHS, _REPEATS = 2, 3
_RATE, _TEMPERATURE = 1e-4, 0.05
_NONE, _LIVE, _COLD = "none", "live", "cold"
_WAYS: Mapping[str, Mapping[str, Any]] = {
    _NONE: {},
    _LIVE: {},
    _COLD: {"guide_dtype": "float16"},
    "warm, float16": {"guide_dtype": "float16"},
    "warm, int8": {"guide_dtype": "int8"},
    "warm, float16, a quarter of the numbers": {"guide_dtype": "float16", "guide_dimensions": 96},
}

_WHOLE = 4
"""So many of the ways, the first ones, keep vectors whole; slow students have only these."""


@dataclass(frozen=True)
class Student:
    """A student and how much of the data is worth its time.

    Attributes:
        name: What the table calls it.
        folder: Its folder.
        pairs: Pairs of an epoch.
        batch: Pairs of a batch.
        ways: How it is guided.
    """

    name: str
    folder: str
    pairs: int
    batch: int
    ways: tuple[str, ...]


@dataclass(frozen=True)
class Job:
    """One training to measure.

    Attributes:
        way: One of the ways.
        guide: The guide's folder.
        training: Data, student and settings.
        store: Vectors that are there already.
    """

    way: str
    guide: str
    training: Training
    store: Path


def run(lab: Lab) -> Sequence[Row]:
    """Measure every way with every student; what is measured already is read."""
    place = lab.work / "overhead"
    place.mkdir(parents=True, exist_ok=True)
    students = students_of(lab)
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    for repeat in range(_REPEATS):
        for student in students:
            for way in student.ways:
                job = _job(lab, student, way, place)
                kept = kept_at(job, repeat, place)
                if not kept.exists():
                    write_whole(kept, json.dumps(_apart(job)).encode())
                measured = json.loads(kept.read_text(encoding="utf-8"))
                found.setdefault((student.name, way), []).append(measured)
    return [
        {"student": student.name, "batch": student.batch, "guide": way}
        | costs(found[student.name, way], found[student.name, _NONE])
        for student in students
        for way in student.ways
    ]


def students_of(lab: Lab) -> tuple[Student, ...]:
    """The scale's student, by its kind, and a small transformer.

    Args:
        lab: Where they are.
    """
    kind = load_model(lab.student, option="student").kind
    two_layers = first_layers(lab.model("all-MiniLM-L6-v2"), 2, lab.work / "models" / "layers-2")
    return (
        Student(kind, lab.student, 1024, 128, tuple(_WAYS)),
        Student("transformer, 2 layers", two_layers, 256, 64, tuple(_WAYS)[:_WHOLE]),
    )


def kept_at(job: Job, repeat: int, place: Path) -> Path:
    """The file of what is measured, named by all that decides it.

    Args:
        job: The training.
        repeat: Which turn.
        place: Folder of such files.
    """
    # The settings of a training without our guide don't tell the one that is live.
    guide = model_identity(job.guide) if job.way == _LIVE else None
    return place / f"{key_of(way=job.way, training=job.training.key(repeat), guide=guide)}.json"


def costs(measured: Sequence[Mapping[str, float]], without: Sequence[Mapping[str, float]]) -> Row:
    """Medians as columns.

    Args:
        measured: What `measure` said of a way, time after time.
        without: The same without a guide.
    """

    def median(name: str, of: Sequence[Mapping[str, float]] = measured) -> float:
        return statistics.median(one[name] for one in of)

    wholes = [one["whole"] for one in measured]
    return {
        "first [s]": f"{median('first'):.1f}",
        "step [ms]": f"{1000 * median('step'):.0f}",
        "whole [s]": f"{median('whole'):.1f}",
        "whole [s]_low": f"{min(wholes):.1f}",
        "whole [s]_high": f"{max(wholes):.1f}",
        "times none": f"{median('whole') / median('whole', without):.2f}",
        "peak [MB]": f"{median('peak') / 1e6:.0f}",
        "bytes a text": f"{median('bytes'):.0f}" if median("bytes") else "",
    }


def measure(job: Job) -> dict[str, float]:
    """Train, and tell seconds, and bytes held at most by this process."""
    quiet_libraries()
    reset_peak()
    with tempfile.TemporaryDirectory(prefix="experiment-") as folder:
        trained = _live if job.way == _LIVE else _stored
        first, step, kept = trained(job, Path(folder))
        steps = job.training.settings["steps"]
    return {"first": first, "step": step / steps, "whole": first + step, "peak": peak(), "bytes": kept}


def _stored(job: Job, folder: Path) -> tuple[float, float, float]:
    """Seconds before the first step and of all steps, and bytes of a text, with our trainer."""
    run = prepared(job.training, 1, folder / "out", folder / "store" if job.way == _COLD else job.store)
    started = time.perf_counter()
    for guide in run.guides:
        assert not isinstance(guide, PreparedVectors)
        if guide.missing:
            do_work(guide, Console(quiet=True))
    guides = guide_vectors(run)
    first = time.perf_counter()
    train_student(
        run.student,
        run.train,
        guides,
        run.plan,
        tokens=run.tokens,
        checkpoints=folder / "checkpoints",
        logs=folder / "logs",
        resume=False,
    )
    width = {"float16": 2, "int8": 1}[job.training.settings.get("guide_dtype", "float16")]
    kept = width * guides[0].dimensions if guides else 0
    return first - started, time.perf_counter() - first, kept


def _live(job: Job, folder: Path) -> tuple[float, float, float]:
    """The same with the trainer of sentence-transformers, and a guide that reads each batch."""
    from datasets import Dataset, disable_progress_bars
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from transformers.trainer_callback import PrinterCallback

    from gistembed import GISTEmbedLoss, GuideCollator

    disable_progress_bars()
    settings = job.training.settings
    student = load_model(settings["student"], option="student").model
    lines = Path(settings["data"]).read_text(encoding="utf-8").splitlines()
    data = Dataset.from_list([json.loads(line) for line in lines])
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=settings["batch_size"],
        max_steps=settings["steps"],
        learning_rate=settings["learning_rate"],
        dataloader_drop_last=True,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    started = time.perf_counter()
    guide = load_model(job.guide, option="guide").model
    first = time.perf_counter()
    trainer = SentenceTransformerTrainer(
        model=student,
        args=arguments,
        train_dataset=data,
        loss=GISTEmbedLoss(student, guide, temperature=settings["temperature"]),
        data_collator=GuideCollator(student, guide),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return first - started, time.perf_counter() - first, 0.0


def _job(lab: Lab, student: Student, way: str, place: Path) -> Job:
    data = lab.data(_DATA)
    some = place / f"{student.pairs}.jsonl"
    with data.train.open(encoding="utf-8") as lines:
        write_whole(some, "".join(islice(lines, student.pairs)).encode())
    settings = {
        "data": str(some),
        "student": student.folder,
        "batch_size": student.batch,
        "steps": _EPOCHS * student.pairs // student.batch,
        "learning_rate": _RATE,
        "temperature": _TEMPERATURE,
    }
    settings |= {"loss": "infonce"} if way in (_NONE, _LIVE) else {"guide": lab.guide, **_WAYS[way]}
    training = Training(settings, data.dev, {"test": data.test})
    return Job(way, lab.guide, training, place / "store")


def _apart(job: Job) -> dict[str, float]:
    """Measure in a process of its own, with the store that it asks for filled before."""
    if job.way.startswith("warm"):
        encode_for(job.training, job.store, Console(quiet=True))
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(measure, job).result()


EXPERIMENT = Experiment("overhead", "what does a guide cost in time and memory?", run)
