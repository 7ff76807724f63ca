"""The whole way: from pairs to a better embedding model, with proof."""

import dataclasses
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gistembed.audit import audit_masks
from gistembed.config import RunConfig, run_config
from gistembed.console import Console
from gistembed.describe import data_record, machine, model_record, versions
from gistembed.errors import UserError
from gistembed.evaluate import ModelScores, evaluation_record, rank, score, verdict_line
from gistembed.files import write_whole
from gistembed.folder import RunFolder
from gistembed.guide import GuideVectors, encode_texts, missing_texts
from gistembed.models import EmbeddingModel, load_model
from gistembed.prepare import PreparedGuide, PreparedRun, load_student, prepare_run
from gistembed.record import GuideRecord, RunRecord, TrainingRecord
from gistembed.report import render_card, render_report
from gistembed.terms import DataSet, TrainedModel
from gistembed.train import train_student

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
    student: str,
    guide: str | None = None,
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
        guide: Model that guides; None only with ``loss="infonce"``.
        out: Folder for the model, the report and the record; empty or new.
        resume: Go on with an unfinished run in ``out``.
        quiet: Show no progress.
        settings: Further settings of `gistembed.config.RunConfig`, by name.

    Raises:
        UserError: If data, models or settings are not as they should be; nothing is written then.
        KeyboardInterrupt: If the user interrupts; what is done so far is kept, and ``resume`` goes on.
    """
    config = run_config(
        settings | {"data": data, "student": student, "guide": guide, "out": Path(out)}, source="fit"
    )
    return run_fit(config, Console(quiet=quiet), resume=resume)


def run_fit(config: RunConfig, console: Console, *, resume: bool = False) -> FitResult:
    """`fit` for a configuration that is checked already."""
    folder = RunFolder(config.out, resume=resume)
    run = prepare_run(config, console)
    if resume and folder.unfinished is None:
        console.say(f"{config.out}: nothing to resume; starting from the beginning")
    console.say(plan_lines(run))
    journal = _Journal(folder, _first_record(run, folder.unfinished))
    try:
        return _go(run, folder, journal, console)
    except KeyboardInterrupt:
        journal.add(status="interrupted")
        raise


def plan_lines(run: PreparedRun) -> str:
    """What a run is going to do, for a person to check."""
    plan, split = run.plan, run.split
    lines = [
        f"training on {split.train_pairs:,} pairs; {split.held_out_pairs:,} held out; "
        f"{split.dropped_pairs:,} left out because they share a text with those",
        f"student {run.student.name}: {run.student.kind}, {run.student.parameters / 1e6:.1f}M parameters",
    ]
    if run.guide is not None:
        missing = missing_texts(run.guide.model, run.guide.store, run.pairs.texts, run.guide.ids)
        lines.append(
            f"guide {run.guide.model.name}: {missing:,} texts to encode; "
            f"vectors are kept in {run.guide.store.folder}"
        )
    lines.append(
        f"{plan.steps:,} steps of {plan.batches.batch_size:,} pairs; "
        f"{_negatives_per_row(run):,} negatives for each query before the mask"
    )
    return "\n".join(lines)


def _go(run: PreparedRun, folder: RunFolder, journal: "_Journal", console: Console) -> FitResult:
    """All stages in order; each adds what it found to the journal."""
    vectors = None
    if run.guide is not None:
        vectors = _encode(run, run.guide, journal, console)
        with journal.timed("audit"):
            journal.add(audit=audit_masks(run.train, vectors, run.plan.policy, run.plan.batches))
    with journal.timed("evaluate base"):
        scores = {"base": _score(run, run.student, "base", console)}
    names: list[TrainedModel] = ["guided"] if run.guide is not None else ["unguided"]
    if run.guide is not None and run.config.compare_unguided:
        names.insert(0, "unguided")
    for name in names:
        # The model that the run is about goes by the plain name; the one it is compared with by its own.
        place = "model" if name == names[-1] else name
        student = _train(run, name, place, vectors, folder, journal, console)
        with journal.timed(f"evaluate {name}"):
            scores[name] = _score(run, student, name, console)
    evaluations = [
        evaluation_record(data, task, {name: tasks[data] for name, tasks in scores.items()})
        for data, task in run.tasks.items()
    ]
    verdict = verdict_line(evaluations)
    journal.add(evaluations=evaluations, verdict=verdict, status="finished", timings=journal.timings)
    write_whole(folder.model("model") / "README.md", render_card(journal.record).encode())
    write_whole(folder.report, render_report(journal.record).encode())
    folder.finish()
    return FitResult(folder.model("model"), folder.report, verdict, journal.record)


def _encode(run: PreparedRun, guide: PreparedGuide, journal: "_Journal", console: Console) -> GuideVectors:
    missing = missing_texts(guide.model, guide.store, run.pairs.texts, guide.ids)
    for path in guide.store.summary().damaged:
        console.warn(f"{path}: damaged, not used; its texts are encoded again")
    with (
        journal.timed("encode with the guide") as seconds,
        console.stage("encode with the guide", missing) as progress,
    ):
        vectors = encode_texts(guide.model, guide.store, run.pairs.texts, guide.ids, progress)
    journal.add(
        guide=GuideRecord(
            model=model_record(guide.model, guide.lengths),
            store=str(guide.store.folder),
            texts=len(vectors.matrix),
            encoded=missing,
            seconds=seconds(),
        )
    )
    return vectors


def _train(
    run: PreparedRun,
    name: TrainedModel,
    place: str,
    vectors: GuideVectors | None,
    folder: RunFolder,
    journal: "_Journal",
    console: Console,
) -> EmbeddingModel:
    """A trained student, saved; read back if an earlier attempt at this run has trained it already."""
    if any(training.model == name for training in journal.record.trainings):
        console.say(f"{name}: trained already")
        return dataclasses.replace(
            run.student, model=load_model(str(folder.model(place)), option="--resume").model
        )
    student = load_student(run.config)
    plan = run.plan
    with console.stage(f"train {name}", plan.steps) as progress:
        done = 0

        def on_step(step: int) -> None:
            nonlocal done
            progress(step - done)
            done = step

        outcome = train_student(
            student,
            run.train,
            vectors if name == "guided" else None,
            plan,
            lengths=run.lengths,
            checkpoints=folder.checkpoints / name,
            resume=folder.unfinished is not None,
            on_step=on_step,
        )
    journal.timings[f"train {name}"] = journal.timings.get(f"train {name}", 0.0) + outcome.seconds
    if not outcome.finished:
        raise KeyboardInterrupt
    folder.save_model(student, place)
    training = TrainingRecord(
        model=name,
        loss="guided" if name == "guided" else "infonce",
        steps=outcome.steps,
        batch_size=plan.batches.batch_size,
        negatives_per_row=_negatives_per_row(run),
        seconds=outcome.seconds,
        pairs_per_second=outcome.steps_here * plan.batches.batch_size / max(outcome.seconds, 1e-9),
        history=outcome.history,
    )
    journal.add(trainings=[*journal.record.trainings, training])
    return student


def _score(
    run: PreparedRun, model: EmbeddingModel, name: str, console: Console
) -> dict[DataSet, ModelScores]:
    """One model's scores on every task."""
    texts = sum(len(task.queries) + len(task.documents) for task in run.tasks.values())
    with console.stage(f"evaluate {name}", texts) as progress:
        rankings = {data: rank(model, task, progress) for data, task in run.tasks.items()}
    return {
        data: ModelScores(rankings[data], score(task, rankings[data])) for data, task in run.tasks.items()
    }


def _negatives_per_row(run: PreparedRun) -> int:
    """Candidates in a row's softmax besides its positive, before anything is excluded."""
    size = run.plan.batches.batch_size
    blocks = run.plan.policy.blocks(negatives=False)
    hard = round(size * len(run.train.negative_ids) / len(run.train))
    return len(blocks) * (size - 1) + hard


def _first_record(run: PreparedRun, unfinished: RunRecord | None) -> RunRecord:
    """The record before the first stage: a new one, or the unfinished one if it is of this very run."""
    config = run.config.model_dump(mode="json", exclude={"data", "eval", "retention"})
    config |= {
        "data": run.pairs.source,
        "eval": run.eval_pairs.source if run.eval_pairs is not None else None,
        "retention": run.tasks["retention"].pairs.source if run.config.retention is not None else None,
    }
    record = RunRecord(
        status="running",
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        config=config,
        versions=versions(),
        machine=machine(),
        train_data=data_record(run.pairs),
        eval_data=data_record(run.eval_pairs) if run.eval_pairs is not None else None,
        split=run.split,
        student=model_record(run.student, run.lengths),
        warnings=run.warnings,
    )
    if unfinished is None:
        return record
    begun = f"--resume: the run in {run.config.out} was begun"
    for name, value in config.items():
        before = unfinished.config.get(name)
        if before != value and name != "out":
            raise UserError(
                f"{begun} with {name} = {before!r}, not {value!r}; use the same settings, or another --out"
            )
    if unfinished.train_data.digest != record.train_data.digest:
        raise UserError(f"{begun} with other pairs in {run.pairs.source}; choose another --out")
    if unfinished.student.identity != record.student.identity:
        raise UserError(f"{begun} with another model in {run.student.name}; choose another --out")
    return unfinished.model_copy(update={"status": "running"})


class _Journal:
    """The record of the run so far; every change is on disk before the next stage begins."""

    def __init__(self, folder: RunFolder, record: RunRecord) -> None:
        self.record = record
        self.timings = dict(record.timings)
        self._folder = folder
        folder.write_record(record)

    def add(self, **changes: object) -> None:
        self.record = self.record.model_copy(update=changes)
        self._folder.write_record(self.record)

    @contextmanager
    def timed(self, stage: str) -> Iterator[Callable[[], float]]:
        """Add the time of a stage; yields a function that tells the seconds so far."""
        started = time.perf_counter()
        try:
            yield lambda: time.perf_counter() - started
        finally:
            self.timings[stage] = self.timings.get(stage, 0.0) + time.perf_counter() - started
