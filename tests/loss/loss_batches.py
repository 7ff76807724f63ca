"""Random batches for the loss: few distinct texts, so that many are shared, and every argument in use."""

from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

from gistembed.mask import MaskPolicy
from gistembed.terms import Block

Arguments = dict[str, Any]

_ROWS = (1, 2, 3, 4, 5, 7, 11, 13)
_BLOCKS: tuple[Block, ...] = get_args(Block)


@dataclass(frozen=True)
class _Pool:
    """Distinct texts: ids are row numbers, and texts ``t`` and ``t ^ 1`` belong together."""

    student: Tensor
    guide: Tensor


@st.composite
def loss_batches(draw: st.DrawFn, dtype: torch.dtype) -> Arguments:
    """All arguments of `guided_contrastive_loss`; padded negatives are poisoned with NaN."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, per_row = draw(st.sampled_from(_ROWS)), draw(st.integers(0, 5))
    with_ids, with_guide = draw(st.booleans()), draw(st.booleans())
    pool = _pool(
        rng, dtype, texts=2 * draw(st.integers(1, 2 * rows)), noise=draw(st.sampled_from([0.05, 1.0]))
    )

    def some(*shape: int) -> Tensor:
        return torch.from_numpy(rng.integers(0, len(pool.student), shape))

    anchor_ids = some(rows)
    ids = {"anchor": anchor_ids, "positive": anchor_ids ^ 1 if draw(st.booleans()) else some(rows)}
    batch: Arguments = {
        "temperature": draw(st.sampled_from([0.01, 0.05, 0.3])),
        # Without ids, equal texts are exact ties at margin 0: there rounding would decide who stays.
        "policy": draw(_policies(zero_margin=with_ids)),
        "chunk_rows": draw(st.none() | st.integers(1, rows)),
        "weights": draw(st.sampled_from([None, _weights(rng, rows, dtype)])),
    }
    if per_row:
        ids["negative"] = some(rows, per_row)
        if draw(st.booleans()):
            batch["negative_mask"] = torch.from_numpy(rng.random((rows, per_row)) < 0.6)
    for role, role_ids in ids.items():
        batch[f"{role}s"] = pool.student[role_ids]
        if with_guide:
            batch[f"guide_{role}s"] = pool.guide[role_ids]
        if with_ids:
            batch[f"{role}_ids"] = role_ids
    if with_ids and draw(st.booleans()):
        batch["known_ids"] = some(rows, 2).masked_fill(torch.from_numpy(rng.random((rows, 2)) < 0.5), -1)
    if "negative_mask" in batch:
        for name in {"negatives", "guide_negatives"} & batch.keys():
            batch[name][~batch["negative_mask"]] = torch.nan
    return batch


@st.composite
def _policies(draw: st.DrawFn, *, zero_margin: bool) -> MaskPolicy:
    margin = st.sampled_from([-0.3, -0.1, -0.01, 0.01, 0.1, 0.3] + [0.0] * zero_margin)
    return MaskPolicy(
        margin=draw(margin | st.fixed_dictionaries(dict.fromkeys(_BLOCKS, margin))),
        margin_strategy=draw(st.sampled_from(["absolute", "relative"])),
        contrast_anchors=draw(st.booleans()),
        contrast_positives=draw(st.booleans()),
    )


def _pool(rng: np.random.Generator, dtype: torch.dtype, texts: int, noise: float) -> _Pool:
    def vectors(dim: int) -> Tensor:
        centres = rng.standard_normal((texts // 2, dim)).repeat(2, axis=0)
        values = centres + noise * rng.standard_normal((texts, dim))
        return torch.from_numpy(values * rng.choice([0.1, 1.0, 20.0])).to(dtype)

    return _Pool(student=vectors(int(rng.integers(2, 33))), guide=vectors(int(rng.integers(2, 17))))


def _weights(rng: np.random.Generator, rows: int, dtype: torch.dtype) -> Tensor:
    weights = torch.from_numpy(rng.random(rows) * (rng.random(rows) < 0.7)).to(dtype)
    weights[int(rng.integers(rows))] = 0.5
    return weights
