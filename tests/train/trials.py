"""Training runs that are cut short in every way, and what of them must be equal; for tests and benchmarks."""

import gc
import hashlib
import json
import mmap
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tests.pairs.pairs_samples import pairs_of

from gistembed import MaskPolicy
from gistembed.batches import BatchPlan, TokenCache
from gistembed.files import storage_error
from gistembed.models import EmbeddingModel, load_model
from gistembed.train import KeepBest, TrainingOutcome, TrainingPlan, train_student
from gistembed.train.checkpoints import checkpoint_path
from gistembed.train.snapshot import load_state

PAIRS = pairs_of(
    [(f"question {i % 37} of {i}", f"answer {i * i}", [f"no {i % 5}"] * (i % 3 == 0)) for i in range(44)]
)
BATCH_SIZE = 4

Note = Callable[[int], None]
"""Takes the number of steps done."""

# Each trainer has all garbage collected when it begins, which takes longer than these runs.
gc.freeze()


@dataclass(frozen=True)
class Setting:
    """One way to train.

    Attributes:
        steps: Optimizer steps.
        accumulation: Batches of a step.
        logging: Steps between two logged points.
        workers: Processes of the data loader.
        save_every: Steps between two checkpoints.
        replayed: Whether micro-batches are small, and all but one of them are computed twice.
        trainer: Further arguments of the trainer.
    """

    steps: int = 41
    accumulation: int = 1
    logging: int = 3
    workers: int = 0
    save_every: int = 1000
    replayed: bool = False
    trainer: dict[str, Any] = field(default_factory=dict)

    def plan(self) -> TrainingPlan:
        """The same as the trainer's plan."""
        trainer = {
            "gradient_accumulation_steps": self.accumulation,
            "logging_steps": self.logging,
            "dataloader_num_workers": self.workers,
        }
        batches = BatchPlan(len(PAIRS), BATCH_SIZE, seed=5)
        return TrainingPlan(
            batches,
            self.steps,
            1e-3,
            0.1,
            0.05,
            MaskPolicy(),
            trainer | self.trainer,
            save_every=self.save_every,
            micro_batch_tokens=16 if self.replayed else None,
            graph_bytes=0 if self.replayed else None,
        )


WAYS = {"kept": Setting(), "replayed": Setting(replayed=True)}
"""What the backward pass works on: all graphs kept, or computed again."""


def train(
    model: Path,
    folder: Path,
    setting: Setting,
    *,
    resume: bool = False,
    best: Callable[[EmbeddingModel], KeepBest] | None = None,
    **callbacks: Any,  # noqa: ANN401
) -> tuple[EmbeddingModel, TrainingOutcome]:
    """Train a fresh student.

    Args:
        model: Folder of the student before training.
        folder: Where its checkpoints go.
        setting: How to train.
        resume: Whether to go on from a checkpoint.
        best: Makes what watches for the best model, given the student.
        callbacks: Those of `train_student`.
    """
    student = load_model(str(model), option="--student")
    outcome = train_student(
        student,
        PAIRS,
        [],
        setting.plan(),
        tokens=TokenCache.read(student, PAIRS),
        checkpoints=folder,
        logs=folder / "logs",
        resume=resume,
        best=best(student) if best else None,
        **callbacks,
    )
    return student, outcome


def stop_at(step: int, number: int = signal.SIGINT) -> Note:
    """A callback that asks this process to stop at a step."""
    return lambda done: os.kill(os.getpid(), number) if done == step else None


def fingerprints(student: EmbeddingModel, outcome: TrainingOutcome, checkpoint: Path) -> dict[str, str]:
    """SHA-256 of all that a run is: the weights and the log at its end, the rest in its last checkpoint."""
    state = load_state(checkpoint)
    log = json.loads((checkpoint / "trainer_state.json").read_text())["log_history"]
    parts = {
        "weights": list(student.model.state_dict().items()),
        "history": [point.model_dump() for point in outcome.history] + log,
        **{name: state[name] for name in ("optimizer", "scheduler", "metrics", "loss")},
        **{f"random numbers, {name}": one for name, one in state["random"][0].items()},
    }
    if "beartype" in sys.modules:
        # It checks the types of the tests, and draws from Python's generator for it.
        del parts["random numbers, python"]
    return {name: hashlib.sha256(_bytes(part)).hexdigest() for name, part in parts.items()}


def _bytes(value: object) -> bytes:
    """Every bit of a tree of tensors and plain values."""
    match value:
        case torch.Tensor():
            kind = f"{value.dtype} {tuple(value.shape)} ".encode()
            return kind + value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        case dict():
            return b"{" + b"".join(_bytes(key) + _bytes(one) for key, one in value.items()) + b"}"
        case list() | tuple():
            return b"[" + b"".join(map(_bytes, value)) + b"]"
    return repr(value).encode() + b","


def cut_and_resumed(model: Path, folder: Path, setting: Setting, step: int) -> dict[str, str]:
    """The fingerprints of a run that was stopped after a step, and went on in another trainer."""
    _, cut = train(model, folder, setting, on_step=stop_at(step))
    assert (cut.finished, cut.steps) == (False, step)
    # What another process has drawn meanwhile must not matter.
    torch.manual_seed(step)
    return whole(model, folder, setting, resume=True)


def whole(model: Path, folder: Path, setting: Setting, *, resume: bool = False) -> dict[str, str]:
    """The fingerprints of a run to its end; the last checkpoint is that of the step before."""
    last = checkpoint_path(folder, setting.steps - 1)
    student, outcome = train(
        model, folder, Setting(**vars(setting) | {"save_every": setting.steps - 1}), resume=resume
    )
    assert outcome.finished
    return fingerprints(student, outcome, last)


class Child:
    """A copy of this process that does one thing; what it has come to can be read while it goes on."""

    def __init__(self, action: Callable[[Note], int]) -> None:
        """Start.

        Args:
            action: Called with a function that notes a step; what it returns is the exit code.
        """
        self._noted = mmap.mmap(-1, 8)
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os._exit(self._run(action))

    def _run(self, action: Callable[[Note], int]) -> int:
        try:
            return action(self._note)
        except SystemExit as ended:
            return int(ended.code or 0)
        except KeyboardInterrupt:
            return 130
        except OSError as error:
            return storage_error(error).exit_code
        except BaseException:
            traceback.print_exc()
            return 99

    def _note(self, step: int) -> None:
        self._noted[:8] = step.to_bytes(8, "little")

    @property
    def step(self) -> int:
        """The last step that was noted."""
        return int.from_bytes(self._noted[:8], "little")

    def wait(self) -> int:
        """Its exit code; minus the signal that ended it."""
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def signalled(self, number: int, after: float) -> int:
        """Its exit code, having been sent a signal after so many seconds, if it still went on then."""
        deadline = time.monotonic() + after
        while time.monotonic() < deadline:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.001)
        os.kill(self.pid, number)
        return self.wait()
