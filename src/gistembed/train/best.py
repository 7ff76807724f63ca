"""Which step's model is the best by a score that the caller takes, and when it is time to stop looking."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


def steps_between(every: float, steps: int) -> int:
    """How many steps lie between two scores.

    Args:
        every: So many steps, or the share of all steps if it is below 1.
        steps: Steps of the whole training.
    """
    return max(1, round(every * steps) if every < 1 else int(every))


class KeepBest(TrainerCallback):
    """Scores the model from time to time, has each new best written, and may end the training.

    The model before training is scored too, to compare with; but the best is one that was trained.

    Attributes:
        metric: What the score is called.
        curve: All scores: the step and the value, from step 0.
        step: The step of the best score; None until there is one.
        stopped: Whether it has ended the training.
        as_used: Entered for each score: within it the student is what it will be when it is used.
    """

    def __init__(
        self, metric: str, score: Callable[[int], float], *, every: int, patience: int | None = None
    ) -> None:
        """Watch a training.

        Args:
            metric: What the score is called.
            score: Gives the score of the model as it is at a step; more is better.
            every: Steps between two scores; the last step is scored too.
            patience: After so many scores without a new best the training ends; never if None.
        """
        self.metric = metric
        self.curve: list[tuple[int, float]] = []
        self.step: int | None = None
        self.stopped = False
        self.as_used: Callable[[], AbstractContextManager[None]] = nullcontext
        self._score = score
        self._every = every
        self._patience = patience

    def state(self) -> dict[str, Any]:
        """What a resumed training needs to know."""
        return {"curve": list(self.curve), "step": self.step}

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`."""
        self.curve, self.step = list(state["curve"]), state["step"]

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """Before the first step of all."""
        if not self.curve:
            self.curve.append((0, self._scored(0)))

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """After every optimizer step."""
        step = state.global_step
        if step % self._every and step < state.max_steps:
            return
        values = dict(self.curve)
        value = self._scored(step)
        self.curve.append((step, value))
        if self.step is None or value > values[self.step]:
            self.step = step
            control.should_save = True
        elif self._patience is not None and self._since_best() >= self._patience:
            self.stopped = True
            control.should_training_stop = True

    def _scored(self, step: int) -> float:
        with self.as_used():
            return self._score(step)

    def _since_best(self) -> int:
        assert self.step is not None
        return sum(step > self.step for step, _ in self.curve)
