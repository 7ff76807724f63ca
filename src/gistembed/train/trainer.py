"""sentence-transformers' Trainer with our batch plan, our metrics in its log, and our checkpoints."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformerTrainer
from torch import nn
from torch.utils.data import DataLoader, Sampler
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME

from gistembed.batches import BatchPlan, PlanSampler
from gistembed.models import ran_out_of_memory
from gistembed.ranks import all_say
from gistembed.train.best import KeepBest
from gistembed.train.checkpoints import write_checkpoint
from gistembed.train.gradients import average_gradients
from gistembed.train.guards import Guards
from gistembed.train.memory import BeforeStep
from gistembed.train.module import BatchLoss
from gistembed.train.sharded import deal_out_optimizer, deal_out_weights, gathered
from gistembed.train.snapshot import (
    load_state,
    load_weights,
    random_state,
    save_state,
    save_weights,
    saved_weights,
    set_random_state,
    trained_tensors,
)


class PlanTrainer(SentenceTransformerTrainer):
    """A trainer whose batches come from a `BatchPlan`, and whose checkpoints are whole."""

    def __init__(
        self,
        *,
        plan: BatchPlan,
        loss: BatchLoss,
        guards: Guards,
        ranks: int = 1,
        best: KeepBest | None = None,
        **options: Any,  # noqa: ANN401
    ) -> None:
        """Set up training.

        Args:
            plan: Which pairs meet in which batch.
            loss: The loss, which also gathers the metrics.
            guards: What stops or warns the training.
            ranks: How many processes share each batch.
            best: What watches for the best model, if anything does; it is one of the callbacks too.
            options: Everything else that `SentenceTransformerTrainer` takes.
        """
        self._plan = plan
        self._batch_loss = loss
        self._guards = guards
        self._ranks = ranks
        self._best = best
        self._sampler = PlanSampler(plan)
        self._resumed: dict[str, Any] = {}
        super().__init__(loss=loss, **options)
        self.add_callback(_Resume(self))
        self.add_callback(guards)

    def get_batch_sampler(self, *_: object, **__: object) -> Sampler[list[int]]:  # type: ignore[override]
        """The plan's batches, whatever the arguments ask for."""
        return self._sampler

    def get_train_dataloader(self) -> DataLoader[Any]:
        """The plan's batches; of several processes each gets all of them, and takes its share of each.

        Workers' seeds are drawn from a generator of the loader's own, not from the one of dropout.
        """
        loader: Any
        if self._ranks == 1:
            loader = super().get_train_dataloader()
        else:
            loader = self._build_dataloader(
                self.train_dataset, self.args.train_batch_size, dataset_kind="train"
            )
            # The trainer asks for it, and only loaders that deal batches out to processes have it.
            loader.set_epoch = self._sampler.set_epoch
            self._train_dataloader = loader
        inner = getattr(loader, "base_dataloader", loader)
        inner.generator = torch.Generator().manual_seed(self._plan.seed)
        train_loader: DataLoader[Any] = loader
        return train_loader

    def training_step(
        self,
        model: torch.nn.Module,
        inputs: dict[str, Any],
        *arguments: Any,  # noqa: ANN401
    ) -> torch.Tensor:
        """One batch forward and backward.

        Raises:
            UserError: If its loss or an embedding is not finite; nothing is saved then.
        """
        self._batch_loss.step = self.state.global_step
        with self._guards.batch(inputs, self.state.global_step + 1) as check_loss:
            loss = self._step_within_memory(model, inputs, *arguments)
            check_loss(loss)
        return loss

    def _get_grad_norm(self, model: torch.nn.Module, grad_norm: Any = None) -> Any:  # noqa: ANN401
        """The norm that is made for the log anyway tells the guards whether all gradients are finite."""
        norm = super()._get_grad_norm(model, grad_norm)  # type: ignore[no-untyped-call]
        self._guards.gradient_norm = float(norm)
        return norm

    def _prepare_for_training(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        if self._ranks > 1 and not self.is_fsdp_enabled:
            # Ready for its precision and compiled, but not wrapped: gradients are exchanged below.
            self.model_wrapped = self.accelerator.prepare_model(self.model, evaluation_mode=True)
        return super()._prepare_for_training(*arguments, **options)  # type: ignore[no-untyped-call]

    def compute_loss(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        """The loss such that its mean over the processes is that of the batch."""
        return super().compute_loss(*arguments, **options) * self._ranks

    def _step_within_memory(self, *arguments: Any, **options: Any) -> torch.Tensor:  # noqa: ANN401
        """A step that is tried again with less memory where it runs out: the same batch, the same result."""
        before = BeforeStep(self.model)
        while True:
            try:
                loss = super().training_step(*arguments, **options)
                if self._ranks > 1 and self.accelerator.sync_gradients and not self.is_fsdp_enabled:
                    average_gradients(self.model.parameters())
                return loss
            except RuntimeError as error:
                # Alone it can't be tried again: the other processes are a step of communication ahead.
                if self._ranks > 1 or not ran_out_of_memory(error) or not self._batch_loss.encoder.lower():
                    raise
            # Out of the handler, where the error no longer holds on to the graph.
            self._batch_loss.undo()
            before.restore()

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the means of the loss's metrics to the log of the training loss."""
        if "loss" in logs:
            logs = logs | self._batch_loss.pop_metrics()
        super().log(logs, start_time)

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """No generated card: it describes columns of text, and our rows are numbers. We write our own."""

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left to do: all steps are done, or no better model comes."""
        stopped = self._best is not None and self._best.stopped
        return stopped or self.state.global_step >= self.args.max_steps

    def epoch_at(self, step: int) -> float:
        """How many passes over the plan are done after so many steps."""
        batches, accumulated = self._plan.steps_per_epoch, self.args.gradient_accumulation_steps
        whole, within = divmod(step - 1, -(-batches // accumulated))
        return whole + min((within + 1) * accumulated, batches) / batches

    def _run_epoch(self, **options: Any) -> None:  # type: ignore[override]  # noqa: ANN401
        """Go on within an epoch at the very batch; the base class would go through all those before it."""
        done = options["steps_trained_in_current_epoch"]
        resumed = options["resume_from_checkpoint"] is not None
        if not (resumed and options["epoch"] == options["epochs_trained"]):
            done = 0
        self._sampler.start_at(done)
        if done:
            options["steps_in_epoch"] -= done
            options["num_update_steps_per_epoch"] -= done // self.args.gradient_accumulation_steps
            options["steps_trained_in_current_epoch"] = 0
        super()._run_epoch(**options)  # type: ignore[no-untyped-call]

    def _save_checkpoint(self, model: nn.Module, trial: object) -> None:
        """Write all that this run goes on from, unless it has come to its end; see `write_checkpoint`.

        Raises:
            UserError: If a weight is not finite; nothing is saved then.
        """
        if self.is_over:
            return
        self._guards.check_weights(self.model, self.state.global_step)
        self.store_flos()
        assert self.args.output_dir is not None, "training_arguments sets it"
        # Each process has random numbers of its own.
        random_states = all_say(random_state())
        weights, optimizer = self._weights_and_optimizer()
        if self.args.should_save:
            write_checkpoint(
                Path(self.args.output_dir),
                self.state.global_step,
                lambda folder: self._write(folder, weights, optimizer, random_states),
                keep=self.args.save_total_limit,
                best_step=self._best.step if self._best else None,
            )
        self.accelerator.wait_for_everyone()

    def _weights_and_optimizer(self) -> tuple[Mapping[str, torch.Tensor], Mapping[str, Any]]:
        """What is to be written of the model and of its optimizer, in the first process at least."""
        assert self.optimizer is not None
        trained = trained_tensors(self.model)
        if not self.is_fsdp_enabled:
            return trained, self.optimizer.state_dict()
        weights, state = gathered(self.model, self._plain_optimizer())
        return {name: weights[name] for name in trained} if weights else {}, state

    def _plain_optimizer(self) -> torch.optim.Optimizer:
        """The optimizer without what accelerate puts around it."""
        assert self.optimizer is not None
        plain: torch.optim.Optimizer = getattr(self.optimizer, "optimizer", self.optimizer)
        return plain

    def _write(
        self,
        folder: Path,
        weights: Mapping[str, torch.Tensor],
        optimizer: Mapping[str, Any],
        random_states: Sequence[Mapping[str, Any]],
    ) -> None:
        assert self.lr_scheduler is not None
        save_weights(weights, folder)
        scaler = getattr(self.accelerator, "scaler", None)
        state = {
            "optimizer": optimizer,
            "scheduler": self.lr_scheduler.state_dict(),
            "scaler": scaler.state_dict() if scaler is not None else None,
            "random": random_states,
            "metrics": self._batch_loss.pending_metrics(),
            "loss": (self._tr_loss, self._total_loss_scalar, self._globalstep_last_logged),
            "best": self._best.state() if self._best else None,
        }
        save_state(state, folder)
        self.state.save_to_json(str(folder / TRAINER_STATE_NAME))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        if self.is_fsdp_enabled:
            deal_out_weights(self.model, saved_weights(self.model, Path(resume_from_checkpoint)))
        else:
            load_weights(self.model, Path(resume_from_checkpoint))
        self._resumed = load_state(Path(resume_from_checkpoint))
        if self._best and self._resumed["best"] is not None:
            self._best.resume(self._resumed["best"])

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            assert self.optimizer is not None
            assert self.lr_scheduler is not None
            if self.is_fsdp_enabled:
                deal_out_optimizer(self.model, self._plain_optimizer(), self._resumed["optimizer"])
            else:
                self.optimizer.load_state_dict(self._resumed["optimizer"])
            self.lr_scheduler.load_state_dict(self._resumed["scheduler"])

    def _load_scaler(self, checkpoint: str | None) -> None:
        scaler = getattr(self.accelerator, "scaler", None)
        if checkpoint is not None and scaler is not None and self._resumed["scaler"] is not None:
            scaler.load_state_dict(self._resumed["scaler"])

    def _load_rng_state(self, checkpoint: str | None) -> None:
        states = self._resumed.get("random", [])
        if checkpoint is not None and self.args.process_index < len(states):
            set_random_state(states[self.args.process_index])

    def _resume_log(self) -> None:
        """Go on with what was to be logged when the checkpoint was written."""
        if self._resumed:
            loss, self._total_loss_scalar, self._globalstep_last_logged = self._resumed["loss"]
            self._tr_loss = loss.to(self.args.device)
            self._batch_loss.resume_metrics(self._resumed["metrics"])
            # The rest has been taken up; an optimizer's state is twice as large as the model.
            self._resumed = {"random": self._resumed["random"]}


class _Resume(TrainerCallback):
    """Puts right what the base class begins anew in each process."""

    def __init__(self, trainer: PlanTrainer) -> None:
        self._trainer = trainer

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """After the base class has set the sums of its log to 0."""
        self._trainer._resume_log()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """After the base class has reckoned the epoch as if this process had begun it."""
        state.epoch = self._trainer.epoch_at(state.global_step)
