"""What the mask may do: blocks of candidates, the guide's limit in each, and what follows from it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Literal, NamedTuple, get_args

from jaxtyping import Float
from torch import Tensor

from gistembed.mask.margin import Margin, MarginSchedule
from gistembed.terms import (
    Block,
    Compatibility,
    GuideVote,
    MarginStrategy,
    MaskAction,
    NegativeSource,
    Scorer,
    StarvedAction,
)

BLOCKS: tuple[Block, ...] = get_args(Block)

OwnTextRule = Literal["id", "position", "none"]
"""How a row tells its own texts among the candidates: by text id, by where they stand, or not at all."""

_OWN_TEXT_RULES: dict[Compatibility, OwnTextRule] = {
    "default": "id",
    "paper": "position",
    "sentence-transformers": "none",
}
_BLOCK_CHOICES = ("contrast_anchors", "contrast_positives")
_COMPATIBLE_SETTINGS: dict[Compatibility, tuple[str, ...]] = {
    "paper": _BLOCK_CHOICES,
    "sentence-transformers": (*_BLOCK_CHOICES, "margin", "margin_strategy"),
}
_WORDS = {
    "margin_strategy": MarginStrategy,
    "negatives": NegativeSource,
    "starved": StarvedAction,
    "action": MaskAction,
    "scorer": Scorer,
    "guide_vote": GuideVote,
    "compat": Compatibility,
}


Side = Literal["anchors", "positives", "negatives"]


class BlockSides(NamedTuple):
    """Which texts stand in a block's rows, and which in its columns."""

    rows: Side
    columns: Side


BLOCK_SIDES: dict[Block, BlockSides] = {
    "ap": BlockSides(rows="anchors", columns="positives"),
    "aa": BlockSides(rows="anchors", columns="anchors"),
    "an": BlockSides(rows="anchors", columns="negatives"),
    "pp": BlockSides(rows="positives", columns="positives"),
    "pa": BlockSides(rows="positives", columns="anchors"),
}

SYMMETRIC_BLOCKS: tuple[Block, ...] = ("aa", "pp")
"""Blocks that compare one kind of text with itself."""


@dataclass(frozen=True)
class MaskPolicy:
    """Which candidates a row is contrasted with, which of them leave, and what becomes of those.

    Row i has an anchor a_i, a positive p_i and hard negatives n_i1 … n_iK. Its candidates, in blocks:

    - ``ap``: every positive p_j against a_i;
    - ``aa``: every anchor a_j against a_i;
    - ``an``: every hard negative n_jk against a_i (where the data has any);
    - ``pp``: every positive p_j against p_i;
    - ``pa``: every anchor a_j against p_i (off by default).

    With the guide's cosine g, the threshold t_i = g(a_i, p_i) and a block's margin m, the limit is
    ``t_i - m`` (``t_i - |t_i|·m`` if relative), held between ``limit_floor`` and ``limit_ceiling``. Then,
    the first rule that applies deciding:

    1. the row's own positive stays, exactly once;
    2. every text that is the row's own (its anchor, its positive, a known positive of its anchor) leaves;
    3. the row's own trusted hard negatives stay;
    4. a candidate whose guide similarity is above the limit leaves;
    5. a row with fewer than ``min_negatives`` left is *starved*: see ``starved``.

    Attributes:
        margin: One margin for all blocks, or one per block (blocks not named have 0); a `MarginSchedule`
            in place of a number moves over the steps of a run.
        margin_strategy: ``absolute`` or ``relative`` to the threshold; see `Margin`.
        strict: Whether a candidate exactly at the limit stays.
        limit_floor: A limit that no row's limit falls below: what the guide finds less similar than this
            never leaves, however weak the row's own pair is.
        limit_ceiling: A limit that no row's limit rises above. Floor and ceiling alike make one fixed
            threshold for all rows.
        max_masked: The most candidates of one block that the guide takes from a row: a number of them, or,
            below 1, a share of those it could take. The most similar leave first.
        contrast_anchors: Whether the aa block takes part.
        contrast_positives: Whether the pp block takes part.
        contrast_reverse: Whether the pa block takes part.
        negatives: ``in_batch`` leaves hard negatives out; ``explicit`` contrasts a row with its own hard
            negatives and nothing else; ``both`` uses everything.
        trust_negatives: Whether every row's own hard negatives are trusted, the guide's opinion aside.
        min_negatives: How many negatives a row should keep.
        starved: What becomes of a row with fewer: ``count`` reports it; ``keep_least_similar`` puts the
            candidates back that the guide finds least similar; ``skip`` lets the row add nothing to the loss.
        action: What becomes of a candidate that leaves. ``drop``: nothing of it stays in the softmax.
            ``soften``: its score is lowered by ``(g - limit) / softness``, so that it fades out instead of
            vanishing. ``promote``: it becomes one more positive of the row.
        softness: For ``soften``: how far above the limit, in cosine, a candidate counts 1/e.
        scorer: Whose similarities decide: the ``guide``'s or the ``student``'s own, detached.
        guide_vote: How several guides decide: by the ``mean`` of their similarities, or each by its own
            threshold and then the ``majority``, ``any`` or ``all`` of them.
        compat: ``paper`` and ``sentence-transformers`` give the numbers of those; see `own_texts`.

    Raises:
        ValueError: If a setting is unknown, not finite, or without effect beside the others.

    Source: Solatorio 2024 (arXiv 2402.16829), section 3, gives rule 4 with m = 0 and blocks ap, aa, pp, an;
    margins are those of sentence-transformers; the rest is ours.
    """

    margin: int | float | MarginSchedule | Mapping[Block, float | MarginSchedule] = 0.0
    margin_strategy: MarginStrategy = "absolute"
    strict: bool = True
    limit_floor: float | None = None
    limit_ceiling: float | None = None
    max_masked: int | float | None = None
    contrast_anchors: bool = True
    contrast_positives: bool = True
    contrast_reverse: bool = False
    negatives: NegativeSource = "both"
    trust_negatives: bool = False
    min_negatives: int = 0
    starved: StarvedAction = "count"
    action: MaskAction = "drop"
    softness: float | None = None
    scorer: Scorer = "guide"
    guide_vote: GuideVote = "mean"
    compat: Compatibility = "default"

    def __post_init__(self) -> None:
        """Refuse settings that could only be mistakes."""
        for name, words in _WORDS.items():
            value = getattr(self, name)
            if value not in get_args(words):
                raise ValueError(f"{name}: {value!r} is unknown; choose one of {', '.join(get_args(words))}")
        for block, margin in self._margins().items():
            if block not in BLOCKS:
                raise ValueError(f"margin: unknown block {block!r}; the blocks are {', '.join(BLOCKS)}")
            if not isinstance(margin, MarginSchedule) and not math.isfinite(margin):
                raise ValueError(f"margin: {margin} for block {block} is not a finite number")
        self._check_numbers()
        self._check_combinations()

    def _check_numbers(self) -> None:
        floor, ceiling = self.limit_floor, self.limit_ceiling
        for name, value in (("limit_floor", floor), ("limit_ceiling", ceiling)):
            if value is not None and not math.isfinite(value):
                raise ValueError(f"{name}: {value} is not a finite number")
        if floor is not None and ceiling is not None and floor > ceiling:
            raise ValueError(f"limit_floor: {floor} is above limit_ceiling {ceiling}")
        most = self.max_masked
        if most is not None and not (0 <= most < 1 or (most >= 1 and float(most).is_integer())):
            raise ValueError(f"max_masked: expected a whole number or a share below 1, got {most}")
        if self.min_negatives < 0:
            raise ValueError(f"min_negatives: expected at least 0, got {self.min_negatives}")
        if self.softness is not None and not (math.isfinite(self.softness) and self.softness > 0):
            raise ValueError(f"softness: expected a finite number above 0, got {self.softness}")

    def _check_combinations(self) -> None:
        if self.starved != "count" and self.min_negatives == 0:
            raise ValueError(f"starved: {self.starved!r} has no effect without min_negatives")
        if (self.action == "soften") != (self.softness is not None):
            raise ValueError(
                f"softness: needed with action 'soften' and only there, action is {self.action!r}"
            )
        if self.guide_vote != "mean":
            if self.scorer == "student":
                raise ValueError("guide_vote: the student scores alone, there is nothing to vote on")
            if self.action == "soften":
                raise ValueError("guide_vote: 'soften' needs the mean of the guides, a vote has no distance")
        if self.negatives == "explicit" and self.contrast_reverse:
            raise ValueError("contrast_reverse: has no effect with negatives 'explicit'")
        if self.compat != "default":
            allowed = (*_COMPATIBLE_SETTINGS[self.compat], "compat")
            for field in fields(self):
                if field.name not in allowed and getattr(self, field.name) != field.default:
                    raise ValueError(f"compat: {self.compat!r} has no {field.name}; leave it out")

    @property
    def own_texts(self) -> OwnTextRule:
        """How a row's own texts are told among the candidates (rule 2).

        By text id; with ``compat="paper"`` by position, so that only the row's own anchor and positive are
        recognised and not their duplicates; with ``compat="sentence-transformers"`` not at all, so that the
        guide has to find a text more similar to itself than the limit.
        """
        return _OWN_TEXT_RULES[self.compat]

    def blocks(self, *, negatives: bool) -> tuple[Block, ...]:
        """The blocks that take part, in the order of their columns; ``an`` only where there are negatives.

        With negatives ``explicit``, block ap holds nothing but the row's own positive.
        """
        in_batch = self.negatives != "explicit"
        on = {
            "ap": True,
            "aa": in_batch and self.contrast_anchors,
            "pp": in_batch and self.contrast_positives,
            "an": negatives and self.negatives != "in_batch",
            "pa": self.contrast_reverse,
        }
        return tuple(block for block in BLOCKS if on[block])

    def at_step(self, step: int) -> "MaskPolicy":
        """This policy with the margins that its schedules give at an optimizer step, counted from 0."""
        margins = self._margins()
        if not any(isinstance(margin, MarginSchedule) for margin in margins.values()):
            return self
        fixed = {
            block: margin.at(step) if isinstance(margin, MarginSchedule) else margin
            for block, margin in margins.items()
        }
        return replace(self, margin=fixed)

    def limits(self, block: Block, thresholds: Float[Tensor, " rows"]) -> Float[Tensor, " rows"]:
        """The guide similarity above which a candidate of a block leaves, by row.

        Args:
            block: The block.
            thresholds: Guide cosine of each row's anchor with its own positive.

        Raises:
            ValueError: If the margin is scheduled and no step was chosen.
        """
        limits = self.margin_of(block).below(thresholds)
        if self.limit_floor is None and self.limit_ceiling is None:
            return limits
        return limits.clamp(min=self.limit_floor, max=self.limit_ceiling)

    def margin_of(self, block: Block) -> Margin:
        """The margin that applies in one block.

        Raises:
            ValueError: If it is scheduled and no step was chosen.
        """
        margin = self.margin.get(block, 0.0) if isinstance(self.margin, Mapping) else self.margin
        if isinstance(margin, MarginSchedule):
            raise ValueError("margin: follows a schedule; choose a step with policy.at_step(step)")
        return Margin(margin, self.margin_strategy)

    def _margins(self) -> Mapping[Block, float | MarginSchedule]:
        return self.margin if isinstance(self.margin, Mapping) else dict.fromkeys(BLOCKS, self.margin)
