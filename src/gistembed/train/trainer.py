"""sentence-transformers' Trainer with our batch plan, our metrics in its log, and no pickled arguments."""

from typing import Any

import torch
from sentence_transformers import SentenceTransformerTrainer
from torch.utils.data import DataLoader, Sampler

from gistembed.batches import BatchPlan, PlanSampler
from gistembed.errors import UserError
from gistembed.loss import NotFiniteError
from gistembed.models import ran_out_of_memory
from gistembed.train.gradients import average_gradients
from gistembed.train.memory import BeforeStep
from gistembed.train.module import BatchLoss

NOT_FINITE = "training stopped: {what} is not finite at step {step}; try a lower --learning-rate"


class PlanTrainer(SentenceTransformerTrainer):
    """A trainer whose batches come from a `BatchPlan`."""

    def __init__(self, *, plan: BatchPlan, loss: BatchLoss, ranks: int = 1, **options: Any) -> None:  # noqa: ANN401
        """Set up training.

        Args:
            plan: Which pairs meet in which batch.
            loss: The loss, which also gathers the metrics.
            ranks: How many processes share each batch.
            options: Everything else that `SentenceTransformerTrainer` takes.
        """
        self._plan = plan
        self._batch_loss = loss
        self._ranks = ranks
        super().__init__(loss=loss, **options)

    def get_batch_sampler(self, *_: object, **__: object) -> Sampler[list[int]]:  # type: ignore[override]
        """The plan's batches, whatever the arguments ask for."""
        return PlanSampler(self._plan)

    def training_step(self, *arguments: Any, **options: Any) -> torch.Tensor:  # noqa: ANN401
        """One batch forward and backward.

        Raises:
            UserError: If its loss or an embedding is not finite; nothing is saved then.
        """
        self._batch_loss.step = self.state.global_step
        try:
            loss = self._step_within_memory(*arguments, **options)
        except NotFiniteError as error:
            raise UserError(
                NOT_FINITE.format(what="an embedding", step=self.state.global_step + 1)
            ) from error
        if not torch.isfinite(loss):
            raise UserError(NOT_FINITE.format(what="the loss", step=self.state.global_step + 1))
        return loss

    def get_train_dataloader(self) -> DataLoader[Any]:
        """The plan's batches; each process gets all of them, and takes its share of each."""
        if self._ranks == 1:
            return super().get_train_dataloader()
        loader: DataLoader[Any] = self._build_dataloader(
            self.train_dataset, self.args.train_batch_size, dataset_kind="train"
        )
        # The trainer asks for it, and only loaders that deal batches out to the processes have it.
        loader.set_epoch = loader.batch_sampler.set_epoch  # type: ignore[union-attr]
        self._train_dataloader = loader
        return loader

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

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """The model alone: the arguments that the Trainer pickles beside it can hold secrets."""
        assert output_dir is not None, "checkpoints are the only thing that is saved here"
        self.model.save_pretrained(output_dir, create_model_card=False)
