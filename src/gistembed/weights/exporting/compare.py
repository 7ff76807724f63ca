"""How far an exported model's embeddings are from those of the model that it was made from."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Float64

from gistembed.errors import UserError
from gistembed.weights.records import Precision

ALLOWED: dict[Precision, float] = {"float32": 1e-4, "int8": 0.3}
"""Largest difference that is let pass.

No cosine with another text can move by more than about this. In float32 only the order of sums differs, which
moves embeddings by some 1e-7. Weights in int8 move them by hundredths, up to a tenth or two; 0.3 is a
cosine of 0.955 with the original.
"""


def differences(
    expected: Float32[np.ndarray, "texts dim"], found: Float32[np.ndarray, "texts dim"]
) -> Float64[np.ndarray, " texts"]:
    """Distance of each embedding from the one it should be, as a share of the length of that one.

    Where that one is all zeros, so must the other be; a difference that is no number counts as infinite.

    Args:
        expected: What the model gives.
        found: What its export gives.
    """
    distances = np.linalg.norm(found.astype(np.float64) - expected, axis=1)
    lengths = np.linalg.norm(expected.astype(np.float64), axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where((lengths == 0) & (distances == 0), 0.0, distances / lengths)
    return np.where(np.isnan(shares), np.inf, shares)


def refuse_difference(
    texts: Sequence[str], shares: Float64[np.ndarray, " texts"], precision: Precision, what: str
) -> None:
    """Refuse an export that gives other embeddings than the model.

    Args:
        texts: The texts.
        shares: What `differences` says of them.
        precision: The weights' precision, which the bound depends on.
        what: What was exported, as the message begins.

    Raises:
        UserError: If one of them is beyond the bound.
    """
    worst = int(np.argmax(shares))
    if shares[worst] <= ALLOWED[precision]:
        return
    advice = "leave --int8 out" if precision == "int8" else "export it in another format"
    raise UserError(
        f"{what}: not written: its embeddings differ from the model's by up to {shares[worst]:.2g} of their "
        f"length (allowed: {ALLOWED[precision]:g}), most for the text {texts[worst][:60]!r}; {advice}"
    )
