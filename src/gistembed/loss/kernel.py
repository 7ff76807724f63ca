"""What makes the scores of a sweep: plain PyTorch, or the Triton kernel where it can and is faster."""

import importlib
import importlib.util
import os
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import NamedTuple

import torch
from jaxtyping import Int32
from torch import Tensor

from gistembed.loss.plan import SweepPlan

_MODULE = "gistembed.loss.fused"
# Own texts of a row that the fused kernel looks for; with more of them, a batch takes the plain path.
_MOST_OWN_TEXTS = 8
# Scores of a chunk below which launching anything takes longer than computing it.
_FEWEST_SCORES = 1 << 22
_choices: dict[tuple[object, ...], ModuleType | None] = {}


class FusedKernel(NamedTuple):
    """The fused kernel, and what it knows a sweep's own texts by.

    Attributes:
        module: `gistembed.loss.fused`.
        row_codes: Codes of each row's own texts; -1 pads.
        codes: Code of each text in the stack.
    """

    module: ModuleType
    row_codes: Int32[Tensor, "rows known"]
    codes: Int32[Tensor, " texts"]


class Trial(NamedTuple):
    """What one way of making the scores gave for a chunk of rows.

    Attributes:
        seconds: How long it took.
        loss: The rows' loss.
        left: Candidates left, over all rows.
    """

    seconds: float
    loss: float
    left: float


def fused_kernel(plan: SweepPlan, try_out: Callable[[FusedKernel | None], Trial]) -> FusedKernel | None:
    """The fused kernel, if this sweep is to use it.

    With ``auto``, both ways are tried on the first chunk of the first such sweep of this process, and the
    faster one is used from then on, provided that both say the same. Two runs on one GPU may so differ in
    the last digits; with ``torch`` they don't.

    Args:
        plan: The sweep.
        try_out: Runs the first chunk with the fused kernel, or without.

    Raises:
        ValueError: If ``triton`` is asked for, and the sweep is none for it.
    """
    if plan.kernel == "torch" or (plan.kernel == "auto" and not _worth_trying(plan)):
        return None
    reason = _why_not(plan)
    codes = None if reason else plan.mask.own_codes(_MOST_OWN_TEXTS)
    if codes is None:
        if plan.kernel == "triton":
            reason = reason or f"a row has more than {_MOST_OWN_TEXTS} own texts"
            raise ValueError(f"kernel: 'triton' can't be used: {reason}")
        return None
    if plan.kernel == "triton":
        return FusedKernel(importlib.import_module(_MODULE), *codes)
    key = (str(plan.unit.device), tf32_allowed(), plan.unit.shape[1], plan.guides[0].shape[1])
    if key not in _choices:
        _choices[key] = _better_one(codes, try_out)
    module = _choices[key]
    return None if module is None else FusedKernel(module, *codes)


def _worth_trying(plan: SweepPlan) -> bool:
    chunk = plan.chunks()[0]
    scores = (chunk.stop - chunk.start) * plan.mask.columns(chunk).width
    return _on_gpu(plan) and scores >= _FEWEST_SCORES


def _better_one(
    codes: tuple[Tensor, Tensor], try_out: Callable[[FusedKernel | None], Trial]
) -> ModuleType | None:
    plain = try_out(None)
    try:
        module = importlib.import_module(_MODULE)
        fused = try_out(FusedKernel(module, *codes))
    # Whatever keeps a compiler or a driver from running it, training can go on.
    except Exception as error:
        first_line = str(error).partition("\n")[0]
        _warn(f"the Triton kernel can't run here ({type(error).__name__}: {first_line})")
        return None
    # A thousandth of the decisions may hang on the last digit, not more.
    same_loss = abs(fused.loss - plain.loss) <= 1e-3 * max(abs(plain.loss), 1.0)
    if not same_loss or abs(fused.left - plain.left) > 1e-3 * plain.left:
        _warn(
            f"the Triton kernel gives a loss of {fused.loss:.6g} with {fused.left:.0f} candidates where "
            f"PyTorch gives {plain.loss:.6g} with {plain.left:.0f}"
        )
        return None
    return module if fused.seconds < plain.seconds else None


def _warn(what: str) -> None:
    warnings.warn(
        f"{what}; PyTorch's own operations are used. Please report this with your GPU's name and the "
        "versions of torch and triton",
        stacklevel=2,
    )


def _on_gpu(plan: SweepPlan) -> bool:
    return plan.unit.device.type == "cuda"


def _why_not(plan: SweepPlan) -> str:
    """Why the fused kernel can't do a sweep; empty if it can."""
    policy = plan.mask.policy
    on_device = _on_gpu(plan) or os.environ.get("TRITON_INTERPRET") == "1"
    for holds, reason in (
        (importlib.util.find_spec("triton") is None, "the package triton is not installed"),
        (not on_device, f"embeddings are on {plan.unit.device}, not on a CUDA device"),
        (plan.unit.dtype != torch.float32, f"scores are {plan.unit.dtype}, not torch.float32"),
        (len(plan.guides) != 1, f"it needs one guide, not {len(plan.guides)}"),
        (plan.dims != (plan.unit.shape[1],), "it takes all dimensions at once"),
        (plan.hardness is not None, "it knows no extra weight for hard negatives"),
        # Theirs hang on exact ties, which the kernel's own products would break.
        (policy.compat != "default", f"it knows no compat {policy.compat!r}"),
        (policy.action != "drop", f"it knows no action {policy.action!r}"),
        (policy.max_masked is not None, "it knows no max_masked"),
        (policy.starved == "keep_least_similar", "it puts no candidates back"),
        (policy.negatives == "explicit", "it scores whole batches"),
        (policy.trust_negatives or plan.mask.texts.trusted is not None, "it knows no trusted negatives"),
    ):
        if holds:
            return reason
    if plan.guides[0].dtype != torch.float32:
        return f"the guide's vectors are {plan.guides[0].dtype}, not torch.float32"
    return ""


def tf32_allowed() -> bool:
    """Whether products of float32 on a GPU may keep fewer digits, by whichever setting torch goes by."""
    matmul = torch.backends.cuda.matmul
    if hasattr(matmul, "fp32_precision"):
        return bool(matmul.fp32_precision == "tf32")
    return bool(matmul.allow_tf32)
