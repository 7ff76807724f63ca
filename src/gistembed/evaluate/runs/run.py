"""Scores every model on every task, and keeps what is scored already."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import monotonic

import numpy as np

from gistembed.console import Console
from gistembed.evaluate.runs.encoder import embed_for
from gistembed.evaluate.runs.results import Result, ResultFolder
from gistembed.evaluate.runs.settings import ModelToScore
from gistembed.evaluate.scorers import score_task
from gistembed.evaluate.tasks import MAIN_METRICS, Task, Use
from gistembed.evaluate.tasks.kinds import MTEB_TYPES
from gistembed.models import EmbeddingModel


@dataclass(frozen=True)
class Evaluated:
    """One model on one task.

    Attributes:
        model: Folder or hub name, as the user gave it.
        task: Name of the task.
        kind: What kind of task it is.
        metric: Name of the main metric.
        size: How much there was to score, in words.
        result: The result.
        was_kept: Whether it was there already.
    """

    model: str
    task: str
    kind: str
    metric: str
    size: str
    result: Result
    was_kept: bool


def run_evaluation(
    models: Sequence[ModelToScore], tasks: Sequence[Task], folder: ResultFolder, console: Console
) -> Iterator[Evaluated]:
    """Score models on tasks, model by model; a model is loaded only if there is something to score.

    Args:
        models: The models.
        tasks: The tasks.
        folder: Where results are kept.
        console: Where progress is shown.

    Yields:
        One result after another.

    Raises:
        UserError: If a model can't be loaded, or memory runs out; what is scored before is kept.
    """
    for found in models:
        model: EmbeddingModel | None = None
        for task in tasks:
            result = folder.kept(found, task)
            was_kept = result is not None
            if result is None:
                model = model or found.load()
                result = _score(found, model, task, folder, console)
            metric = MAIN_METRICS[task.kind]
            yield Evaluated(found.given, task.name, task.kind, metric, task.size, result, was_kept)


def _score(
    found: ModelToScore, model: EmbeddingModel, task: Task, folder: ResultFolder, console: Console
) -> Result:
    start = monotonic()
    distinct = len(np.unique(task.text_ids()))
    with console.stage(task.name, distinct, passing=True) as progress:

        def embed(texts: Sequence[str], use: Use) -> np.ndarray:
            types = [MTEB_TYPES[task.kind]]
            return embed_for(model, found.settings.prompts, types, texts, use, progress)

        scored = score_task(task, embed)
    return folder.write(found, model, task, scored, monotonic() - start)
