"""The whole way: from pairs to a better embedding model, with proof."""

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gistembed import ranks
from gistembed.audit import audit_masks, audited_batches
from gistembed.config import RunConfig, run_config
from gistembed.console import Console
from gistembed.describe import model_record
from gistembed.errors import Terminated, UserError
from gistembed.evaluate import (
    METRICS,
    ModelScores,
    RetrievalTask,
    evaluation_record,
    rank,
    rank_at,
    score,
    verdict_line,
    write_query_scores,
)
from gistembed.files import write_whole
from gistembed.folder import RECORD, RunFolder, alone_in
from gistembed.guide import GuideVectors, GuideWork, do_work, embed_now, stored_vectors, text_ids_by_role
from gistembed.journal import Journal, first_record
from gistembed.models import EmbeddingModel, load_model
from gistembed.prepare.guides import PreparedVectors
from gistembed.prepare.run import PreparedRun, prepare_run
from gistembed.prepare.student import load_student
from gistembed.prepare.words import negatives_per_row, plan_lines
from gistembed.record import (
    BestRecord,
    GuideRecord,
    ModelRecord,
    RunRecord,
    TrainingFinding,
    TrainingRecord,
)
from gistembed.report import render_card, render_report
from gistembed.saving import save_trained
from gistembed.signals import stops_after_step
from gistembed.terms import ScoredSet, TrainedModel
from gistembed.train import KeepBest, TrainingOutcome, steps_between, train_student

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict


@dataclass(frozen=True)
class FitResult:
    """What a run left behind.

    Attributes:
        model: Folder of the trained model; ``SentenceTransformer(model)`` loads it.
        report: The HTML page.
        verdict: Better, not distinguishable or worse, with the interval.
        record: Everything that ``run.json`` holds.
    """

    model: Path
    report: Path
    verdict: str
    record: RunRecord


def fit(
    data: "str | os.PathLike[str] | Dataset | DatasetDict",
    student: "str | os.PathLike[str]",
    guide: "str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None" = None,
    *,
    out: "str | os.PathLike[str]",
    resume: bool = False,
    quiet: bool = False,
    **settings: Any,  # noqa: ANN401 — each is checked against RunConfig
) -> FitResult:
    """Fine-tune a student on pairs under a guide, and score it before and after.

    Args:
        data: Pairs: a file, a folder saved by `datasets`, or a data set in memory.
        student: Model to train: a folder or a hub name.
        guide: What guides, or several; None only with ``loss="infonce"``, or for a student that is its own
            guide.
        out: Folder for the model, the report and the record; empty or new.
        resume: Go on with an unfinished run in ``out``.
        quiet: Show no progress.
        settings: Further settings of `gistembed.config.RunConfig`, by name.

    Raises:
        UserError: If data, models or settings are not as they should be; nothing is written then. Also if
            training stops because of them; what is done so far is kept then.
        KeyboardInterrupt: If the user interrupts; what is done so far is kept, and ``resume`` goes on.
        Terminated: The same for SIGTERM while the student is trained.
    """
    given = {"data": data, "student": student, "guide": guide, "out": Path(out)}
    settings |= {name: value for name, value in given.items() if value is not None}
    config = run_config(settings, source="fit")
    return run_fit(config, Console(quiet=quiet), resume=resume)


def run_fit(config: RunConfig, console: Console, *, resume: bool = False) -> FitResult:
    """`fit` for a configuration that is checked already."""
    ranks.meet()
    console = console if ranks.is_first() else Console(quiet=True)
    with alone_in(config.out / RECORD):
        return _run(config, console, resume=resume)


def _run(config: RunConfig, console: Console, *, resume: bool) -> FitResult:
    folder, run, record = _ready(config, console, resume=resume)
    # Nobody writes before all have looked at the folder.
    ranks.wait_for_all()
    if not ranks.is_first():
        return _assist(run, folder, record, console)
    console.say(plan_lines(run))
    if (idle := ranks.idle_gpus()) and not config.trainer.get("use_cpu"):
        launcher = f"torchrun --nproc-per-node {idle + 1} -m gistembed fit"
        console.warn(f"one of {idle + 1} GPUs is trained on; `{launcher} …` takes all of them")
    journal = Journal(folder, record)
    try:
        return _go(run, folder, journal, console)
    except (KeyboardInterrupt, Terminated):
        journal.add(status="interrupted")
        raise
    except (UserError, OSError):
        # A full disk refuses this line too; the record on it still says that the run is not finished.
        with contextlib.suppress(OSError):
            journal.add(status="failed")
        raise


def plan_fit(config: RunConfig, console: Console, *, resume: bool = False) -> str:
    """Check everything that `run_fit` checks and say what it would do; nothing is written."""
    _, run, _ = _ready(config, console, resume=resume)
    return plan_lines(run)


def _ready(config: RunConfig, console: Console, *, resume: bool) -> tuple[RunFolder, PreparedRun, RunRecord]:
    folder = RunFolder(config.out, resume=resume)
    run = prepare_run(config, console)
    if resume and folder.unfinished is None:
        console.say(f"{config.out}: nothing to resume; starting from the beginning")
    return folder, run, first_record(run, folder.unfinished)


def _go(run: PreparedRun, folder: RunFolder, journal: Journal, console: Console) -> FitResult:
    """All stages in order; each adds what it found to the journal."""
    guides = [_vectors(run, number, journal, console) for number in range(len(run.guides))]
    ranks.wait_for_all()
    if run.guided:
        _audit(run, guides, journal, console)
    scores = {"base": _score(run, run.student, "base", journal, console)}
    run.student.model.cpu()
    names = _models_to_train(run)
    for name in names:
        # The model that the run is about goes by the plain name; the one it is compared with by its own.
        place = "model" if name == names[-1] else name
        if any(training.model == name for training in journal.record.trainings):
            console.say(f"{name}: trained already")
            saved = load_model(folder.model(place), option="--out")
        else:
            saved = _train(run, name, place, guides, folder, journal, console)
        # What is scored is what was saved, read back as its users will.
        scores[name] = _score(run, saved, name, journal, console)
    evaluations = [
        evaluation_record(data, task, {name: tasks[data] for name, tasks in scores.items()})
        for data, task in run.tasks.items()
    ]
    verdict = verdict_line(evaluations)
    changes = {"evaluations": evaluations, "verdict": verdict, "status": "finished"}
    finished = journal.record.model_copy(update=changes)
    write_whole(folder.model("model") / "README.md", render_card(finished).encode())
    write_whole(folder.report, render_report(finished).encode())
    write_query_scores(folder.query_scores, _scored(run), scores)
    # Last, so that a run that calls itself finished has everything.
    journal.add(**changes)
    folder.finish()
    return FitResult(folder.model("model"), folder.report, verdict, journal.record)


def _assist(run: PreparedRun, folder: RunFolder, record: RunRecord, console: Console) -> FitResult:
    """The part of all processes but the first: they train with it, and leave all else to it."""
    ranks.wait_for_all()
    guides = [
        guide.vectors if isinstance(guide, PreparedVectors) else stored_vectors(guide) for guide in run.guides
    ]
    run.student.model.cpu()
    for name in _models_to_train(run):
        if not any(training.model == name for training in record.trainings):
            _, outcome, _ = _trained(run, name, guides, folder, console)
            if outcome.interrupted:
                raise _stopped(outcome)
    return FitResult(folder.model("model"), folder.report, "told by the first process", record)


def _models_to_train(run: PreparedRun) -> list[TrainedModel]:
    """The models of the comparison in the order of training; the one that the run is about comes last."""
    if not run.guided:
        return ["unguided"]
    return ["unguided", "guided"] if run.config.compare_unguided else ["guided"]


def _vectors(run: PreparedRun, number: int, journal: Journal, console: Console) -> GuideVectors:
    """The vectors of one of the guides; what it is and what it cost is added to the record."""
    guide = run.guides[number]
    if isinstance(guide, PreparedVectors):
        vectors, record = guide.vectors, _given_record(guide)
    else:
        stage = "encode with the guide" + (f" {number + 1}" if len(run.guides) > 1 else "")
        vectors, record = _encode(run, guide, stage, journal, console)
    # A run that goes on has the guides before this one from this attempt, and none from those before.
    journal.add(guides=[*journal.record.guides[:number], record])
    return vectors


def _given_record(guide: PreparedVectors) -> GuideRecord:
    """Vectors that were there before the run."""
    model = ModelRecord(
        name=guide.path,
        identity=guide.identity,
        kind="given vectors",
        parameters=None,
        dimensions=guide.vectors.dimensions,
        max_length=None,
        prompts={},
    )
    return GuideRecord(model=model, store=guide.path, texts=guide.texts, encoded=0, seconds=0.0)


def _encode(
    run: PreparedRun, work: GuideWork, stage: str, journal: Journal, console: Console
) -> tuple[GuideVectors, GuideRecord]:
    summary = work.store.summary()
    for path, reason in summary.unreadable.items():
        console.warn(f"{path}: can't be read ({reason}); its texts are encoded again")
    for path, reason in summary.damaged.items():
        console.warn(
            f"{path}: not used ({reason}); its texts are encoded again; `gistembed guide compact` removes it"
        )
    with journal.timed(stage):
        vectors = do_work(work, console, workers=run.config.guide_workers)
    record = GuideRecord(
        model=model_record(work.guide, vectors.lengths()),
        store=str(work.store.folder),
        texts=work.plan.distinct,
        encoded=len(work.missing),
        seconds=journal.seconds(stage),
    )
    return vectors, record


def _audit(run: PreparedRun, guides: list[GuideVectors], journal: Journal, console: Console) -> None:
    """What the guides mask before the first step; a student that is its own guide is asked as it is then."""
    policy, plan = run.plan.policy.at_step(0), run.plan.batches
    with journal.timed("audit"):
        if guides:
            journal.add(audit=audit_masks(run.train, guides, policy, plan, run.plan.task_policies))
            return
        seen = run.train.take(np.concatenate(audited_batches(plan)))
        with console.stage("ask the student", sum(map(len, text_ids_by_role(seen).values()))) as progress:
            own = embed_now(run.student, seen, progress)
        audit = audit_masks(run.train, [own], policy, plan, run.plan.task_policies)
    student = journal.record.student.model_copy(update={"kind": "the student itself"})
    itself = GuideRecord(model=student, store=None, texts=0, encoded=0, seconds=0.0)
    journal.add(audit=audit, guides=[itself])


def _train(
    run: PreparedRun,
    name: TrainedModel,
    place: str,
    guides: list[GuideVectors],
    folder: RunFolder,
    journal: Journal,
    console: Console,
) -> EmbeddingModel:
    """Train a fresh copy of the student, save it, and read it back."""
    stage = f"train {name}"
    with journal.timed(stage):
        student, outcome, best = _trained(
            run, name, guides, folder, console, lambda finding: _noticed(finding, name, journal, console)
        )
    if not outcome.finished:
        raise _stopped(outcome)
    waiting = "stopping when the model is saved; once more stops at once"
    with stops_after_step(lambda: console.answer(waiting)) as stop:
        saved = save_trained(run, student, folder, place)
        training = TrainingRecord(
            model=name,
            loss="guided" if name == "guided" else "infonce",
            steps=outcome.steps,
            batch_size=run.plan.batches.batch_size,
            negatives_per_row=negatives_per_row(run),
            seconds=journal.seconds(stage),
            pairs_per_second=outcome.pairs_per_second,
            history=outcome.history,
            micro_batches=outcome.micro_batches,
            replayed=outcome.replayed,
            padding_free=outcome.padding_free,
            best=_best_record(best) if best is not None else None,
        )
        journal.add(trainings=[*journal.record.trainings, training])
    if outcome.replayed:
        console.say(
            f"{name}: {outcome.replayed:,} of the {outcome.micro_batches:,} micro-batches of a batch were "
            "computed twice, to fit into memory"
        )
    if outcome.interrupted:
        raise _stopped(outcome)
    if stop:
        raise Terminated if stop.terminated else KeyboardInterrupt
    return saved


def _trained(
    run: PreparedRun,
    name: TrainedModel,
    guides: list[GuideVectors],
    folder: RunFolder,
    console: Console,
    on_finding: Callable[[TrainingFinding], None] = lambda finding: None,
) -> tuple[EmbeddingModel, TrainingOutcome, KeepBest | None]:
    """A trained copy of the student, what came of it, and what watched for the best model."""
    student = load_student(run.config)
    plan = run.plan
    if name == "unguided" and run.config.guides_itself:
        plan = replace(plan, policy=replace(plan.policy, scorer="guide"))
    best = _keep_best(run, student)
    with console.stage(f"train {name}", plan.steps) as progress:
        done = 0

        def on_step(step: int) -> None:
            nonlocal done
            progress(step - done)
            done = step

        outcome = train_student(
            student,
            run.train,
            guides if name == "guided" else (),
            plan,
            tokens=run.tokens,
            checkpoints=folder.checkpoints / name,
            logs=folder.logs(name),
            resume=folder.unfinished is not None,
            best=best,
            on_step=on_step,
            on_interrupt=lambda: console.answer("stopping after this step; once more stops at once"),
            on_finding=on_finding,
            warn=console.warn,
        )
    return student, outcome, best


def _stopped(outcome: TrainingOutcome) -> KeyboardInterrupt | Terminated:
    return Terminated() if outcome.terminated else KeyboardInterrupt()


def _keep_best(run: PreparedRun, student: EmbeddingModel) -> KeepBest | None:
    """What watches for the best model, if the run keeps the best."""
    dev, metric = run.dev, run.config.keep_best
    if dev is None or metric is None:
        return None
    return KeepBest(
        metric,
        lambda _: ranks.first_says(lambda: float(score(dev, rank(student, dev))[metric].mean())),
        every=steps_between(run.config.eval_every, run.plan.steps),
        patience=run.config.patience,
    )


def _best_record(best: KeepBest) -> BestRecord:
    assert best.step is not None, "the last step is scored"
    return BestRecord(
        metric=best.metric,
        step=best.step,
        score=dict(best.curve)[best.step],
        curve=best.curve,
        stopped_early=best.stopped,
    )


def _noticed(finding: TrainingFinding, name: TrainedModel, journal: Journal, console: Console) -> None:
    """Keep what was noticed about a training; an attempt before this one may have noticed the same."""
    before = journal.record.noticed.get(name, [])
    if finding.severity == "error" or finding.code not in {one.code for one in before}:
        others = [one for one in before if one.code != finding.code]
        journal.add(noticed=journal.record.noticed | {name: [*others, finding]})
    if finding.severity != "error":  # which stops the training, and is said then
        console.warn(f"{finding.what} {finding.advice}")


def _score(
    run: PreparedRun, model: EmbeddingModel, name: str, journal: Journal, console: Console
) -> dict[ScoredSet, ModelScores]:
    """One model's scores on every task, and on what the best is chosen by."""
    stage, tasks = f"evaluate {name}", _scored(run)
    texts = sum(len(task.queries) + len(task.documents) for task in tasks.values())
    with journal.timed(stage), console.stage(stage, texts) as progress:
        return {data: _model_scores(model, task, run.plan.dims, progress) for data, task in tasks.items()}


def _scored(run: PreparedRun) -> dict[ScoredSet, RetrievalTask]:
    """The dev pairs are scored too, but apart: what chose a model is no evidence for it."""
    tasks: dict[ScoredSet, RetrievalTask] = {} if run.dev is None else {"dev": run.dev}
    return tasks | dict(run.tasks.items())


def _model_scores(
    model: EmbeddingModel,
    task: RetrievalTask,
    dims: tuple[int, ...] | None,
    on_progress: Callable[[int], None],
) -> ModelScores:
    """One model's scores on one task; at each of these dimensions too, the widest of which are all."""
    rankings = rank_at(model, task, dims, on_progress)
    scores = [score(task, ranking) for ranking in rankings]
    by_dims = {dim: one[METRICS[0]] for dim, one in zip(dims, scores, strict=True)} if dims else {}
    return ModelScores(rankings[0], scores[0], by_dims)
