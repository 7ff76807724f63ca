"""Columns that several tables have: what the mask did, and gains over a baseline with a row of its own."""

import math
from collections.abc import Sequence

import numpy as np

from experiments.harness.mask_quality import MaskQuality
from experiments.harness.tables import Row, compared
from experiments.harness.training import Trained


def of_mask(trained: Sequence[Trained], quality: MaskQuality | None) -> Row:
    """How much was masked during training, and how often that was right at its start.

    Args:
        trained: One for each seed.
        quality: What `mask_quality` says; None where no guide was asked or no labels are known.
    """
    rates = [one.masked for one in trained if one.masked is not None]
    return {"masked": f"{np.mean(rates):.3f}" if rates else ""} | of_quality(quality)


def of_quality(quality: MaskQuality | None) -> Row:
    """Precision, recall and prevalence; empty where they are not known."""
    return {
        name: "" if quality is None or math.isnan(value := getattr(quality, name)) else f"{value:.3f}"
        for name in ("precision", "recall", "prevalence")
    }


def gain_over(
    trained: Sequence[Trained], baseline: Sequence[Trained], test: str = "test", *, column: str = "gain"
) -> Row:
    """As `compared`; empty in the baseline's own row.

    Args:
        trained: One for each seed.
        baseline: The same seeds of what it is compared with.
        test: Which test.
        column: What to call it.
    """
    row = compared(trained, baseline, test, column=column)
    return dict.fromkeys(row, "") if trained is baseline else row
