"""One training of an experiment, without the report: its settings, and what became of the student."""

import json
import logging
import tempfile
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from experiments.harness.identity import file_digest, key_of, model_identity
from experiments.harness.scores import DevScores, TestScores
from gistembed.config import run_config
from gistembed.console import Console
from gistembed.errors import StorageError, UserError
from gistembed.evaluate import METRICS, RetrievalTask, rank, score
from gistembed.files import write_whole
from gistembed.guide import GuideVectors, do_work, stored_vectors
from gistembed.models import EmbeddingModel, load_model
from gistembed.pairs import read_pairs
from gistembed.prepare.guides import PreparedVectors
from gistembed.prepare.run import PreparedRun, prepare_run
from gistembed.train import train_student

METRIC = METRICS[0]


@dataclass(frozen=True)
class DataFolder:
    """A data set in three parts that share no text, as `experiments.data` lays it out.

    Attributes:
        folder: Where it is.
    """

    folder: Path

    @property
    def train(self) -> Path:
        """Pairs to train on."""
        return self.folder / "train.jsonl"

    @property
    def dev(self) -> Path:
        """Queries with all their answers, to choose by."""
        return self.folder / "dev.jsonl"

    @property
    def test(self) -> Path:
        """Queries with all their answers, to report."""
        return self.folder / "test.jsonl"

    @property
    def labels(self) -> Path:
        """What each training text is about, where that is known: an object of lists of labels by text."""
        return self.folder / "labels.json"


@dataclass(frozen=True)
class Training:
    """What to train and what to score it on; a seed is all that it lacks.

    Attributes:
        settings: Settings of `gistembed fit`, but for ``eval``, ``out``, ``seed`` and ``store``.
        dev: Pairs whose scores may choose.
        tests: Pairs whose scores are reported, by name.
    """

    settings: Mapping[str, Any]
    dev: Path
    tests: Mapping[str, Path]

    def key(self, seed: int) -> str:
        """A digest of all that decides how this training ends, the content of files and models included."""
        data = self.settings["data"]
        return key_of(
            settings=self.settings,
            data=[file_digest(Path(one)) for one in (data if isinstance(data, list) else [data])],
            dev=file_digest(self.dev),
            tests={name: file_digest(path) for name, path in self.tests.items()},
            models={
                role: [model_identity(name) for name in ([names] if isinstance(names, str) else names)]
                for role in ("student", "guide")
                if (names := self.settings.get(role)) is not None
            },
            seed=seed,
        )

    def words(self, seed: int) -> str:
        """What tells this training from others, in one line."""
        return ", ".join(f"{name}={value}" for name, value in {**self.settings, "seed": seed}.items())


class TrainingStopped(UserError):
    """A training that can't be finished as it is set, such as one that a guard stops."""


@dataclass(frozen=True, eq=False)
class Trained:
    """What a student became.

    Attributes:
        dev: Its dev scores.
        tests: Its test scores, by the name of the test.
        metrics: Mean over all steps of what the loss says of itself, such as ``mask_rate/ap``.
        seconds: How long the training took, without the guide and the scores.
    """

    dev: DevScores
    tests: Mapping[str, TestScores]
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def masked(self) -> float | None:
        """Share of the possible negatives that the guide took out, mean over blocks; None without a guide."""
        rates = [value for name, value in self.metrics.items() if name.startswith("mask_rate/")]
        return float(np.mean(rates)) if rates else None


def kept_at(training: Training, seed: int, work: Path) -> Path:
    """The file of what becomes of a training; it is there once that is known."""
    return work / f"{training.key(seed)}.json"


def kept(training: Training, seed: int, work: Path) -> Trained | None:
    """What an earlier call left of this very training; None if it was not run yet."""
    file = kept_at(training, seed, work)
    if not file.exists():
        return None
    found = json.loads(file.read_text(encoding="utf-8"))
    return Trained(
        dev=DevScores(np.array(found["dev"])),
        tests={
            name: TestScores(np.array(scores), answer_groups(training.tests[name]))
            for name, scores in found["tests"].items()
        },
        metrics=found["metrics"],
        seconds=found["seconds"],
    )


def failed_at(training: Training, seed: int, work: Path) -> Path:
    """The file of why a training could not be finished; only `try_out` writes it."""
    return work / f"{training.key(seed)}.failed.json"


def try_out(training: Training, seed: int, work: Path, store: Path) -> None:
    """As `train`; why a training was stopped is kept as well, in the place of its scores."""
    try:
        train(training, seed, work, store)
    except TrainingStopped as error:
        write_whole(failed_at(training, seed, work), json.dumps({"error": str(error)}).encode())


def train(training: Training, seed: int, work: Path, store: Path) -> None:
    """Train, score, and leave the scores in a file that `kept` reads; whole or not at all.

    Raises:
        TrainingStopped: If the training can't be finished; it says which training that is.
    """
    with tempfile.TemporaryDirectory(prefix="experiment-") as folder:
        run = prepared(training, seed, Path(folder), store)
        guides = guide_vectors(run)
        started = time.perf_counter()
        try:
            outcome = train_student(
                run.student,
                run.train,
                guides,
                run.plan,
                tokens=run.tokens,
                checkpoints=Path(folder) / "checkpoints",
                logs=Path(folder) / "logs",
                resume=False,
            )
        except StorageError:
            raise
        except UserError as error:
            raise TrainingStopped(f"{training.words(seed)}: {error}") from error
        seconds = time.perf_counter() - started
    if not outcome.finished:
        # The trainer hears the signal itself, and ends in good order.
        raise KeyboardInterrupt
    result = scores_of(run.student, training) | {
        "seconds": seconds,
        "metrics": {
            name: float(np.mean([step.metrics[name] for step in outcome.history if name in step.metrics]))
            for name in {name for step in outcome.history for name in step.metrics}
        },
        "settings": dict(training.settings) | {"seed": seed},
    }
    write_whole(kept_at(training, seed, work), json.dumps(result, default=str).encode())


def score_untrained(training: Training, work: Path) -> Trained:
    """What the student scores before any training."""
    before = Training({"student": training.settings["student"], "data": []}, training.dev, training.tests)
    if (found := kept(before, 0, work)) is None:
        result = scores_of(load_model(training.settings["student"], option="student"), training)
        result |= {"seconds": 0.0, "metrics": {}}
        write_whole(kept_at(before, 0, work), json.dumps(result).encode())
        found = kept(before, 0, work)
    assert found is not None
    return found


def scores_of(model: EmbeddingModel, training: Training) -> dict[str, Any]:
    """Scores of each query of dev and of each test."""

    def scores(path: Path) -> list[float]:
        task = _task(path)
        return [float(one) for one in score(task, rank(model, task))[METRIC]]

    return {
        "dev": scores(training.dev),
        "tests": {name: scores(path) for name, path in training.tests.items()},
    }


@cache
def answer_groups(path: Path) -> Int64[np.ndarray, " queries"]:
    """The group of each query of evaluation pairs: those that share an answer, or an answer's other query.

    Args:
        path: The pairs.
    """
    task = _task(path)
    places, answers = task.relations.of_each(task.queries)
    texts = len(task.pairs.texts)
    links = coo_array((np.ones(len(answers)), (task.queries[places], answers)), shape=(texts, texts))
    _, component = connected_components(links, directed=False)
    _, groups = np.unique(component[task.queries], return_inverse=True)
    return groups.astype(np.int64)


def encode_for(training: Training, store: Path, console: Console) -> None:
    """Have the guides' vectors in the store before several trainings want them at once."""
    with tempfile.TemporaryDirectory(prefix="experiment-") as folder:
        for guide in prepared(training, 0, Path(folder), store).guides:
            if not isinstance(guide, PreparedVectors) and guide.missing:
                do_work(guide, console)


def in_one_thread() -> None:
    """Begin a process that others run beside: it takes one core."""
    quiet_libraries()
    torch.set_num_threads(1)


def quiet_libraries() -> None:
    """No words of libraries between the lines of the experiments."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.getLogger("sentence_transformers").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")


def prepared(training: Training, seed: int, out: Path, store: Path) -> PreparedRun:
    """The run that a training is; none of its pairs are held out, and nothing is written."""
    # Given pairs to evaluate with take none of those to train with.
    settings = {**training.settings, "eval": training.dev, "seed": seed, "out": out, "store": store}
    return prepare_run(run_config(settings, source="experiment"), Console(quiet=True))


def guide_vectors(run: PreparedRun) -> list[GuideVectors]:
    """The vectors of each guide of a run; those of models are in the store already."""
    return [
        guide.vectors if isinstance(guide, PreparedVectors) else stored_vectors(guide) for guide in run.guides
    ]


@cache
def _task(path: Path) -> RetrievalTask:
    return RetrievalTask.from_pairs(read_pairs(path), path.name)
