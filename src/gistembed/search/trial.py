"""One trial: a fresh student trained with some settings, and its score on the dev pairs."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64

from gistembed.config import RunConfig
from gistembed.errors import StorageError, Terminated, UserError
from gistembed.evaluate import METRICS, rank, score
from gistembed.models import EmbeddingModel
from gistembed.prepare.student import load_student
from gistembed.search.bench import Bench
from gistembed.search.folder import SearchFolder
from gistembed.search.propose import is_hopeless
from gistembed.search.record import TrialRecord
from gistembed.train import train_student

METRIC = METRICS[0]
# Of the shortest trainings, the score after a quarter says nothing.
_FEWEST_STEPS_TO_PRUNE = 8
# Scores of queries are kept with so many decimals.
_DECIMALS = 6


def run_trial(
    bench: Bench,
    config: Callable[[], RunConfig],
    settings: Mapping[str, Any],
    before: Sequence[TrialRecord],
    folder: SearchFolder,
) -> TrialRecord:
    """Train and score; a trial that can't be trained is a failed one, and no error.

    Args:
        bench: What all trials share.
        config: Gives the configuration, or refuses the settings.
        settings: What the trial is trained with, by axis.
        before: The trials before it.
        folder: Where it keeps what it needs while it is trained.

    Raises:
        StorageError: If the disk refuses.
        KeyboardInterrupt: If the user interrupts; the trial is not counted then.
    """
    started = time.perf_counter()
    curve: list[float] = []
    ended: dict[str, Any]
    try:
        scores = _scores(bench, config(), len(before), curve, before, folder)
        ended = {"status": "finished", "score": round(float(scores.mean()), _DECIMALS)}
        ended["scores"] = scores.round(_DECIMALS).tolist()
    except _Hopeless:
        ended = {"status": "pruned"}
    except StorageError:
        raise
    except UserError as error:
        ended = {"status": "failed", "error": str(error)}
    finally:
        folder.clear_trial()
    seconds = round(time.perf_counter() - started, 3)
    return TrialRecord(number=len(before), settings=dict(settings), curve=curve, seconds=seconds, **ended)


class _Hopeless(Exception):
    """The trial in hand is clearly worse than others."""


def _scores(
    bench: Bench,
    config: RunConfig,
    number: int,
    curve: list[float],
    before: Sequence[TrialRecord],
    folder: SearchFolder,
) -> Float64[np.ndarray, " queries"]:
    """The score of each dev query after training; what is scored on the way is added to the curve."""
    student = load_student(config)
    _, plan = bench.plan(config, student)
    points = _points(plan.steps)
    guides = bench.vectors(config)
    tokens = bench.tokens(config, student)
    with bench.console.stage(f"trial {number}", plan.steps, passing=True) as progress:
        done = 0

        def on_step(step: int) -> None:
            nonlocal done
            progress(step - done)
            done = step
            if step in points:
                curve.append(round(float(_dev_scores(student, bench).mean()), _DECIMALS))
                if is_hopeless(curve, before):
                    raise _Hopeless

        outcome = train_student(
            student,
            bench.train,
            guides,
            plan,
            tokens=tokens,
            checkpoints=folder.trial,
            logs=folder.logs(number),
            resume=False,
            on_step=on_step,
            on_interrupt=lambda: bench.console.say("stopping; the trial in hand is not kept"),
        )
    if outcome.interrupted:
        raise Terminated if outcome.terminated else KeyboardInterrupt
    return _dev_scores(student, bench)


def _points(steps: int) -> set[int]:
    """The steps after which a trial is scored on its way: each quarter but the last."""
    return {steps * quarter // 4 for quarter in (1, 2, 3)} if steps >= _FEWEST_STEPS_TO_PRUNE else set()


def _dev_scores(student: EmbeddingModel, bench: Bench) -> Float64[np.ndarray, " queries"]:
    training = student.model.training
    try:
        return score(bench.dev, rank(student, bench.dev))[METRIC]
    finally:
        student.model.train(training)
