"""The plan of a training: sizes and rates that data and student ask for, masks, dimensions, batches."""

from datetime import timedelta
from typing import Any

import numpy as np

from gistembed.batches import BatchPlan
from gistembed.config import RunConfig
from gistembed.errors import UserError
from gistembed.mask import MaskPolicy, policy_from_settings
from gistembed.models import EmbeddingModel
from gistembed.pairs import Pairs
from gistembed.prepare.pairs import task_mix
from gistembed.train import Adaptation, TrainingPlan

# The default batch is halved for little data, so that an epoch has some steps to learn in.
_LARGEST_BATCH, _SMALLEST_BATCH, _FEWEST_STEPS = 128, 16, 16
_DEFAULT_RATES = {"static": 2e-3}
_DEFAULT_RATE = 2e-5
# Adapters start from nothing, and take larger steps than weights that know something already.
_DEFAULT_LORA_RATE = 2e-4


def resolve(config: RunConfig, train: Pairs, student: EmbeddingModel) -> RunConfig:
    """The configuration with the sizes and the learning rate that data and student ask for, if not given.

    Raises:
        UserError: If there are too few pairs for them.
    """
    rate = config.learning_rate or _default_rate(config, student)
    return config.model_copy(update=_sizes(config, train) | {"learning_rate": rate})


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
        padding_free=config.padding_free,
        graph_bytes=None if config.graph_memory_gb is None else int(config.graph_memory_gb * 1e9),
        save_every=_save_every(config),
        adaptation=Adaptation(config.lora, config.freeze, config.seed),
        dims=dims,
        dim_weights=dim_weights,
    )


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


def _batch_plan(config: RunConfig, train: Pairs, batch_size: int) -> BatchPlan:
    return BatchPlan(len(train), batch_size, config.seed, task_mix(config, train, batch_size))


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
