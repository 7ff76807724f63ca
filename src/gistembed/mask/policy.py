"""What the guide is allowed to mask: the blocks of candidates and the margin of each."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, get_args

from jaxtyping import Float
from torch import Tensor

from gistembed.terms import Block, MarginStrategy

BLOCKS: tuple[Block, ...] = get_args(Block)


class BlockInput(NamedTuple):
    """Which texts stand in a block's rows and columns: 0 anchors, 1 positives, 2 hard negatives."""

    rows: int
    columns: int


BLOCK_INPUTS: dict[Block, BlockInput] = {
    "ap": BlockInput(rows=0, columns=1),
    "aa": BlockInput(rows=0, columns=0),
    "pp": BlockInput(rows=1, columns=1),
    "an": BlockInput(rows=0, columns=2),
}


@dataclass(frozen=True)
class Margin:
    """How far below a row's threshold a candidate already leaves.

    Attributes:
        value: Distance below the threshold; negative values let candidates above it stay.
        strategy: ``absolute`` subtracts ``value``; ``relative`` subtracts ``value`` times
            the threshold's size.
    """

    value: float = 0.0
    strategy: MarginStrategy = "absolute"

    def below(self, thresholds: Float[Tensor, " rows"]) -> Float[Tensor, " rows"]:
        """The guide similarity above which a candidate leaves.

        absolute: ``t - value``; relative: ``t - |t| * value``, so that a positive value lowers the limit
        for negative thresholds too.
        """
        if self.strategy == "relative":
            return thresholds - thresholds.abs() * self.value
        return thresholds - self.value


@dataclass(frozen=True)
class MaskPolicy:
    """Which blocks of candidates a row is contrasted with, and how strictly the guide masks each.

    The blocks of row i, with anchor a_i, positive p_i and hard negatives n:

    - ``ap``: every positive p_j against a_i (always on);
    - ``aa``: every anchor a_j against a_i;
    - ``pp``: every positive p_j against p_i;
    - ``an``: every hard negative n_jk against a_i (on where the data has any).

    Attributes:
        margin: One margin for all blocks, or one per block (blocks not named have 0).
        margin_strategy: See `Margin`.
        contrast_anchors: Whether the aa block takes part.
        contrast_positives: Whether the pp block takes part.

    Raises:
        ValueError: If a margin is not finite, or names an unknown block or strategy.

    Source: Solatorio 2024 (arXiv 2402.16829), section 3; margins are ours and the peers'.
    """

    margin: float | Mapping[Block, float] = 0.0
    margin_strategy: MarginStrategy = "absolute"
    contrast_anchors: bool = True
    contrast_positives: bool = True

    def __post_init__(self) -> None:
        """Refuse margins that could only be mistakes."""
        margins = self.margin if isinstance(self.margin, Mapping) else {"ap": self.margin}
        for block, value in margins.items():
            if block not in BLOCKS:
                raise ValueError(f"margin: unknown block {block!r}; the blocks are {', '.join(BLOCKS)}")
            if not math.isfinite(value):
                raise ValueError(f"margin: {value} for block {block} is not a finite number")
        if self.margin_strategy not in get_args(MarginStrategy):
            raise ValueError(
                f"margin_strategy: {self.margin_strategy!r} is unknown; choose one of "
                f"{', '.join(get_args(MarginStrategy))}"
            )

    def margin_of(self, block: Block) -> Margin:
        """The margin that applies in one block."""
        value = self.margin.get(block, 0.0) if isinstance(self.margin, Mapping) else self.margin
        return Margin(value, self.margin_strategy)

    def blocks(self, *, negatives: bool) -> tuple[Block, ...]:
        """The blocks that take part, in the order of their columns; ``an`` only where there are negatives."""
        on = {"ap": True, "aa": self.contrast_anchors, "pp": self.contrast_positives, "an": negatives}
        return tuple(block for block in BLOCKS if on[block])
