"""The rounds: each model is trained under a frozen snapshot, scored on dev, and becomes the next snapshot."""

import time
from dataclasses import dataclass, replace

from gistembed.console import Console
from gistembed.cotraining.average import move_average
from gistembed.cotraining.config import ModelKey
from gistembed.cotraining.folder import CoTrainFolder, average_name, save_whole
from gistembed.cotraining.prepare import PreparedCoTraining, snapshot_config
from gistembed.cotraining.record import CoTrainJournal, ModelRound, gained
from gistembed.describe import model_record
from gistembed.errors import Terminated
from gistembed.evaluate import METRICS, mean_interval, rank, score
from gistembed.guide import GuideVectors, do_work
from gistembed.models import EmbeddingModel, load_model
from gistembed.prepare.guides import PreparedVectors, prepare_guide
from gistembed.prepare.student import load_student
from gistembed.prepare.words import negatives_per_row
from gistembed.record import GuideRecord, Interval, TrainingFinding, TrainingRecord
from gistembed.train import TrainingOutcome, TrainingPlan, train_student

_SEEDS = 2**32


@dataclass(frozen=True)
class CoTraining:
    """A co-training while it goes on.

    Attributes:
        prepared: What was prepared.
        journal: Its record.
        console: Where progress is shown.
    """

    prepared: PreparedCoTraining
    journal: CoTrainJournal
    console: Console

    @property
    def folder(self) -> CoTrainFolder:
        """Where everything lies."""
        return self.prepared.folder


def go_through_rounds(training: CoTraining) -> None:
    """All rounds that are left, until there are no more or no model gains on dev.

    Raises:
        KeyboardInterrupt: If the user interrupts; what is done so far is kept.
        UserError: If a training stops because of its data, models or settings.
    """
    journal, folder = training.journal, training.folder
    for key, run in training.prepared.runs.items():
        if journal.record.at(0, key) is None:
            dev = dev_score(training, run.student, f"evaluate {key}")
            journal.add_round(ModelRound(round=0, model=key, identity=run.student.identity, dev=dev))
        run.student.model.cpu()
    ended = "all rounds"
    for number in range(1, training.prepared.config.rounds + 1):
        for key in training.prepared.runs:
            if journal.record.at(number, key) is None:
                train_round(training, number, key)
        folder.finish_round(number)
        training.console.say(round_line(training, number))
        if not any(gained(journal.record, number, key) for key in training.prepared.runs):
            ended = "no gain"
            break
    journal.add(ended=ended)


def train_round(training: CoTraining, number: int, key: ModelKey) -> None:
    """One model in one round: trained from where it stood before, saved, scored on dev, and noted down.

    Args:
        training: The co-training; the rounds before are done.
        number: The round.
        key: The model.

    Raises:
        KeyboardInterrupt: If the user interrupts.
    """
    run = training.prepared.runs[key]
    stage = f"train {key}, round {number}"
    guide, guided_by = guide_vectors(training, number, key)
    student = model_after(training, number - 1, key)
    plan = round_plan(run.plan, number)
    outcome, seconds = _train(training, stage, student, guide, plan, number, key)
    place = training.folder.in_hand(number) / key
    save_whole(student, place)
    if training.prepared.config.variant == "ema":
        _save_average(training, number, key, student)
    saved = load_model(place, option="--out")
    done = ModelRound(
        round=number,
        model=key,
        identity=saved.identity,
        dev=dev_score(training, saved, f"evaluate {key}"),
        guide=guided_by,
        training=TrainingRecord(
            model="guided",
            loss="guided",
            steps=outcome.steps,
            batch_size=plan.batches.batch_size,
            negatives_per_row=negatives_per_row(run),
            seconds=seconds,
            pairs_per_second=outcome.pairs_per_second,
            history=outcome.history,
            micro_batches=outcome.micro_batches,
            replayed=outcome.replayed,
            padding_free=outcome.padding_free,
        ),
    )
    training.journal.add_round(done)
    if outcome.interrupted:
        raise Terminated if outcome.terminated else KeyboardInterrupt


def guide_vectors(training: CoTraining, number: int, key: ModelKey) -> tuple[GuideVectors, GuideRecord]:
    """The vectors of what guides a model in a round: a snapshot of the round's start.

    Args:
        training: The co-training; the rounds before are done.
        number: The round.
        key: The model that is guided.
    """
    run, config = training.prepared.runs[key], training.prepared.config
    if number == 1:
        # What the models were before belongs to the user, and so do their vectors: other runs find them.
        [work] = run.guides
        assert not isinstance(work, PreparedVectors), "a model guides"
    else:
        guide = config.guide_of(key)
        name = average_name(guide) if config.variant == "ema" else guide
        own = run.config.model_copy(update={"store": training.folder.store})
        work = prepare_guide(own, str(training.folder.round(number - 1) / name), run.train)
    started = time.perf_counter()
    vectors = do_work(work, training.console, workers=run.config.guide_workers)
    record = GuideRecord(
        model=model_record(work.guide, vectors.lengths()),
        store=str(work.store.folder),
        texts=work.plan.distinct,
        encoded=len(work.missing),
        seconds=round(time.perf_counter() - started, 3),
    )
    return vectors, record


def model_after(training: CoTraining, number: int, key: ModelKey) -> EmbeddingModel:
    """A fresh copy of a model as it was after a round; 0 for before the first.

    Args:
        training: The co-training; that round is done.
        number: The round.
        key: The model.
    """
    run = training.prepared.runs[key]
    return load_student(
        run.config if number == 0 else snapshot_config(run, str(training.folder.round(number) / key))
    )


def round_plan(plan: TrainingPlan, number: int) -> TrainingPlan:
    """How to train in a round: each has batches of its own.

    Args:
        plan: The plan of the first.
        number: The round.
    """
    seed = (plan.batches.seed + number - 1) % _SEEDS
    return replace(plan, batches=replace(plan.batches, seed=seed))


def dev_score(training: CoTraining, model: EmbeddingModel, stage: str) -> Interval:
    """What the best round is chosen by.

    Args:
        training: The co-training.
        model: The model to score.
        stage: What the progress bar is called.
    """
    dev = training.prepared.dev
    with training.console.stage(stage, len(dev.queries) + len(dev.documents), passing=True) as progress:
        return mean_interval(score(dev, rank(model, dev, progress))[METRICS[0]])


def round_line(training: CoTraining, number: int) -> str:
    """What a round gave, for a person."""
    record = training.journal.record
    parts = []
    for key in record.runs:
        scores = [one.dev.mean for one in record.of(key)]
        parts.append(f"{key} {scores[number - 1]:.3f} → {scores[number]:.3f}")
    return f"round {number}: {record.metric} on dev: {', '.join(parts)}"


def _train(
    training: CoTraining,
    stage: str,
    student: EmbeddingModel,
    guide: GuideVectors,
    plan: TrainingPlan,
    number: int,
    key: ModelKey,
) -> tuple[TrainingOutcome, float]:
    """Train in place; the outcome, and how long it took in this process."""
    run, folder, console = training.prepared.runs[key], training.folder, training.console
    started = time.perf_counter()
    with console.stage(stage, plan.steps) as progress:
        done = 0

        def on_step(step: int) -> None:
            nonlocal done
            progress(step - done)
            done = step

        def on_finding(finding: TrainingFinding) -> None:
            if finding.severity != "error":  # which stops the training, and is said then
                console.warn(f"{stage}: {finding.what} {finding.advice}")

        outcome = train_student(
            student,
            run.train,
            [guide],
            plan,
            tokens=run.tokens,
            checkpoints=folder.checkpoints(number, key),
            logs=folder.logs(number, key),
            # Nothing is there that isn't of this very training.
            resume=True,
            on_step=on_step,
            on_interrupt=lambda: console.say("stopping after this step; once more stops at once"),
            on_finding=on_finding,
            warn=console.warn,
        )
    if not outcome.finished:
        raise Terminated if outcome.terminated else KeyboardInterrupt
    return outcome, round(time.perf_counter() - started, 3)


def _save_average(training: CoTraining, number: int, key: ModelKey, model: EmbeddingModel) -> None:
    """Save the moving average of a model after a round, beside the model."""
    folder, run = training.folder, training.prepared.runs[key]
    name = average_name(key)
    before = run.config if number == 1 else snapshot_config(run, str(folder.round(number - 1) / name))
    average = load_student(before)
    move_average(average, model, training.prepared.config.decay)
    save_whole(average, folder.in_hand(number) / name)
