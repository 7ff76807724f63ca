"""How hard negatives are chosen; refused at once where it could choose nothing."""

import math
from dataclasses import dataclass
from typing import Literal

from gistembed.errors import UserError

Sampling = Literal["top", "random"]
TooFew = Literal["keep", "drop"]
Search = Literal["torch", "faiss"]


@dataclass(frozen=True)
class MiningSettings:
    """Which documents may be negatives of an anchor, and which of these are taken.

    Documents are ranked for each anchor by cosine, its own texts left out. With s a document's cosine with
    the anchor and p that of the anchor's *least* similar known positive, a document may be a negative if all
    that is set holds:

    - ``absolute_margin``: s <= p - m
    - ``relative_margin``: s <= p - |p|·m
    - ``positive_share``: s <= p·share
    - ``max_cosine``: s <= max_cosine
    - ``min_cosine``: s >= min_cosine

    ``range_max`` cuts the ranking before these rules, ``range_min`` skips the hardest of what they leave. The
    rest is taken from the top or at random.

    The names and rules of sentence-transformers' `mine_hard_negatives` (6.2), where both have them, but for
    its ``max_score`` and ``min_score``: here these words are about scores that pairs come with. There,
    ``range_max`` counts the anchor's positives too and leaves room for as many as any anchor has, it has a
    default that depends on other settings, and an anchor's own text and the known negatives of a pair are
    not left out.

    Attributes:
        num_negatives: How many to take for each anchor.
        range_min: How many of the hardest that may be negatives are skipped.
        range_max: How many of the nearest documents are looked at; None looks at all.
        absolute_margin: Distance in cosine below the positive.
        relative_margin: Distance as a share of the positive's size; 0.05 is NV-Retriever's best.
        positive_share: Share of the positive's cosine, in (0, 1]; NV-Retriever's TopK-PercPos. Where that is
            not negative, ``relative_margin = 1 - share`` says the same; where it is, only the margin lies
            below the positive.
        max_cosine: Highest cosine.
        min_cosine: Lowest cosine.
        sampling: ``top`` takes the hardest, ``random`` draws from all that are left up to ``range_max``.
        seed: Decides what is drawn.
        too_few: What becomes of a row whose anchor gets fewer than ``num_negatives``: ``keep`` or ``drop``.
        replace: Whether a row loses the negatives that it has; otherwise they stay, and what is mined is
            added.
        search: What finds the nearest documents: ``torch``, or ``faiss`` for those who have it, which needs
            a ``range_max`` and leaves open which of equally similar documents comes first.

    Raises:
        UserError: If a setting is out of its range, or settings contradict each other.
    """

    num_negatives: int = 3
    range_min: int = 0
    range_max: int | None = None
    absolute_margin: float | None = None
    relative_margin: float | None = None
    positive_share: float | None = None
    max_cosine: float | None = None
    min_cosine: float | None = None
    sampling: Sampling = "top"
    seed: int = 42
    too_few: TooFew = "keep"
    replace: bool = False
    search: Search = "torch"

    def __post_init__(self) -> None:
        """Refuse what could only be a mistake."""
        if self.num_negatives < 1:
            raise UserError(f"--num-negatives {self.num_negatives}: choose at least 1")
        if self.range_min < 0:
            raise UserError(f"--range-min {self.range_min}: choose 0 or more")
        if self.seed < 0:
            raise UserError(f"--seed {self.seed}: choose 0 or more")
        if self.range_max is not None and self.range_max < self.range_min + self.num_negatives:
            raise UserError(
                f"--range-max {self.range_max}: leaves no room for {self.num_negatives} negatives after the "
                f"{self.range_min} that are skipped; choose at least {self.range_min + self.num_negatives}"
            )
        if self.sampling == "random" and self.range_max is None:
            raise UserError(
                "--sampling random: draws from the nearest documents; say from how many with --range-max"
            )
        if self.search == "faiss" and self.range_max is None:
            raise UserError("--search faiss: finds so many of the nearest; say how many with --range-max")
        self._check_scores()

    def _check_scores(self) -> None:
        for option in ("absolute_margin", "relative_margin", "positive_share", "max_cosine", "min_cosine"):
            value = getattr(self, option)
            if value is not None and not math.isfinite(value):
                raise UserError(f"--{option.replace('_', '-')} {value}: choose a finite number")
        if self.positive_share is not None and not 0 < self.positive_share <= 1:
            raise UserError(f"--positive-share {self.positive_share}: choose a share above 0, at most 1")
        if self.min_cosine is not None and self.max_cosine is not None and self.min_cosine > self.max_cosine:
            raise UserError(
                f"--min-cosine {self.min_cosine}: above --max-cosine {self.max_cosine}, which leaves nothing"
            )

    @property
    def depth(self) -> int:
        """How many of the nearest documents decide."""
        return self.range_min + self.num_negatives if self.range_max is None else self.range_max
