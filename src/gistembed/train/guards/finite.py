"""Stops a training whose numbers are not finite any more, and says which rows it met then."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from gistembed.errors import UserError
from gistembed.pairs import Pairs
from gistembed.record import FindingExample, TrainingFinding

_NAMED = 3
_TEXT_LENGTH = 120


@dataclass(frozen=True)
class NotFinite:
    """Something that is not finite in a step.

    Attributes:
        what: What it is, to be read before "not finite": ``the loss is``.
        advice: What to do.
        step: The step, from 1; 0 before the first.
        rows: Row numbers of the pairs to look at.
        certain: Whether it is these rows; otherwise they only stand in the batch.
    """

    what: str
    advice: str
    step: int
    rows: Sequence[int]
    certain: bool

    def finding(self, pairs: Pairs) -> TrainingFinding:
        """What the record of the run keeps.

        Args:
            pairs: The pairs that the row numbers refer to.
        """
        return TrainingFinding(
            code="not-finite",
            severity="error",
            step=self.step,
            what=f"Training {self._when()}: {self._sentence(pairs)}.",
            advice=self.advice[:1].upper() + self.advice[1:] + ".",
            measured={"rows": len(self.rows)},
            examples=tuple(
                FindingExample(
                    place=pairs.place(row),
                    text=textwrap.shorten(pairs.texts[pairs.anchors[row]], _TEXT_LENGTH, placeholder=" …"),
                )
                for row in self.rows[:_NAMED]
            ),
        )

    def error(self, pairs: Pairs) -> UserError:
        """What the user sees.

        Args:
            pairs: The pairs that the row numbers refer to.
        """
        return UserError(f"training {self._when()}: {self._sentence(pairs)}; {self.advice}")

    def _when(self) -> str:
        return f"stopped at step {self.step:,}" if self.step else "was not begun"

    def _sentence(self, pairs: Pairs) -> str:
        places = ", ".join(pairs.place(row) for row in self.rows[:_NAMED])
        others = len(self.rows) - _NAMED
        places += f" and {others:,} more" if others > 0 else ""
        return f"{self.what} not finite {'for' if self.certain else 'in a batch with'} {places}"
