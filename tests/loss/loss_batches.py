"""Random batches for the loss: few distinct texts, so that many are shared, and every argument in use."""

from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

from gistembed.mask import MaskPolicy
from gistembed.terms import Block, GuideVote, HardnessMode, MarginStrategy, NegativeSource

Arguments = dict[str, Any]

_ROWS = (1, 2, 3, 4, 5, 7, 11, 13)
_BLOCKS: tuple[Block, ...] = get_args(Block)


@dataclass(frozen=True)
class _Pool:
    """Distinct texts: ids are row numbers, and texts ``t`` and ``t ^ 1`` belong together."""

    student: Tensor
    guides: list[Tensor]


@st.composite
def loss_batches(draw: st.DrawFn, dtype: torch.dtype) -> Arguments:
    """All arguments of `guided_contrastive_loss`; padded negatives are poisoned with NaN."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, per_row = draw(st.sampled_from(_ROWS)), draw(st.integers(0, 5))
    with_ids = draw(st.booleans())
    # Without ids, equal texts are exact ties at margin 0: there rounding would decide who stays.
    policy = draw(policies(with_ids=with_ids, per_row=per_row))
    guides = 0
    if policy.scorer == "guide":
        guides = draw(
            st.sampled_from([1, 2, 3] if policy.compat == "sentence-transformers" else [0, 1, 1, 2, 3])
        )
    pool = _pool(
        rng,
        dtype,
        texts=2 * draw(st.integers(1, 2 * rows)),
        noise=draw(st.sampled_from([0.05, 1.0])),
        guides=guides,
    )

    def some(*shape: int) -> Tensor:
        return torch.from_numpy(rng.integers(0, len(pool.student), shape))

    def maybe(share: float) -> Tensor:
        return torch.from_numpy(rng.random((rows, per_row)) < share)

    anchor_ids = some(rows)
    ids = {"anchor": anchor_ids, "positive": anchor_ids ^ 1 if draw(st.booleans()) else some(rows)}
    batch: Arguments = {
        "temperature": draw(st.sampled_from([0.01, 0.05, 0.3])),
        "policy": policy,
        "chunk_rows": draw(st.none() | st.integers(1, rows)),
        "weights": draw(st.sampled_from([None, _weights(rng, rows, dtype)])),
    }
    if per_row:
        ids["negative"] = some(rows, per_row)
        if draw(st.booleans()):
            batch["negative_mask"] = maybe(0.6)
            if policy.negatives == "explicit":
                batch["negative_mask"][0, 0] = True
        if draw(st.booleans()):
            batch["trusted_negatives"] = maybe(0.3)
    for role, role_ids in ids.items():
        batch[f"{role}s"] = pool.student[role_ids]
        if guides:
            given = [guide[role_ids] for guide in pool.guides]
            batch[f"guide_{role}s"] = given if guides > 1 else given[0]
        if with_ids:
            batch[f"{role}_ids"] = role_ids
    if with_ids and draw(st.booleans()):
        counts = torch.from_numpy(rng.integers(0, 3, rows))
        batch["known_offsets"] = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
        batch["known_ids"] = some(int(counts.sum()))
    if draw(st.booleans()):
        batch["hardness_mode"] = draw(st.sampled_from(get_args(HardnessMode)))
        batch["hardness_strength"] = draw(st.sampled_from([0.5, 9.0]))
    dim = pool.student.shape[1]
    if draw(st.booleans()):
        dims = draw(st.lists(st.integers(2, dim), min_size=1, max_size=3, unique=True))
        batch["dims"] = dims
        batch["dim_weights"] = draw(st.none() | st.just([0.5 + number for number in range(len(dims))]))
    if draw(st.booleans()):
        start = draw(st.integers(0, rows - 1))
        batch["rows"] = slice(start, draw(st.integers(start + 1, rows)))
    if "negative_mask" in batch:
        for name in {"negatives", "guide_negatives"} & batch.keys():
            poisoned = batch[name] if isinstance(batch[name], list) else [batch[name]]
            for tensor in poisoned:
                tensor[~batch["negative_mask"]] = torch.nan
    return batch


@st.composite
def policies(draw: st.DrawFn, *, with_ids: bool, per_row: int) -> MaskPolicy:
    """Policies of every make."""
    margins = st.sampled_from([-0.3, -0.1, -0.01, 0.01, 0.1, 0.3] + [0.0] * with_ids)
    common: dict[str, Any] = {
        "contrast_anchors": draw(st.booleans()),
        "contrast_positives": draw(st.booleans()),
    }
    compat = draw(st.sampled_from(["default"] * 8 + ["sentence-transformers"] + ["paper"] * with_ids))
    if compat == "paper":
        return MaskPolicy(compat="paper", **common)
    common["margin_strategy"] = draw(st.sampled_from(get_args(MarginStrategy)))
    if compat == "sentence-transformers":
        return MaskPolicy(compat="sentence-transformers", margin=draw(margins), **common)
    # Each further option is off in most batches, so that most batches combine only a few.
    rarely = st.sampled_from([False, False, False, True])
    negatives = draw(st.sampled_from(get_args(NegativeSource))) if per_row and draw(rarely) else "both"
    options: dict[str, Any] = {
        "margin": draw(margins | st.fixed_dictionaries(dict.fromkeys(_BLOCKS, margins))),
        "negatives": negatives,
        "contrast_reverse": draw(rarely) and negatives != "explicit",
        "trust_negatives": draw(rarely),
        "strict": not draw(rarely),
    }
    if draw(rarely):
        low, high = sorted(draw(st.tuples(*[st.floats(-0.5, 0.875, width=32)] * 2)))
        options |= {"limit_floor": low, "limit_ceiling": draw(st.sampled_from([None, high]))}
    if draw(rarely):
        options["max_masked"] = draw(st.sampled_from([0, 1, 3, 0.1, 0.5]))
    if draw(rarely):
        options["min_negatives"] = draw(st.integers(1, 4))
        options["starved"] = draw(st.sampled_from(["count", "keep_least_similar", "skip"]))
    action = draw(st.sampled_from(["drop", "drop", "soften", "promote"]))
    options |= {"action": action, "softness": 0.1 if action == "soften" else None}
    if draw(rarely):
        options["scorer"] = "student"
    elif action != "soften" and draw(rarely):
        options["guide_vote"] = draw(st.sampled_from(get_args(GuideVote)))
    return MaskPolicy(**common, **options)


def _pool(rng: np.random.Generator, dtype: torch.dtype, texts: int, noise: float, guides: int) -> _Pool:
    def vectors(dim: int) -> Tensor:
        centres = rng.standard_normal((texts // 2, dim)).repeat(2, axis=0)
        values = centres + noise * rng.standard_normal((texts, dim))
        return torch.from_numpy(values * rng.choice([0.1, 1.0, 20.0])).to(dtype)

    return _Pool(
        student=vectors(int(rng.integers(2, 33))),
        guides=[vectors(int(rng.integers(2, 17))) for _ in range(guides)],
    )


def _weights(rng: np.random.Generator, rows: int, dtype: torch.dtype) -> Tensor:
    weights = torch.from_numpy(rng.random(rows) * (rng.random(rows) < 0.7)).to(dtype)
    weights[int(rng.integers(rows))] = 0.5
    return weights
