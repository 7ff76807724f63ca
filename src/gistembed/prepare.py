"""What a run needs before anything is written: its data, split, models and sizes, read and checked."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int32

from gistembed.batches import BatchPlan, text_lengths
from gistembed.config import RunConfig
from gistembed.console import Console
from gistembed.errors import UserError
from gistembed.evaluate import FEWEST_QUERIES, RETENTION_NAME, RetrievalTask, retention_path
from gistembed.guide import (
    EncodingPlan,
    EndpointGuide,
    Guide,
    GuideIdentity,
    GuideStore,
    GuideVectors,
    default_store,
    given_identity,
    given_vectors,
    is_endpoint,
    is_given,
    open_guide,
    plan_encoding,
)
from gistembed.mask import MaskPolicy, policy_from_settings
from gistembed.models import EmbeddingModel, load_model
from gistembed.pairs import Pairs, hold_out, read_pairs, without_texts
from gistembed.record import SplitRecord
from gistembed.terms import DataSet
from gistembed.train import TrainingPlan, training_arguments

# The default batch is halved for little data, so that an epoch has some steps to learn in.
_LARGEST_BATCH, _SMALLEST_BATCH, _FEWEST_STEPS = 128, 16, 16
_DEFAULT_RATES = {"static": 2e-3}
_DEFAULT_RATE = 2e-5


@dataclass(frozen=True)
class PreparedGuide:
    """The guide with its store, and the texts that it will be asked about.

    Attributes:
        model: The guide.
        store: Where its vectors are kept.
        plan: The texts.
        missing: How many of them this view of the store lacks.
        lengths: Tokens of each text.
    """

    model: Guide
    store: GuideStore
    plan: EncodingPlan
    missing: int
    lengths: Int32[np.ndarray, " texts"]

    @property
    def identity(self) -> str:
        """The guide's own."""
        return self.model.identity


@dataclass(frozen=True)
class PreparedVectors:
    """A file of vectors in the place of a guide.

    Attributes:
        path: The file.
        identity: A digest of it.
        vectors: The vectors of all texts.
        texts: How many texts need one, a text in both roles counting once.
    """

    path: str
    identity: str
    vectors: GuideVectors
    texts: int


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
        student: The model before training.
        lengths: Tokens of each text as the student reads it.
        guide: The guide; None for a run without.
        plan: How to train.
        warnings: What the user should know.
    """

    config: RunConfig
    pairs: Pairs
    eval_pairs: Pairs | None
    split: SplitRecord
    train: Pairs
    tasks: Mapping[DataSet, RetrievalTask]
    student: EmbeddingModel
    lengths: Int32[np.ndarray, " texts"]
    guide: PreparedGuide | PreparedVectors | None
    plan: TrainingPlan
    warnings: list[str]


def prepare_run(config: RunConfig, console: Console) -> PreparedRun:
    """Read, split, load and check; nothing is written.

    Raises:
        UserError: If anything about the run is not as it should be.
    """
    warnings = config.ignored()
    for warning in warnings:
        console.warn(warning)
    if isinstance(config.data, str | os.PathLike):
        console.say(f"reading {os.fspath(config.data)}")
    pairs = read_pairs(config.data, columns=config.columns)
    console.say(_columns_line(pairs))
    train, held_out, eval_pairs, split = _split(config, pairs)
    retention = read_pairs(retention_path() if config.retention is None else config.retention)
    held_out_task = RetrievalTask.from_pairs(held_out, held_out.source)
    if len(held_out_task.queries) < FEWEST_QUERIES:
        warnings.append(
            f"{len(held_out_task.queries)} held-out queries are too few for a verdict; give more with --eval"
        )
        console.warn(warnings[-1])
    sizes = _sizes(config, train)
    student = load_student(config)
    rate = config.learning_rate or _DEFAULT_RATES.get(student.kind, _DEFAULT_RATE)
    guide: PreparedGuide | PreparedVectors | None = None
    if config.loss == "guided":
        assert config.guide is not None, "the configuration refuses a guided run without a guide"
        for warning in _ignored_by_guide(config, config.guide):
            warnings.append(warning)
            console.warn(warning)
        if is_given(config.guide):
            guide = _prepare_vectors(config.guide, train)
        else:
            guide = _prepare_guide(config, config.guide, train, console)
    resolved = config.model_copy(update=sizes | {"learning_rate": rate})
    plan = _training_plan(resolved, train)
    # Names and values of the user's own trainer arguments are checked now, not after the guide's long work.
    training_arguments(plan, config.out)
    return PreparedRun(
        config=resolved,
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
        student=student,
        lengths=_lengths(student, train, console),
        guide=guide,
        plan=plan,
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


def plan_lines(run: PreparedRun) -> str:
    """What a run is going to do, for a person to check."""
    plan, split = run.plan, run.split
    lines = [
        f"training on {split.train_pairs:,} pairs; {split.held_out_pairs:,} held out; "
        f"{split.dropped_pairs:,} left out because they share a text with those",
        f"student {run.student.name}: {run.student.kind}, {run.student.parameters / 1e6:.1f}M parameters",
    ]
    if isinstance(run.guide, PreparedVectors):
        lines.append(f"guide: the vectors of {run.guide.texts:,} texts are in {run.guide.path}")
    elif run.guide is not None:
        lines.append(
            f"guide {run.guide.model.name}: "
            f"{run.guide.missing:,} texts to encode; "
            f"vectors are kept in {run.guide.store.folder}"
        )
        endpoint = run.guide.model
        if isinstance(endpoint, EndpointGuide):
            estimate = run.guide.plan.estimate(endpoint, run.guide.store, run.train, run.config.guide_price)
            lines.append(f"to be sent: {estimate}")
    lines.append(
        f"{plan.steps:,} steps of {plan.batches.batch_size:,} pairs; "
        f"{negatives_per_row(run):,} negatives for each query before the mask"
    )
    return "\n".join(lines)


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


def _columns_line(pairs: Pairs) -> str:
    columns = pairs.columns
    roles = {"anchor": (columns.anchor,), "positive": columns.positive, "negative": columns.negatives}
    used = ", ".join(f"{role} = {' + '.join(names)}" for role, names in roles.items() if names)
    ignored = f"; not used: {', '.join(columns.ignored)}" if columns.ignored else ""
    return f"{pairs.source}: {len(pairs):,} pairs from {pairs.rows_read:,} rows; columns: {used}{ignored}"


def _split(config: RunConfig, pairs: Pairs) -> tuple[Pairs, Pairs, Pairs | None, SplitRecord]:
    """Training pairs, held-out pairs, the user's own evaluation pairs, and how it was done."""
    if config.eval is None:
        split = hold_out(pairs, share=config.holdout, seed=config.seed)
        record = SplitRecord(
            method=split.method,
            train_pairs=len(split.train),
            held_out_pairs=len(split.held_out),
            dropped_pairs=len(split.dropped),
            components=split.components,
            largest_component=split.largest,
        )
        return pairs.take(split.train), pairs.take(split.held_out), None, record
    given = read_pairs(config.eval, columns=config.columns, texts=pairs.texts)
    kept = without_texts(pairs, given.text_ids())
    if not len(kept):
        raise UserError(
            f"{pairs.source}: no pair is left to train on, because each shares a text with {given.source}"
        )
    record = SplitRecord(
        method="given",
        train_pairs=len(kept),
        held_out_pairs=len(given),
        dropped_pairs=len(pairs) - len(kept),
        components=0,
        largest_component=0,
    )
    return pairs.take(kept), given, given, record


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
    steps = config.steps or max(1, round(config.epochs * (len(train) // batch_size) / batches_per_step))
    return {"batch_size": batch_size, "steps": steps}


def default_batch_size(pairs: int) -> int:
    """128 pairs, or half of that as often as it takes to give an epoch 16 steps, but not below 16."""
    size = _LARGEST_BATCH
    while size > _SMALLEST_BATCH and pairs < size * _FEWEST_STEPS:
        size //= 2
    return min(size, pairs)


def _lengths(model: EmbeddingModel, train: Pairs, console: Console) -> Int32[np.ndarray, " texts"]:
    with console.stage(
        f"count tokens, {Path(model.name).name}", len(train.text_ids()), passing=True
    ) as progress:
        return text_lengths(model, train, progress)


def _ignored_by_guide(config: RunConfig, guide: str) -> list[str]:
    """Settings that have no effect on this kind of guide, as warnings."""
    of_endpoints = ("guide_dimensions", "guide_requests_per_minute", "guide_price")
    ignored: tuple[str, ...] = ()
    if is_given(guide):
        ignored = ("guide_prompts", "guide_max_length", "store", *of_endpoints)
    elif not is_endpoint(guide):
        ignored = ("guide_price",)
    given = config.model_fields_set
    kind = "a file of vectors" if is_given(guide) else "a model"
    return [f"{name} is ignored, because the guide is {kind}" for name in ignored if name in given]


def _prepare_vectors(path: str, train: Pairs) -> PreparedVectors:
    vectors = given_vectors(path, train)
    return PreparedVectors(path, given_identity(path), vectors, len(train.text_ids()))


def _prepare_guide(config: RunConfig, name: str, train: Pairs, console: Console) -> PreparedGuide:
    model = open_guide(
        name,
        prompts=config.guide_prompts,
        max_length=config.guide_max_length,
        dimensions=config.guide_dimensions,
        requests_per_minute=config.guide_requests_per_minute,
    )
    identity = GuideIdentity(model.identity, model.max_length, model.dimensions)
    store = GuideStore(Path(config.store or default_store()), identity, model.name)
    plan = plan_encoding(model, train)
    missing = plan.missing_count(store)
    if missing:
        store.check_writable()
    if isinstance(model, EndpointGuide):
        # How it splits texts into tokens is for the endpoint to know.
        lengths = np.zeros(len(train.texts), dtype=np.int32)
    else:
        lengths = _lengths(model, train, console)
    return PreparedGuide(model, store, plan, missing, lengths)


def _training_plan(config: RunConfig, train: Pairs) -> TrainingPlan:
    assert config.batch_size is not None
    assert config.steps is not None
    assert config.learning_rate is not None
    return TrainingPlan(
        batches=BatchPlan(len(train), config.batch_size, config.seed),
        steps=config.steps,
        learning_rate=config.learning_rate,
        warmup=config.warmup,
        temperature=config.temperature,
        policy=_mask_policy(config, train),
        hardness_mode=config.hardness_mode,
        hardness_strength=config.hardness_strength,
        kernel=config.kernel,
        trainer=config.trainer,
    )


def _mask_policy(config: RunConfig, train: Pairs) -> MaskPolicy:
    """The policy that the configuration asks for, as far as it can be had in this run."""
    try:
        policy = policy_from_settings(config.mask_settings())
    except ValueError as error:
        raise UserError(f"[mask] {error}") from error
    if policy.scorer == "student":
        raise UserError("[mask] scorer: a run asks its guide; leave it out")
    if policy.guide_vote != "mean":
        raise UserError("[mask] guide_vote: a run has one guide; leave it out")
    if policy.compat == "sentence-transformers" and (config.loss == "infonce" or config.compare_unguided):
        raise UserError("[mask] compat: those numbers need a guide; train without one in a run of its own")
    without = int((train.negative_offsets[1:] == train.negative_offsets[:-1]).sum())
    if policy.negatives == "explicit" and without:
        raise UserError(
            f"[mask] negatives: {without:,} of {len(train):,} training pairs have no negative of their own"
        )
    return policy
