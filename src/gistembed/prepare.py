"""What a run needs before anything is written: its data, split, models and sizes, read and checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from gistembed.batches import BatchPlan, TokenCache, texts_by_role
from gistembed.config import OF_GUIDES, RunConfig
from gistembed.console import Console
from gistembed.doctor import TokenCounts, examine
from gistembed.errors import UserError
from gistembed.evaluate import FEWEST_QUERIES, RETENTION_NAME, RetrievalTask, retention_path
from gistembed.guide import (
    GuideSettings,
    GuideVectors,
    GuideWork,
    column_identity,
    column_vectors,
    default_store,
    given_identity,
    given_vectors,
    is_columns,
    is_endpoint,
    is_given,
    prepare_work,
)
from gistembed.mask import MaskPolicy, policy_from_settings
from gistembed.models import EmbeddingModel, load_model
from gistembed.pairs import Pairs, read_pairs
from gistembed.pairs.wording import counted
from gistembed.prepare_dev import choose_dev, metric_of
from gistembed.prepare_pairs import ReadSettings, read_data, split_pairs, task_mix
from gistembed.record import AdaptationRecord, Finding, SplitRecord
from gistembed.terms import DataSet
from gistembed.train import Adaptation, TrainingPlan, adapt, check_feasible, remove_lora, training_arguments

# The default batch is halved for little data, so that an epoch has some steps to learn in.
_LARGEST_BATCH, _SMALLEST_BATCH, _FEWEST_STEPS = 128, 16, 16
# So many, the doctor looks through in seconds.
_EXAMINED_PAIRS = 100_000
_DEFAULT_RATES = {"static": 2e-3}
_DEFAULT_RATE = 2e-5
# Adapters start from nothing, and take larger steps than weights that know something already.
_DEFAULT_LORA_RATE = 2e-4


@dataclass(frozen=True)
class PreparedVectors:
    """Vectors that are there already, in the place of a guide.

    Attributes:
        path: The file, or the columns of the pairs' own source.
        identity: A digest of it.
        vectors: The vectors of all texts.
        texts: How many texts need one, a text in both roles counting once.
    """

    path: str
    identity: str
    vectors: GuideVectors
    texts: int


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
    for warning in _ignored_by_guides(config, guides_of(config)):
        warnings.append(warning)
        console.warn(warning)
    guides = prepare_guides(config, train)
    plan = training_plan(resolved, train, student)
    # Names and values of the user's own trainer arguments, and what they ask of the student and the machine,
    # are checked now, not after the guide's long work.
    check_feasible(student.model, training_arguments(plan, config.out))
    adaptation = _adaptation(student, plan)
    tokens = read_tokens(student, train, console)
    findings = _findings(train, student, tokens, console)
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


def load_student(config: RunConfig) -> EmbeddingModel:
    """A fresh copy of the student."""
    return load_model(
        config.student,
        option="--student",
        prompts=config.student_prompts,
        max_length=config.student_max_length,
    )


def resolve(config: RunConfig, train: Pairs, student: EmbeddingModel) -> RunConfig:
    """The configuration with the sizes and the learning rate that data and student ask for, if not given.

    Raises:
        UserError: If there are too few pairs for them.
    """
    rate = config.learning_rate or _default_rate(config, student)
    return config.model_copy(update=_sizes(config, train) | {"learning_rate": rate})


def guides_of(config: RunConfig) -> Sequence[str]:
    """Names of what guides; none for a run without, or for a student that is its own."""
    return config.guide or () if config.loss == "guided" else ()


def prepare_guides(config: RunConfig, train: Pairs) -> tuple[GuideWork | PreparedVectors, ...]:
    """What guides, and what it has to encode; nothing is written.

    Raises:
        UserError: If a guide can't be used, or given vectors aren't those of the texts.
    """
    return tuple(
        _prepare_vectors(config, name, train)
        if is_given(name) or is_columns(name)
        else prepare_guide(config, name, train)
        for name in guides_of(config)
    )


def plan_lines(run: PreparedRun) -> str:
    """What a run is going to do, for a person to check."""
    plan, split = run.plan, run.split
    tasks = run.train.task_sizes()
    lines = [
        f"training on {counted(split.train_pairs, 'pair')}; {split.held_out_pairs:,} held out; "
        f"{split.dropped_pairs:,} left out because they share a text with those",
        f"student {run.student.name}: {run.student.kind}, {run.student.parameters / 1e6:.1f}M parameters",
    ]
    if run.dev is not None:
        lines.append(
            f"the best model by {run.config.keep_best} on {counted(split.dev_pairs, 'further pair')} is kept"
        )
    if run.adaptation is not None:
        lines.append(adaptation_line(run.adaptation))
    if plan.dims is not None:
        lines.append(f"Matryoshka: embeddings of {', '.join(f'{dim:,}' for dim in plan.dims)} numbers")
    if len(tasks) > 1:
        sizes = ", ".join(f"{name or 'none'} ({size:,})" for name, size in tasks.items())
        lines.append(f"tasks: {sizes}; mixing {run.config.mixing}, batches {run.config.batches}")
    for guide in run.guides:
        if isinstance(guide, PreparedVectors):
            lines.append(f"guide: the vectors of {counted(guide.texts, 'text')} are in {guide.path}")
            continue
        lines.append(
            f"guide {guide.guide.name}: {counted(len(guide.missing), 'text')} to encode; "
            f"vectors are kept in {guide.store.folder}"
        )
        if (estimate := guide.estimate(run.config.guide_price)) is not None:
            lines.append(f"to be sent: {estimate}")
    if run.guided and not run.guides:
        lines.append("guide: the student itself, as it is at each step")
    lines.append(
        f"{counted(plan.steps, 'step')} of {counted(plan.batches.batch_size, 'pair')}; "
        f"{counted(negatives_per_row(run), 'negative')} for each query before the mask"
    )
    return "\n".join(lines)


def adaptation_line(adaptation: AdaptationRecord) -> str:
    """What of the student is trained."""
    return (
        f"{adaptation.words}: {adaptation.trained_parameters:,} of {adaptation.all_parameters:,} parameters "
        "are trained"
    )


def negatives_per_row(run: PreparedRun) -> int:
    """Candidates in a row's softmax besides its positive, before anything is excluded."""
    size = run.plan.batches.batch_size
    policy = run.plan.policy
    own = len(run.train.negative_ids) / len(run.train)
    if policy.negatives == "explicit":
        return round(own)
    blocks = policy.blocks(negatives=own > 0)
    in_batch = [block for block in blocks if block != "an"]
    return len(in_batch) * (size - 1) + (round(size * own) if "an" in blocks else 0)


def _sizes(config: RunConfig, train: Pairs) -> dict[str, Any]:
    """Batch size and steps, chosen from the data where the user didn't."""
    if config.batch_size is not None and config.batch_size > len(train):
        raise UserError(
            f"--batch-size {config.batch_size}: larger than the {len(train)} training pairs; "
            "choose a smaller one"
        )
    if len(train) < 2:
        raise UserError(f"{train.source}: {len(train)} training pair; in-batch negatives need at least 2")
    batch_size = config.batch_size or default_batch_size(len(train))
    batches_per_step = config.trainer.get("gradient_accumulation_steps", 1)
    plan = _batch_plan(config, train, batch_size)
    steps = config.steps or max(1, round(config.epochs * plan.steps_per_epoch / batches_per_step))
    return {"batch_size": batch_size, "steps": steps}


def default_batch_size(pairs: int) -> int:
    """128 pairs, or half of that as often as it takes to give an epoch 16 steps, but not below 16."""
    size = _LARGEST_BATCH
    while size > _SMALLEST_BATCH and pairs < size * _FEWEST_STEPS:
        size //= 2
    return min(size, pairs)


def _default_rate(config: RunConfig, student: EmbeddingModel) -> float:
    if config.lora is not None:
        return _DEFAULT_LORA_RATE
    return _DEFAULT_RATES.get(student.kind, _DEFAULT_RATE)


def _adaptation(student: EmbeddingModel, plan: TrainingPlan) -> AdaptationRecord | None:
    """What is going to be trained; the student is left with the weights and the embeddings that it has."""
    adaptation = adapt(student.model, plan.adaptation)
    if plan.adaptation.lora is not None:
        remove_lora(student.model)
    return adaptation


def read_tokens(student: EmbeddingModel, train: Pairs, console: Console) -> TokenCache:
    """What the student reads for each training text."""
    texts = texts_by_role(student, train.anchors, np.concatenate([train.positives, train.negative_ids]))
    count = sum(map(len, texts.values()))
    with console.stage(f"tokenise, {Path(student.name).name}", count, passing=True) as progress:
        tokens = TokenCache.read(student, train, progress)
    if tokens.uncached_because is not None:
        console.say(f"texts are tokenised anew at each step: the student {tokens.uncached_because}")
    return tokens


def _findings(
    train: Pairs, student: EmbeddingModel, tokens: TokenCache, console: Console
) -> tuple[Finding, ...]:
    """What the doctor finds in the training pairs, or in as many as he looks at in seconds."""
    drawn = np.sort(np.random.default_rng(0).permutation(len(train))[:_EXAMINED_PAIRS])
    looked_at = train.take(drawn)
    counts = []
    if student.max_length is not None:
        ids = looked_at.text_ids()
        lengths = tokens.lengths[ids].astype(np.int64)
        counts.append(TokenCounts("student", student.max_length, np.arange(len(ids)), lengths))
    findings = examine(looked_at.apart(), counts=counts)
    for finding in findings:
        if finding.severity != "note":
            example = f", as in {finding.examples[0].place}" if finding.examples else ""
            console.warn(f"{finding.what}: {finding.count:,}{example}. {finding.advice}")
    if any(finding.severity == "error" for finding in findings):
        console.warn(f"{train.source}: `gistembed data doctor` says more, and its --fix mends what it can")
    return findings


def _ignored_by_guides(config: RunConfig, names: Sequence[str]) -> list[str]:
    """Settings that have no effect on guides of these kinds, as warnings."""
    given = config.model_fields_set
    if names and all(is_given(name) or is_columns(name) for name in names):
        kind, ignored = "a file of vectors", list(OF_GUIDES)
        if is_columns(names[0]):
            kind = "columns of vectors"
    elif names and all(is_endpoint(name) for name in names):
        kind, ignored = "an endpoint", ["guide_workers"]
    elif names and not any(is_endpoint(name) for name in names):
        kind, ignored = "a model", ["guide_price"]
    else:
        return []
    what = f"the guide is {kind}" if len(names) == 1 else f"each guide is {kind}"
    return [f"{name} is ignored, because {what}" for name in ignored if name in given]


def _prepare_vectors(config: RunConfig, name: str, train: Pairs) -> PreparedVectors:
    if is_columns(name):
        if isinstance(config.data, list | tuple):
            raise UserError(
                f"--guide {name}: columns of vectors are read from one source of pairs, not from several"
            )
        vectors = column_vectors(config.data, name, train, instructions=config.instructions)
        identity = column_identity(vectors)
    else:
        vectors, identity = given_vectors(name, train), given_identity(name)
    return PreparedVectors(name, identity, vectors, len(train.text_ids()))


def prepare_guide(config: RunConfig, name: str, train: Pairs) -> GuideWork:
    """What a guide that is a model or an endpoint has to encode.

    Args:
        config: How it is asked, and where its vectors are kept.
        name: The guide.
        train: The pairs whose texts it reads.

    Raises:
        UserError: If there is no such guide, or it can't be set so.
    """
    settings = GuideSettings(
        name,
        prompts=config.guide_prompts,
        max_length=config.guide_max_length,
        dimensions=config.guide_dimensions,
        requests_per_minute=config.guide_requests_per_minute,
        backend=config.guide_backend,
    )
    return prepare_work(settings, Path(config.store or default_store()), train, dtype=config.guide_dtype)


def _batch_plan(config: RunConfig, train: Pairs, batch_size: int) -> BatchPlan:
    return BatchPlan(len(train), batch_size, config.seed, task_mix(config, train, batch_size))


def training_plan(config: RunConfig, train: Pairs, student: EmbeddingModel) -> TrainingPlan:
    """How to train, from a configuration that is resolved.

    Raises:
        UserError: If the mask, a task or a dimension can't be had with these pairs and this student.
    """
    assert config.batch_size is not None
    assert config.steps is not None
    assert config.learning_rate is not None
    dims, dim_weights = _dims(config, student)
    return TrainingPlan(
        batches=_batch_plan(config, train, config.batch_size),
        steps=config.steps,
        learning_rate=config.learning_rate,
        warmup=config.warmup,
        temperature=config.temperature,
        policy=_mask_policy(config, train),
        hardness_mode=config.hardness_mode,
        hardness_strength=config.hardness_strength,
        kernel=config.kernel,
        trainer=config.trainer,
        task_policies=_task_policies(config, train),
        micro_batch_tokens=config.micro_batch_tokens,
        graph_bytes=None if config.graph_memory_gb is None else int(config.graph_memory_gb * 1e9),
        save_every=_save_every(config),
        adaptation=Adaptation(config.lora, config.freeze, config.seed),
        dims=dims,
        dim_weights=dim_weights,
    )


def _save_every(config: RunConfig) -> int | timedelta:
    every = config.save_every
    return every if isinstance(every, int) else timedelta(seconds=float(every.removesuffix("s")))


def _dims(
    config: RunConfig, student: EmbeddingModel
) -> tuple[tuple[int, ...] | None, tuple[float, ...] | None]:
    """The leading dimensions that are trained for and their weights, the whole embedding first."""
    if not config.matryoshka:
        return None, None
    whole = student.dimensions
    if max(config.matryoshka) > whole:
        raise UserError(
            f"--matryoshka {max(config.matryoshka)}: the student's embeddings have {whole} numbers; "
            "choose fewer"
        )
    weights = config.matryoshka_weights or (1.0,) * len(config.matryoshka)
    by_dim = {whole: 1.0} | dict(zip(config.matryoshka, weights, strict=True))
    widest_first = sorted(by_dim, reverse=True)
    return tuple(widest_first), tuple(by_dim[dim] for dim in widest_first)


def _task_policies(config: RunConfig, train: Pairs) -> dict[int, MaskPolicy]:
    """The policies of tasks that have one of their own, by number."""
    unknown = [name for name in config.tasks if name not in train.task_names]
    if unknown:
        known = ", ".join(train.task_names) or "none"
        raise UserError(f"[tasks] {unknown[0]}: there is no such task; the tasks are {known}")
    return {
        train.task_names.index(name): _mask_policy(config, train, task=name)
        for name, settings in config.tasks.items()
        if settings.negatives is not None
    }


def _mask_policy(config: RunConfig, train: Pairs, task: str | None = None) -> MaskPolicy:
    """The policy that the configuration asks for, or that of a task, as far as it can be had in this run."""
    settings = config.mask_settings()
    if task is not None:
        settings |= {"negatives": config.tasks[task].negatives}
        assert train.tasks is not None, "a run without tasks has no settings of tasks"
        train = train.take(np.flatnonzero(train.tasks == train.task_names.index(task)))
    try:
        policy = policy_from_settings(settings)
    except ValueError as error:
        raise UserError(f"[mask] {error}") from error
    if policy.guide_vote != "mean" and len(config.guide or ()) < 2:
        raise UserError(
            "[mask] guide_vote: one guide has nobody to vote with; name several guides, or leave it out"
        )
    if policy.compat == "sentence-transformers" and (config.loss == "infonce" or config.compare_unguided):
        raise UserError("[mask] compat: those numbers need a guide; train without one in a run of its own")
    without = int((train.negative_offsets[1:] == train.negative_offsets[:-1]).sum())
    if policy.negatives == "explicit" and without:
        raise UserError(
            f"{'[mask]' if task is None else f'[tasks] {task}:'} negatives: {without:,} of {len(train):,} "
            "training pairs have no negative of their own"
        )
    return policy
