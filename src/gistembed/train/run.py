"""One training run: from a student, pairs and the guide's vectors to a trained student and its history."""

import copy
import difflib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformerTrainingArguments
from transformers import PrinterCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.integrations.integration_utils import get_reporting_integration_callbacks

from gistembed.batches import BatchPlan, PairCollator, RowNumbers, TokenCache
from gistembed.errors import UserError
from gistembed.files import library_writes
from gistembed.guide import GuideVectors
from gistembed.mask import MaskPolicy
from gistembed.models import EmbeddingModel, memory_errors, no_progress_bars, release_memory
from gistembed.pairs import Pairs
from gistembed.ranks import any_of_all, rank, ranks
from gistembed.record import StepRecord, TrainingFinding
from gistembed.signals import StopRequest, stops_after_step
from gistembed.terms import HardnessMode, Kernel
from gistembed.train.adapt import Adaptation, adapt
from gistembed.train.as_used import copy_whole, forget_precision, precise, whole
from gistembed.train.best import KeepBest
from gistembed.train.checkpoints import newest_checkpoint, whole_checkpoint
from gistembed.train.encoder import MicroBatchEncoder
from gistembed.train.feasible import check_feasible, checkpoint_activations, current_name
from gistembed.train.guards import Guards
from gistembed.train.history import step_records
from gistembed.train.memory import default_graph_bytes
from gistembed.train.module import BatchLoss
from gistembed.train.packing import texts_of_training
from gistembed.train.snapshot import load_weights
from gistembed.train.trainer import PlanTrainer

_LOGGED_POINTS = 60

# What this module decides itself, and what to do instead.
_DECIDED = "gistembed depends on its value; leave it out"
_EVALUATED_APART = "the model is evaluated before and after training; leave it out"
_RESERVED = {
    "output_dir": "set `out` instead",
    "per_device_train_batch_size": "set `batch_size` instead",
    "num_train_epochs": "set `epochs` instead",
    "max_steps": "set `steps` instead",
    "learning_rate": "set `learning_rate` instead",
    "warmup_steps": "set `warmup` instead",
    "seed": "set `seed` instead",
    "batch_sampler": "batches follow from `batch_size` and `seed`; leave it out",
    "prompts": "set `student_prompts` instead",
    "eval_strategy": _EVALUATED_APART,
    "eval_on_start": _EVALUATED_APART,
    "save_strategy": "set `save_every` instead",
    "neftune_noise_alpha": "students of sentence-transformers have no place for the noise; leave it out",
    "load_best_model_at_end": _EVALUATED_APART,
    "resume_from_checkpoint": "give --resume instead",
    "remove_unused_columns": _DECIDED,
    "auto_find_batch_size": _DECIDED,
    "save_only_model": _DECIDED,
    "logging_nan_inf_filter": _DECIDED,
    "ignore_data_skip": _DECIDED,
    "restore_callback_states_from_checkpoint": _DECIDED,
    "push_to_hub": "push the finished model folder; leave it out",
    "hub_token": "it would be written into the run's record; leave it out",
}


@dataclass(frozen=True)
class TrainingPlan:
    """How to train.

    Attributes:
        batches: Which pairs meet in which batch.
        steps: Optimizer steps.
        learning_rate: Peak learning rate.
        warmup: Share of the steps in which the learning rate rises; afterwards it falls to 0.
        temperature: τ of the loss.
        policy: Blocks and rules of the mask.
        trainer: Further arguments of `SentenceTransformerTrainingArguments`, by name.
        hardness_mode: Which candidates get extra weight.
        hardness_strength: How much extra weight.
        kernel: What makes the scores; see `guided_contrastive_loss`.
        task_policies: Policies of tasks that have one of their own, by number of the task.
        micro_batch_tokens: Tokens, padding included, that go through the student at once; see `PairCollator`.
        padding_free: Whether texts go through the student without padding; by default on CUDA, where that can
            be had and gives the same.
        graph_bytes: What the graphs of a batch may take; see `MicroBatchEncoder`. Half of the memory that is
            free when training starts, by default.
        save_every: When a checkpoint is written: after so many steps, or so much time.
        adaptation: How much of the student is trained.
        dims: Matryoshka: the leading dimensions that the loss is summed over; None for all at once.
        dim_weights: Weight of each of these; 1 by default.
    """

    batches: BatchPlan
    steps: int
    learning_rate: float
    warmup: float
    temperature: float
    policy: MaskPolicy
    trainer: Mapping[str, Any] = field(default_factory=dict)
    hardness_mode: HardnessMode | None = None
    hardness_strength: float = 0.0
    kernel: Kernel = "auto"
    task_policies: Mapping[int, MaskPolicy] = field(default_factory=dict)
    micro_batch_tokens: int | None = None
    padding_free: bool | None = None
    graph_bytes: int | None = None
    save_every: int | timedelta = timedelta(minutes=5)
    adaptation: Adaptation = field(default_factory=Adaptation)
    dims: tuple[int, ...] | None = None
    dim_weights: tuple[float, ...] | None = None

    @property
    def scheduled(self) -> bool:
        """Whether the mask changes with the step."""
        policies = (self.policy, *self.task_policies.values())
        return any(policy.at_step(0) != policy.at_step(self.steps) for policy in policies)


@dataclass(frozen=True)
class TrainingOutcome:
    """What a run gave; the student itself was trained in place.

    Attributes:
        finished: Whether all steps are done, or all that it took to see that no better model comes.
        interrupted: Whether the user asked to stop; if not finished, a checkpoint was written then.
        terminated: Whether it was SIGTERM that asked.
        steps: Optimizer steps done, those of resumed runs included.
        pairs_per_second: Speed in this process.
        history: Logged points, those of resumed runs included.
        micro_batches: Parts in which the last batch went through the student.
        replayed: Those of them that were computed twice, to take less memory.
        padding_free: Whether texts went through the student without padding.
    """

    finished: bool
    interrupted: bool
    terminated: bool
    steps: int
    pairs_per_second: float
    history: list[StepRecord]
    micro_batches: int
    replayed: int
    padding_free: bool


def train_student(
    student: EmbeddingModel,
    pairs: Pairs,
    guides: Sequence[GuideVectors],
    plan: TrainingPlan,
    *,
    tokens: TokenCache,
    checkpoints: Path,
    logs: Path,
    resume: bool,
    best: KeepBest | None = None,
    on_step: Callable[[int], None] = lambda step: None,
    on_interrupt: Callable[[], None] = lambda: None,
    on_finding: Callable[[TrainingFinding], None] = lambda finding: None,
    warn: Callable[[str], None] = lambda line: None,
) -> TrainingOutcome:
    """Train the student in place; with LoRA, the adapters that it gets stay in it.

    Args:
        student: The model to train.
        pairs: The training pairs.
        guides: Vectors of all their texts by each guide; none to train without one, or where the plan's
            policy lets the student score.
        plan: How to train.
        tokens: What the student reads for the texts of the pairs.
        checkpoints: Folder for checkpoints; one is written from time to time and on interruption.
        logs: Folder for TensorBoard, if the plan asks for it.
        resume: Whether to go on from the newest whole checkpoint, if there is one.
        best: What watches for the best model; the student is that model in the end. None to take the last.
        on_step: Called with the number of steps done.
        on_interrupt: Called when the user asks to stop.
        on_finding: Called with each trouble that is noticed, the one that stops the training included.
        warn: Told of checkpoints that can't be used, and why texts are padded where they would not be.

    Raises:
        UserError: If a trainer argument is unknown, reserved or not to be had, the student can't be adapted
            as planned, has nothing to train or can't do without padding as asked, anything is not finite (the
            rows are named), or memory runs out.
        OSError: If a checkpoint can't be written.
    """
    # Of a training before this one, say: what is free is measured below.
    release_memory(student.model.device)
    adapt(student.model, plan.adaptation)
    arguments = training_arguments(plan, checkpoints)
    check_feasible(student.model, arguments)
    checkpoint_activations(student.model, arguments)
    sharded = bool(arguments.fsdp)
    # Sharding takes a model apart for good: a copy is trained, and the student gets its weights in the end.
    model = copy.deepcopy(student.model) if sharded else student.model
    encoder = MicroBatchEncoder(_graph_bytes(plan, student, sharded=sharded))
    loss = BatchLoss(
        model,
        guides,
        plan.policy,
        plan.temperature,
        task_policies=plan.task_policies,
        hardness_mode=plan.hardness_mode,
        hardness_strength=plan.hardness_strength,
        kernel=plan.kernel,
        dims=plan.dims,
        dim_weights=plan.dim_weights,
        encoder=encoder,
        rank=rank(),
        ranks=ranks(),
    )
    checkpoint = newest_checkpoint(checkpoints, warn) if resume else None
    guards = Guards(student, pairs, on_finding)
    with memory_errors("choose shorter texts by student_max_length"):
        guards.before(plan.batches, guides, plan.temperature, arguments)
    with (
        texts_of_training(
            student, model, pairs, tokens, arguments, wanted=plan.padding_free, say=warn
        ) as texts,
        _tensorboard_in(logs),
        stops_after_step(on_interrupt) as stop,
    ):
        started = time.perf_counter()
        steps = _StepCallback(plan.save_every, stop, on_step)
        trainer = PlanTrainer(
            plan=plan.batches,
            loss=loss,
            guards=guards,
            ranks=ranks(),
            best=best,
            model=model,
            args=arguments,
            train_dataset=RowNumbers.up_to(len(pairs)),
            data_collator=PairCollator(
                student,
                pairs,
                texts,
                micro_batch_tokens=plan.micro_batch_tokens,
                rank=rank(),
                ranks=ranks(),
                equal_passes=sharded,
            ),
            callbacks=[best, steps] if best else [steps],
        )
        trainer.remove_callback(PrinterCallback)
        assert trainer.is_fsdp_enabled == sharded, "check_feasible refuses what would not be sharded"
        if best is not None:
            best.as_used = lambda: whole(trainer.model, student) if sharded else precise(model)
        with (
            no_progress_bars(),
            library_writes(checkpoints),
            memory_errors("choose a smaller --batch-size, or shorter texts by student_max_length"),
        ):
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if sharded:
        copy_whole(trainer.model, student)
    forget_precision(model)
    history = step_records(trainer.state.log_history)
    if trainer.is_over:
        guards.finished(history, trainer.state.global_step, scheduled=plan.scheduled)
        if best is not None and best.step not in (None, trainer.state.global_step):
            load_weights(student.model, whole_checkpoint(checkpoints, best.step))
    pairs_here = steps.steps_here * arguments.gradient_accumulation_steps * plan.batches.batch_size
    return TrainingOutcome(
        finished=trainer.is_over,
        interrupted=bool(stop),
        terminated=stop.terminated,
        steps=trainer.state.global_step,
        pairs_per_second=pairs_here / max(time.perf_counter() - started, 1e-9),
        history=history,
        micro_batches=encoder.kept + encoder.replayed,
        replayed=encoder.replayed,
        padding_free=texts.packs,
    )


def _graph_bytes(plan: TrainingPlan, student: EmbeddingModel, *, sharded: bool) -> int:
    if sharded:
        # Processes that hold parts of the weights for each other must keep and replay alike.
        return 0
    return default_graph_bytes(student.model) if plan.graph_bytes is None else plan.graph_bytes


@contextmanager
def _tensorboard_in(folder: Path) -> Iterator[None]:
    """Where TensorBoard's files go, unless the user's environment says otherwise.

    The trainer would put them beside the checkpoints, which are gone when a run is finished.
    """
    name = "TENSORBOARD_LOGGING_DIR"
    if name in os.environ:
        yield
        return
    os.environ[name] = str(folder)
    try:
        yield
    finally:
        del os.environ[name]


def training_arguments(plan: TrainingPlan, checkpoints: Path) -> SentenceTransformerTrainingArguments:
    """The plan as the trainer's arguments.

    Raises:
        UserError: If a trainer argument is unknown, or one that has a name of its own in our configuration.
    """
    known = {argument.name for argument in fields(SentenceTransformerTrainingArguments) if argument.init}
    for name in plan.trainer:
        if name in _RESERVED:
            raise UserError(f"[trainer] {name}: {_RESERVED[name]}")
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean `{near[0]}`?" if near else ""
            raise UserError(f"[trainer] {name}: no training argument of sentence-transformers{hint}")
    options: dict[str, Any] = {
        "warmup_steps": plan.warmup,
        "logging_steps": max(1, plan.steps // _LOGGED_POINTS),
        "logging_nan_inf_filter": False,
        "save_strategy": "no",
        "save_total_limit": 2,
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_pin_memory": torch.cuda.is_available(),
        # Said outright, because lower precision on a CPU is refused where it is not.
        "use_cpu": not torch.accelerator.is_available(),
    }
    try:
        arguments = SentenceTransformerTrainingArguments(
            output_dir=str(checkpoints),
            max_steps=plan.steps,
            per_device_train_batch_size=plan.batches.batch_size,
            learning_rate=plan.learning_rate,
            seed=plan.batches.seed,
            remove_unused_columns=False,
            **(options | {current_name(name, known): value for name, value in plan.trainer.items()}),
        )
        # Made only to see whether the trackers that the user wants are there; the trainer makes its own.
        trackers = get_reporting_integration_callbacks(arguments.report_to)  # type: ignore[no-untyped-call]
        for tracker in trackers:
            tracker()
    except (TypeError, ValueError, RuntimeError, ImportError) as error:
        raise UserError(f"[trainer] {str(error).splitlines()[0]}") from error
    # Of several GPUs that one process sees, the trainer would give each an equal share of the rows of all
    # inputs, which need not be texts. Several GPUs are for several processes.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


class _StepCallback(TrainerCallback):
    """Reports steps, asks for a checkpoint from time to time, and stops the run when told to."""

    def __init__(
        self, save_every: int | timedelta, stop: StopRequest, on_step: Callable[[int], None]
    ) -> None:
        self.steps_here = 0
        self._save_every = save_every
        self._stop = stop
        self._on_step = on_step
        self._last_save = time.monotonic()

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **_: object,
    ) -> None:
        """After every optimizer step."""
        self.steps_here += 1
        self._on_step(state.global_step)
        # One process may be told to stop, or find that it is time, a step before another.
        stop = any_of_all(bool(self._stop))
        if any_of_all(self._due(state.global_step)) or stop:
            control.should_save = True
        if stop:
            control.should_training_stop = True
            self._stop.heard()

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """After every checkpoint, whoever asked for it."""
        self._last_save = time.monotonic()

    def _due(self, step: int) -> bool:
        if isinstance(self._save_every, int):
            return step % self._save_every == 0
        return time.monotonic() - self._last_save > self._save_every.total_seconds()
