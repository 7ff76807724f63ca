"""Feeds the guards: takes the numbers where the trainer has them, and tells what the guards make of them."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from gistembed.batches import BatchPlan
from gistembed.errors import UserError
from gistembed.guide import GuideVectors
from gistembed.loss import GuideNotFiniteError, NotFiniteError
from gistembed.models import EmbeddingModel
from gistembed.pairs import Pairs
from gistembed.record import StepRecord, TrainingFinding
from gistembed.train.guards import findings
from gistembed.train.guards.finite import NotFinite
from gistembed.train.guards.measures import first_not_finite, mean_turn
from gistembed.train.guards.start import Probe
from gistembed.train.history import step_records
from gistembed.train.sharded import held_here

_LOWER_RATE = "try a lower --learning-rate"
# So often, at most, the logged points are looked through in a training.
_LOOKS = 60


class Guards(TrainerCallback):
    """Watches one training: warns once of each trouble, and stops at a number that is not finite.

    It takes part in no sum and draws no random number: the training is the same with it and without.

    Attributes:
        gradient_norm: The norm of all gradients of the step, for whom it saves a look at each of them; the
            trainer sets it where it knows it.
    """

    def __init__(
        self,
        student: EmbeddingModel,
        pairs: Pairs,
        notice: Callable[[TrainingFinding], None] = lambda finding: None,
    ) -> None:
        """Watch a training that is about to begin.

        Args:
            student: The model.
            pairs: The training pairs.
            notice: Is told of each finding, once.

        Raises:
            UserError: If the student has nothing to train.
        """
        if not any(parameter.requires_grad for parameter in student.model.parameters()):
            raise UserError(
                f"--student {student.name}: all of its weights are frozen; let some of them learn"
            )
        self._student = student
        self._pairs = pairs
        self._notice = notice
        self._noticed: set[str] = set()
        self._rows: list[int] = []
        self._last_rows: list[int] = []
        self._probe: Probe | None = None
        self._half = ""
        self._next_look = 0
        self.gradient_norm: float | None = None

    def before(
        self,
        batches: BatchPlan,
        guides: Sequence[GuideVectors],
        temperature: float,
        arguments: TrainingArguments,
    ) -> None:
        """Look at the first rows and at the learning rate's way.

        Args:
            batches: Which pairs meet in which batch.
            guides: Vectors of all texts by each guide.
            temperature: τ of the loss.
            arguments: What the trainer was told.
        """
        self._half = next((name for name in ("fp16", "bf16") if getattr(arguments, name)), "")
        steps = arguments.max_steps
        self._tell(findings.warm_up(steps, arguments.get_warmup_steps(steps), arguments.learning_rate))
        self._probe = Probe.first_rows(self._student, self._pairs, batches)
        if broken := self._probe.broken_rows():
            first = batches.epoch(0).ravel()
            advice = "look at these rows, or choose another --student"
            raise self._stop("the embedding is", advice, 0, first[broken].tolist(), certain=True)
        start = self._probe.start(guides, temperature)
        self._tell(findings.starting_student(start) + findings.starting_guides(start))

    def finished(self, history: Sequence[StepRecord], step: int, *, scheduled: bool) -> None:
        """Look at what came out.

        Args:
            history: All logged points.
            step: The last step.
            scheduled: Whether the mask changed with the step.
        """
        assert self._probe is not None, "`before` was called"
        turn = mean_turn(self._probe.embeddings(), self._probe.again(self._student).embeddings())
        self._tell(findings.nothing_learned(turn, step))
        self._tell(findings.trend(history, scheduled=scheduled))

    @contextmanager
    def batch(self, inputs: Mapping[str, Any], step: int) -> Iterator[Callable[[Tensor], None]]:
        """Guard one batch: stop at an embedding or a guide's vector that is not finite.

        Args:
            inputs: The batch, as `gistembed.batches.PairCollator` makes it.
            step: The step that it is of, from 1.

        Yields:
            A function that stops at a loss that is not finite.

        Raises:
            UserError: If something is not finite; it names the rows.
        """
        rows = inputs["label"]["rows"].tolist()
        self._rows += rows

        def check_loss(loss: Tensor) -> None:
            if not bool(torch.isfinite(loss)):
                raise self._stop("the loss is", self._rows_or_rate(), step, rows, certain=False)

        try:
            yield check_loss
        except GuideNotFiniteError as error:
            what, advice = "the guide's vector is zero or", "look at the guide's vectors of these rows"
            where = [rows[place] for place in error.rows]
            raise self._stop(what, advice, step, where, certain=True) from error
        except NotFiniteError as error:
            where = [rows[place] for place in error.rows]
            # Where all rows are broken, the weights are, and none of the texts is to blame.
            advice = self._rate() if len(where) == len(rows) else self._rows_or_rate()
            raise self._stop("the embedding is", advice, step, where, certain=True) from error

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: object
    ) -> None:
        """Stop before an update by a gradient that is not finite."""
        norm, self.gradient_norm = self.gradient_norm, None
        # In fp16, gradients are scaled until they fit: the scaler passes over steps where they don't.
        if args.fp16 or (norm is not None and math.isfinite(norm)):
            return
        gradients = [
            (name, _numbers_here(parameter.grad))
            for name, parameter in _model(given).named_parameters()
            if parameter.grad is not None
        ]
        if (name := first_not_finite(gradients)) is not None:
            what = f"the gradient of {name} is"
            raise self._stop(what, self._rows_or_rate(), state.global_step + 1, self._rows, certain=False)

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: object
    ) -> None:
        """At the logged steps and the last, stop after an update that made a weight not finite.

        A weight that was finite and moved by a finite gradient seldom isn't, and an embedding tells mostly.
        """
        step = state.global_step + 1
        if step == state.max_steps or step % max(1, int(state.logging_steps)) == 0:
            self.check_weights(_model(given), step)
        self._rows, self._last_rows = [], self._rows

    def check_weights(self, model: nn.Module, step: int) -> None:
        """Stop if a weight is not finite.

        Args:
            model: Whose weights.
            step: The step that is done, from 1.

        Raises:
            UserError: If one is not.
        """
        # The others don't change.
        weights = [
            (name, _numbers_here(parameter.detach()))
            for name, parameter in model.named_parameters()
            if parameter.requires_grad
        ]
        if (name := first_not_finite(weights)) is not None:
            where = self._rows or self._last_rows
            raise self._stop(f"the weight {name} is", self._rate(), step, where, certain=False)

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """Look at the points that were logged so far."""
        if state.global_step < self._next_look or "loss" not in state.log_history[-1]:
            return
        self._next_look = state.global_step + state.max_steps // _LOOKS
        history = step_records(state.log_history)
        self._tell(findings.collapse(history) + findings.still_guessing(history))
        self._tell(findings.starvation(history[-1]))

    def _tell(self, found: Sequence[TrainingFinding]) -> None:
        for finding in found:
            if finding.code not in self._noticed:
                self._noticed.add(finding.code)
                self._notice(finding)

    def _stop(self, what: str, advice: str, step: int, rows: Sequence[int], *, certain: bool) -> UserError:
        trouble = NotFinite(what, advice, step, tuple(rows), certain)
        self._tell([trouble.finding(self._pairs)])
        return trouble.error(self._pairs)

    def _rate(self) -> str:
        return _LOWER_RATE + (f", or fp32 in place of {self._half}" if self._half else "")

    def _rows_or_rate(self) -> str:
        return f"look at these rows, or {self._rate()}"


def _numbers_here(tensor: Tensor) -> Tensor:
    """What of a tensor lies in this process, and is there at all if it is sparse."""
    return tensor.coalesce().values() if tensor.is_sparse else held_here(tensor)


def _model(given: Mapping[str, object]) -> nn.Module:
    """The model among what the trainer gives to its callbacks."""
    model = given["model"]
    assert isinstance(model, nn.Module)
    return model
