"""One of the processes that train together, as a launcher starts it: `together.py SPECIFICATION RESULT`."""

import json
import sys
from pathlib import Path

import torch
from tests.pairs.pairs_samples import pairs_of

from gistembed import MaskPolicy
from gistembed.batches import BatchPlan, TokenCache
from gistembed.models import load_model
from gistembed.ranks import rank
from gistembed.train import TrainingPlan, train_student

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
    student_folder: str, folder: Path, *, batch_size: int, accumulation: int = 1, steps: int = 4, **trainer
):
    """A student trained on the pairs, and what came of it."""
    student = load_model(student_folder, option="--student", device="cpu")
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
        ),
        tokens=TokenCache.read(student, PAIRS),
        checkpoints=folder / "checkpoints",
        logs=folder / "logs",
        resume=False,
    )
    return student, outcome


def main() -> None:
    """Train; the first process saves the weights and the history."""
    specification = json.loads(sys.argv[1])
    result = Path(sys.argv[2])
    student, outcome = trained(specification.pop("student"), result.parent, **specification)
    torch.save(
        {
            "weights": student.model.state_dict(),
            "losses": [point.loss for point in outcome.history],
            "metrics": [point.metrics for point in outcome.history],
            "steps": outcome.steps,
        },
        f"{result}.{rank()}",
    )


if __name__ == "__main__":
    main()
