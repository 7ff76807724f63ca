"""Numbers that tell how a training fares, from embeddings alone; nothing here decides what they mean."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.stats import rankdata
from torch import Tensor

from gistembed.mask import unit_length


def mean_cosine(embeddings: Float[Tensor, "texts dim"]) -> Float[Tensor, ""]:
    """Mean cosine of two different texts: 0 where they point everywhere, 1 where all are the same.

    From the length of the sum of all directions, so that no matrix of all pairs is made.

    Args:
        embeddings: Embeddings of the texts, of whatever length.

    Returns:
        The mean; 0 for one text alone.
    """
    unit, _ = unit_length(embeddings.float())
    count = len(unit)
    return (unit.sum(0).square().sum() - count) / max(count * (count - 1), 1)


def separation(
    similarities: Float[np.ndarray, "rows rows"], rivals: Bool[np.ndarray, "rows rows"]
) -> float | None:
    """How often a row's own positive is more similar to its anchor than another row's: 0.5 by guessing.

    Args:
        similarities: Of each row's anchor with each row's positive; the row's own stand on the diagonal.
        rivals: Which of them a row's own is compared with.

    Returns:
        The share of all comparisons, a tie counting half; None if there is nothing to compare with.
    """
    if not rivals.any():
        return None
    own = similarities.diagonal()[:, None]
    won = (similarities < own) + 0.5 * (similarities == own)
    return float(won[rivals].mean())


def contrastive_loss(
    similarities: Float[np.ndarray, "rows rows"], rivals: Bool[np.ndarray, "rows rows"], temperature: float
) -> float:
    """Mean over rows of -log softmax of the row's own positive among itself and its rivals.

    Args:
        similarities: As `separation` takes them.
        rivals: As `separation` takes them.
        temperature: τ.
    """
    scores = np.where(rivals | np.eye(len(rivals), dtype=bool), similarities / temperature, -np.inf)
    most = scores.max(1, keepdims=True)
    return float((np.log(np.exp(scores - most).sum(1)) + most[:, 0] - scores.diagonal()).mean())


def guessing_loss(rivals: Bool[np.ndarray, "rows rows"]) -> float:
    """The loss of a model that finds everything equally similar: the mean of ln(candidates).

    Args:
        rivals: As `separation` takes them.
    """
    return float(np.log1p(rivals.sum(1)).mean())


def rank_agreement(
    first: Float[np.ndarray, "rows rows"],
    second: Float[np.ndarray, "rows rows"],
    rivals: Bool[np.ndarray, "rows rows"],
) -> float | None:
    """Spearman's correlation of two models' similarities over the rivals.

    Args:
        first: Similarities by one model.
        second: Similarities by the other.
        rivals: Which of them count.

    Returns:
        From -1 to 1, 0 without any relation; None where a model finds all equally similar.
    """
    ranks = [rankdata(values[rivals]) for values in (first, second)]
    if any(own.size < 2 or own.min() == own.max() for own in ranks):
        return None
    return float(np.corrcoef(*ranks)[0, 1])


def mean_turn(before: Float[np.ndarray, "texts dim"], after: Float[np.ndarray, "texts dim"]) -> float:
    """Mean angle in degrees by which embeddings turned.

    Args:
        before: Normalised embeddings of some texts.
        after: Those of the same texts later.
    """
    # From the distance: the arc cosine knows no angles below a fiftieth of a degree in single precision.
    chords = np.linalg.norm(after.astype(np.float64) - before.astype(np.float64), axis=1)
    return float(np.degrees(2 * np.arcsin(np.clip(chords / 2, 0, 1))).mean())


def ends(values: Sequence[float], share: float) -> tuple[float, float, float]:
    """Means of the first and the last values of a series, and how far they differ by chance.

    Args:
        values: The series, at least two values.
        share: Which share of it the first are, and the last.

    Returns:
        The two means, and the standard error of their difference, from how much neighbours differ.
    """
    series = np.asarray(values, np.float64)
    few = max(1, round(len(series) * share))
    # Neighbours share the trend, so that what they differ by is noise.
    noise = float(np.sqrt(np.square(np.diff(series)).mean() / 2))
    return float(series[:few].mean()), float(series[-few:].mean()), noise * math.sqrt(2 / few)


def first_not_finite(tensors: Sequence[tuple[str, Tensor]]) -> str | None:
    """The name of the first tensor that holds a number that is not finite; None if there is none.

    Args:
        tensors: Tensors of numbers, on whatever devices, with their names.
    """
    by_device: dict[torch.device, list[Tensor]] = {}
    for _, tensor in tensors:
        if tensor.numel():
            # The least and the largest are finite only if all are; one pass, in which nothing overflows.
            by_device.setdefault(tensor.device, []).extend(end.float() for end in tensor.aminmax())
    # One number to wait for on each device.
    if all(bool(torch.stack(own).isfinite().all()) for own in by_device.values()):
        return None
    return next((name for name, tensor in tensors if not bool(torch.isfinite(tensor).all())), None)
