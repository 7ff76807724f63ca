"""The whole way of `gistembed cotrain`: from pairs and two models to the best round of each, with proof."""

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gistembed.console import Console
from gistembed.cotraining.config import CoTrainConfig, ModelKey, cotrain_config
from gistembed.cotraining.folder import CoTrainFolder, save_whole
from gistembed.cotraining.prepare import PreparedCoTraining, cotrain_lines, prepare_cotrain
from gistembed.cotraining.record import CoTrainJournal, CoTrainRecord, best_round
from gistembed.cotraining.rounds import CoTraining, go_through_rounds, model_after
from gistembed.errors import Terminated, UserError
from gistembed.evaluate import METRICS, ModelScores, evaluation_record, rank, score, verdict_line
from gistembed.files import write_whole
from gistembed.folder import alone_in, unfinished_record
from gistembed.journal import first_record
from gistembed.models import EmbeddingModel
from gistembed.ranks import ranks
from gistembed.record import RunRecord
from gistembed.report import render_card
from gistembed.terms import DataSet

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict


@dataclass(frozen=True)
class CoTrainResult:
    """What a co-training left behind.

    Attributes:
        models: Folder of each model's best round; ``SentenceTransformer(models["a"])`` loads it.
        verdicts: What became of each model: better, not distinguishable or worse, with the interval.
        record: Everything that ``cotrain.json`` holds.
    """

    models: Mapping[ModelKey, Path]
    verdicts: Mapping[ModelKey, str]
    record: CoTrainRecord


def cotrain(
    a: "str | os.PathLike[str]",
    b: "str | os.PathLike[str] | None" = None,
    *,
    data: "str | os.PathLike[str] | Dataset | DatasetDict",
    out: "str | os.PathLike[str]",
    rounds: int = 3,
    variant: str = "mutual",
    decay: float | None = None,
    dev: "float | str | os.PathLike[str] | Dataset" = 0.1,
    of_a: Mapping[str, Any] | None = None,
    of_b: Mapping[str, Any] | None = None,
    resume: bool = False,
    quiet: bool = False,
    **settings: Any,  # noqa: ANN401 — each is checked against RunConfig
) -> CoTrainResult:
    """Let two models improve each other: in each round, a frozen snapshot of each guides the other.

    Args:
        a: A model: a folder or a hub name.
        b: The other one; None if the first guides itself.
        data: Pairs: a file, a folder saved by `datasets`, or a data set in memory.
        out: Folder for the models and the record; empty or new.
        rounds: The most rounds; they end before that when no model gains on dev.
        variant: ``mutual``, ``self`` or ``ema``; see `gistembed.cotraining.CoTrainConfig`.
        decay: Share of the moving average that stays in a round; for ``ema`` only, 0.5 by default.
        dev: Share of the training pairs that the best round is chosen by, or pairs of their own for that.
        of_a: Settings of the first model's trainings alone; a mapping in them adds to the common one.
        of_b: Those of the second's.
        resume: Go on with an unfinished co-training in ``out``.
        quiet: Show no progress.
        settings: Further settings of `gistembed.config.RunConfig` by name, for the trainings of both.

    Raises:
        UserError: If data, models or settings are not as they should be; nothing is written then. Also if
            a training stops because of them; what is done so far is kept then.
        KeyboardInterrupt: If the user interrupts; what is done so far is kept, and ``resume`` goes on.
    """
    tables = {key: own for key, own in (("a", of_a), ("b", of_b)) if own}
    config = cotrain_config(
        os.fspath(a),
        None if b is None else os.fspath(b),
        settings | tables | {"data": data, "out": Path(out)},
        {},
        rounds=rounds,
        variant=variant,
        decay=decay,
        dev=dev,
        source="cotrain",
    )
    return run_cotrain(config, Console(quiet=quiet), resume=resume)


def run_cotrain(config: CoTrainConfig, console: Console, *, resume: bool = False) -> CoTrainResult:
    """`cotrain` for a configuration that is checked already."""
    with alone_in(CoTrainFolder(config.out).record):
        return _run(config, console, resume=resume)


def _run(config: CoTrainConfig, console: Console, *, resume: bool) -> CoTrainResult:
    prepared, record = _ready(config, console, resume=resume)
    console.say(cotrain_lines(prepared))
    training = CoTraining(prepared, CoTrainJournal(prepared.folder.record, record), console)
    try:
        go_through_rounds(training)
        return _finish(training)
    except (KeyboardInterrupt, Terminated):
        training.journal.add(status="interrupted")
        raise
    except (UserError, OSError):
        # A full disk refuses this line too; the record on it still says that it is not finished.
        with contextlib.suppress(OSError):
            training.journal.add(status="failed")
        raise


def plan_cotrain(config: CoTrainConfig, console: Console, *, resume: bool = False) -> str:
    """Check everything that `run_cotrain` checks and say what it would do; nothing is written."""
    prepared, _ = _ready(config, console, resume=resume)
    return cotrain_lines(prepared)


def _ready(
    config: CoTrainConfig, console: Console, *, resume: bool
) -> tuple[PreparedCoTraining, CoTrainRecord]:
    if ranks() > 1:
        raise UserError("cotrain: runs in one process; start it without torchrun")
    unfinished = unfinished_record(CoTrainFolder(config.out).record, CoTrainRecord, resume=resume)
    prepared = prepare_cotrain(config, console)
    digest = prepared.dev.pairs.digest()
    if unfinished is not None:
        _check_same(config, digest, unfinished)
    if resume and unfinished is None:
        console.say(f"{config.out}: nothing to resume; starting from the beginning")
    runs = {
        key: first_record(run, None if unfinished is None else unfinished.runs[key])
        for key, run in prepared.runs.items()
    }
    if unfinished is not None:
        return prepared, unfinished.model_copy(
            update={"status": "running", "runs": runs, "rounds": config.rounds}
        )
    record = CoTrainRecord(
        status="running",
        variant=config.variant,
        rounds=config.rounds,
        decay=config.decay,
        dev=config.dev if isinstance(config.dev, float) else prepared.dev.name,
        dev_digest=digest,
        dev_pairs=len(prepared.dev.pairs),
        dev_queries=len(prepared.dev.queries),
        metric=METRICS[0],
        runs=runs,
    )
    return prepared, record


def _check_same(config: CoTrainConfig, dev_digest: str, unfinished: CoTrainRecord) -> None:
    """That who guides whom, and how the best round is chosen, is as before; more rounds may follow."""
    begun = f"--resume: the run in {config.out} was begun"
    if set(unfinished.runs) != set(config.models):
        count = "one model" if len(unfinished.runs) == 1 else "two models"
        raise UserError(f"{begun} with {count}; go on with the same, or choose another --out")
    for name in ("variant", "decay"):
        before, now = getattr(unfinished, name), getattr(config, name)
        if before != now:
            raise UserError(
                f"{begun} with {name} = {before!r}, not {now!r}; use the same settings, or another --out"
            )
    if unfinished.dev_digest != dev_digest:
        raise UserError(f"{begun} with other dev pairs; go on with the same, or choose another --out")


def _finish(training: CoTraining) -> CoTrainResult:
    """Save the best round of each model, and score it on pairs that chose nothing."""
    journal, folder = training.journal, training.folder
    best = {key: best_round(journal.record, key) for key in training.prepared.runs}
    journal.add(best=best)
    runs = {}
    for key, number in best.items():
        save_whole(model_after(training, number, key), folder.final(key))
        runs[key] = _scored(training, key, number)
        if number:
            write_whole(
                folder.final(key) / "README.md", render_card(_with_rounds(training, key, runs[key])).encode()
            )
    # Last, so that what calls itself finished has everything.
    journal.add(runs=runs, status="finished")
    folder.finish()
    return CoTrainResult(
        {key: folder.final(key) for key in best},
        {key: run.verdict for key, run in runs.items()},
        journal.record,
    )


def _scored(training: CoTraining, key: ModelKey, best: int) -> RunRecord:
    """A model's run with its scores before, after the first round (plain guided training) and at best."""
    run = training.journal.record.runs[key]
    tasks = training.prepared.runs[key].tasks
    rounds = sorted({0, 1, best}) if best else [0]
    scores = {
        "base" if number == 0 else f"round {number}": _task_scores(
            training, model_after(training, number, key), f"evaluate {key}, round {number}"
        )
        for number in rounds
    }
    evaluations = [
        evaluation_record(data, task, {name: by_task[data] for name, by_task in scores.items()})
        for data, task in tasks.items()
    ]
    verdict = verdict_line(evaluations) if best else _none_better(training)
    return run.model_copy(update={"evaluations": evaluations, "verdict": verdict, "status": "finished"})


def _none_better(training: CoTraining) -> str:
    queries = training.journal.record.dev_queries
    return f"not distinguishable: the model as it was, because no round is better on {queries:,} dev queries"


def _with_rounds(training: CoTraining, key: ModelKey, run: RunRecord) -> RunRecord:
    """The run of a model with what guided and trained it up to its best round."""
    record = training.journal.record
    rounds = record.of(key)[1 : record.best[key] + 1]
    return run.model_copy(
        update={
            "guides": [one.guide for one in rounds],
            "trainings": [one.training for one in rounds],
        }
    )


def _task_scores(training: CoTraining, model: EmbeddingModel, stage: str) -> dict[DataSet, ModelScores]:
    """One model's scores on every task."""
    tasks = training.prepared.runs["a"].tasks
    texts = sum(len(task.queries) + len(task.documents) for task in tasks.values())
    with training.console.stage(stage, texts, passing=True) as progress:
        rankings = {data: rank(model, task, progress) for data, task in tasks.items()}
        return {
            data: ModelScores(rankings[data], score(task, rankings[data])) for data, task in tasks.items()
        }
