"""One of the processes that train together, as a launcher starts it: `together.py SPECIFICATION RESULT`."""

import json
import os
import signal
import sys
from pathlib import Path

import torch
from tests.pairs.pairs_samples import pairs_of
from tests.train.sharding import shard_on_cpus

from gistembed import MaskPolicy
from gistembed.batches import BatchPlan, TokenCache
from gistembed.config import LoraSettings
from gistembed.models import load_model
from gistembed.ranks import first_says, rank
from gistembed.train import TrainingPlan, train_student
from gistembed.train.adapt import Adaptation
from gistembed.train.best import KeepBest

TEXTS = ("so", "so long", "how", "why is that so", "where", "when will it be")
PAIRS = pairs_of(
    [
        (
            f"{TEXTS[i % 6]} {i}",
            f"{TEXTS[(i * 5 + 1) % 6]} {'and so on ' * (i % 3)}{i % 20}",
            [f"no {i}"] * (i % 2),
        )
        for i in range(30)
    ]
)


def trained(
    student_folder: str,
    folder: Path,
    *,
    batch_size: int,
    accumulation: int = 1,
    steps: int = 4,
    lora: int | None = None,
    freeze: int | None = None,
    stop_at: int | None = None,
    resume: bool = False,
    keep_best: bool = False,
    padding_free: bool | None = None,
    steps_seen: list[int] | None = None,
    **trainer,
):
    """A student trained on the pairs, and what came of it; the first process may be told to stop.

    What is called the best is arbitrary: a number that depends on all of the student's weights.
    """

    def on_step(step):
        if steps_seen is not None:
            steps_seen.append(step)
        if step == stop_at and rank() == 0:
            os.kill(os.getpid(), signal.SIGINT)

    student = load_model(student_folder, option="--student", device="cpu")
    best = KeepBest("score", lambda _: first_says(lambda: _score(student)), every=1) if keep_best else None
    outcome = train_student(
        student,
        PAIRS,
        [],
        TrainingPlan(
            BatchPlan(len(PAIRS), batch_size, seed=0),
            steps,
            0.02,
            0.0,
            0.05,
            MaskPolicy(),
            {
                "gradient_accumulation_steps": accumulation,
                "use_cpu": True,
                "optim": "sgd",
                "logging_steps": 1,
                **trainer,
            },
            micro_batch_tokens=200,
            padding_free=padding_free,
            adaptation=Adaptation(lora=LoraSettings(rank=lora) if lora else None, freeze=freeze),
        ),
        tokens=TokenCache.read(student, PAIRS),
        checkpoints=folder / "checkpoints",
        logs=folder / "logs",
        resume=resume,
        best=best,
        on_step=on_step,
    )
    return student, outcome


def _score(student):
    """Highest in the middle of a short training by a high rate, so that the last step is not the best."""
    vectors = student.embed(["so long", "why"], "anchor")
    return float(vectors[0] @ vectors[1])


def cut_and_resumed(student_folder: str, folder: Path, stop_at: int, **specification):
    """The weights of a student whose training was stopped and gone on with."""
    _, outcome = trained(student_folder, folder, stop_at=stop_at, **specification)
    assert (outcome.steps, outcome.finished) == (stop_at, False)
    steps_seen = []
    student, outcome = trained(student_folder, folder, resume=True, steps_seen=steps_seen, **specification)
    assert outcome.finished
    assert steps_seen[0] == stop_at + 1, "it went on, and didn't begin again"
    return student.model.state_dict()


def main() -> None:
    """Train; the first process saves the weights and the history."""
    specification = json.loads(sys.argv[1])
    if "fsdp" in specification:
        shard_on_cpus()
    result = Path(sys.argv[2])
    folder, cut_at = specification.pop("student"), specification.pop("cut_at", None)
    student, outcome = trained(folder, result.parent, **specification)
    resumed = cut_and_resumed(folder, result.parent / "cut", cut_at, **specification) if cut_at else None
    torch.save(
        {
            "weights": student.model.state_dict(),
            "resumed": resumed,
            "losses": [point.loss for point in outcome.history],
            "metrics": [point.metrics for point in outcome.history],
            "steps": outcome.steps,
            "padding_free": outcome.padding_free,
        },
        f"{result}.{rank()}",
    )


if __name__ == "__main__":
    main()
