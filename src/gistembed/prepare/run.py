"""What a run needs before anything is written: its data, split, models and sizes, read and checked."""

from collections.abc import Mapping
from dataclasses import dataclass

from gistembed.batches import TokenCache
from gistembed.config import RunConfig
from gistembed.console import Console
from gistembed.evaluate import FEWEST_QUERIES, RETENTION_NAME, RetrievalTask, retention_path
from gistembed.guide import GuideWork
from gistembed.models import EmbeddingModel
from gistembed.pairs import Pairs, read_pairs
from gistembed.pairs.wording import counted
from gistembed.prepare.dev import choose_dev, metric_of
from gistembed.prepare.guides import PreparedVectors, guides_of, ignored_by_guides, prepare_guides
from gistembed.prepare.pairs import ReadSettings, read_data, split_pairs
from gistembed.prepare.plan import resolve, training_plan
from gistembed.prepare.student import adaptation_of, examine_pairs, load_student, read_tokens
from gistembed.record import AdaptationRecord, Finding, SplitRecord
from gistembed.terms import DataSet
from gistembed.train import TrainingPlan, check_feasible, check_padding_free, training_arguments


@dataclass(frozen=True)
class RunPairs:
    """The pairs of a run, read and split.

    Attributes:
        pairs: All pairs that were read.
        eval_pairs: The user's own evaluation pairs, if given.
        split: How the held-out pairs were chosen.
        train: The pairs to train on.
        tasks: What models are scored on, by name: ``held-out``, then ``retention``.
        dev: What the best model is chosen by; None to keep that of the last step.
        warnings: What the user should know.
    """

    pairs: Pairs
    eval_pairs: Pairs | None
    split: SplitRecord
    train: Pairs
    tasks: Mapping[DataSet, RetrievalTask]
    dev: RetrievalTask | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class PreparedRun:
    """A run that is ready to start.

    Attributes:
        config: The configuration, with every default that depends on data or models filled in.
        pairs: All pairs that were read.
        eval_pairs: The user's own evaluation pairs, if given.
        split: How the held-out pairs were chosen.
        train: The pairs to train on.
        tasks: What the models are scored on, by name: ``held-out``, then ``retention``.
        dev: What the best model is chosen by; None to keep that of the last step.
        student: The model before training.
        adaptation: What of it is trained; None if it is all of it.
        tokens: What the student reads for each training text.
        guides: The guides; none for a run without, or for a student that is its own.
        plan: How to train.
        findings: What the doctor found in the training pairs, the worst first.
        warnings: What the user should know.
    """

    config: RunConfig
    pairs: Pairs
    eval_pairs: Pairs | None
    split: SplitRecord
    train: Pairs
    tasks: Mapping[DataSet, RetrievalTask]
    dev: RetrievalTask | None
    student: EmbeddingModel
    adaptation: AdaptationRecord | None
    tokens: TokenCache
    guides: tuple[GuideWork | PreparedVectors, ...]
    plan: TrainingPlan
    findings: tuple[Finding, ...]
    warnings: list[str]

    @property
    def guided(self) -> bool:
        """Whether anything decides what is masked."""
        return bool(self.guides) or (self.config.guides_itself and self.config.loss == "guided")


def prepare_run(config: RunConfig, console: Console) -> PreparedRun:
    """Read, split, load, tokenise and check; nothing is written that has a name.

    Raises:
        UserError: If anything about the run is not as it should be.
    """
    if config.keep_best is not None:
        config = config.model_copy(update={"keep_best": metric_of(config.keep_best)})
    return prepare_student(config, read_and_split(config, console), console)


def read_and_split(config: RunConfig, console: Console) -> RunPairs:
    """The pairs of a run: to train on, to choose by, and to score on.

    Raises:
        UserError: If anything about them is not as it should be.
    """
    warnings = config.ignored()
    for warning in warnings:
        console.warn(warning)
    pairs = read_data(config.data, ReadSettings.of(config), console)
    if pairs.instructed:
        warnings.append(
            f"instructions that nobody reads stand in {counted(pairs.instructed, 'row')}; "
            'to put them before the texts, set instructions to "prefix"'
        )
        console.warn(warnings[-1])
    pairs, train, held_out, eval_pairs, split = split_pairs(config, pairs)
    train, dev, split = choose_dev(config, train, split)
    retention = read_pairs(retention_path() if config.retention is None else config.retention)
    held_out_task = RetrievalTask.from_pairs(held_out, held_out.source)
    if len(held_out_task.queries) < FEWEST_QUERIES:
        warnings.append(
            "too few for a verdict are held out: "
            f"{counted(len(held_out_task.queries), 'query', 'queries')}; give more with --eval"
        )
        console.warn(warnings[-1])
    return RunPairs(
        pairs=pairs,
        eval_pairs=eval_pairs,
        split=split,
        train=train,
        tasks={
            "held-out": held_out_task,
            "retention": RetrievalTask.from_pairs(
                retention, RETENTION_NAME if config.retention is None else retention.source
            ),
        },
        dev=dev,
        warnings=tuple(warnings),
    )


def prepare_student(config: RunConfig, data: RunPairs, console: Console) -> PreparedRun:
    """What a run needs besides its pairs: the student, its guides, and the plan.

    Args:
        config: The configuration.
        data: The pairs.
        console: Where progress is shown.

    Raises:
        UserError: If anything about the run is not as it should be.
    """
    train, warnings = data.train, list(data.warnings)
    student = load_student(config)
    resolved = resolve(config, train, student)
    for warning in ignored_by_guides(config, guides_of(config)):
        warnings.append(warning)
        console.warn(warning)
    guides = prepare_guides(config, train)
    plan = training_plan(resolved, train, student)
    # Names and values of the user's own trainer arguments, and what they ask of the student and the machine,
    # are checked now, not after the guide's long work.
    arguments = training_arguments(plan, config.out)
    check_feasible(student.model, arguments)
    adaptation = adaptation_of(student, plan)
    tokens = read_tokens(student, train, console)
    if plan.padding_free:
        check_padding_free(student, train, tokens, arguments)
    findings = examine_pairs(train, student, tokens, console)
    return PreparedRun(
        config=resolved,
        pairs=data.pairs,
        eval_pairs=data.eval_pairs,
        split=data.split,
        train=train,
        tasks=data.tasks,
        dev=data.dev,
        student=student,
        adaptation=adaptation,
        tokens=tokens,
        guides=guides,
        plan=plan,
        findings=findings,
        warnings=warnings,
    )
