"""sentence-transformers' Trainer with our batch plan, our metrics in its log, and no pickled arguments."""

from typing import Any

import torch
from sentence_transformers import SentenceTransformerTrainer
from torch.utils.data import Sampler

from gistembed.batches import BatchPlan, PlanSampler
from gistembed.train.guards import Guards
from gistembed.train.module import BatchLoss


class PlanTrainer(SentenceTransformerTrainer):
    """A trainer whose batches come from a `BatchPlan`."""

    def __init__(self, *, plan: BatchPlan, loss: BatchLoss, guards: Guards, **options: Any) -> None:  # noqa: ANN401
        """Set up training.

        Args:
            plan: Which pairs meet in which batch.
            loss: The loss, which also gathers the metrics.
            guards: What stops or warns the training.
            options: Everything else that `SentenceTransformerTrainer` takes.
        """
        self._plan = plan
        self._batch_loss = loss
        self._guards = guards
        loss.watch = guards.watch
        super().__init__(loss=loss, **options)
        self.add_callback(guards)

    def get_batch_sampler(self, *_: object, **__: object) -> Sampler[list[int]]:  # type: ignore[override]
        """The plan's batches, whatever the arguments ask for."""
        return PlanSampler(self._plan)

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
            loss = super().training_step(model, inputs, *arguments)
            check_loss(loss)
        return loss

    def _get_grad_norm(self, model: torch.nn.Module, grad_norm: Any = None) -> Any:  # noqa: ANN401
        """The norm that is made for the log anyway tells the guards whether all gradients are finite."""
        norm = super()._get_grad_norm(model, grad_norm)  # type: ignore[no-untyped-call]
        self._guards.gradient_norm = float(norm)
        return norm

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add the means of the loss's metrics to the log of the training loss."""
        if "loss" in logs:
            logs = logs | self._batch_loss.pop_metrics() | self._guards.pop_metrics()
        super().log(logs, start_time)

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """No generated card: it describes columns of text, and our rows are numbers. We write our own."""

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """The model alone: the arguments that the Trainer pickles beside it can hold secrets."""
        assert output_dir is not None, "checkpoints are the only thing that is saved here"
        self._guards.check_weights(self.model, self.state.global_step)
        self.model.save_pretrained(output_dir, create_model_card=False)
