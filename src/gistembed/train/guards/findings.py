"""What the numbers of a training mean, and from where on somebody should know: numbers in, findings out.

The limits stand where `benchmarks/guards.py` saw troubled and healthy trainings part.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from gistembed.record import StepRecord, TrainingFinding
from gistembed.train.guards.measures import ends

FEWEST_ROWS = 32
"""So many rows must be compared: by luck alone, fewer part from 0.5 by more than a tenth now and then."""

GUESSING = 0.65
"""Separation up to which a model guesses: trained models had 0.74 and more, untrained ones up to 0.62."""

LUCKY = 3.0
"""How many times as often as by guessing the own positive may come first and still be luck."""

NO_AGREEMENT = 0.1
"""Rank agreement up to which student and guide have nothing in common; trained models had 0.25 and more."""

COLLAPSED = 0.95
"""Mean cosine from which all texts are as good as one."""

PARTING = 1.25
"""How many times as far from 1 the mean cosine is as at first where texts that were alike begin to part."""

NO_SPREAD = 0.005
"""A mean cosine nearer to 1 than this is a collapse, whatever it was at first: rounding is of that size."""

COLLAPSING = 0.5
"""Share of the way from the first mean cosine to 1 that tells a collapse before it is complete."""

FEWEST_NEGATIVES_LEFT = 0.1
"""Share of the candidates that a mask should at least leave."""

MOST_ROWS_WITHOUT = 0.1
"""Share of rows without (enough) negatives from which training is starved."""

FEWEST_POINTS = 8
"""Logged points from which a loss has a trend."""

END = 0.25
"""Share of the logged points that make up the beginning of a training, and its end."""

SURE = 3.0
"""Standard errors from which a difference is more than chance."""

FALL = 0.05
"""Share of the first loss by which it should fall: only where chance doesn't hide it, it is missed."""

LEARNT = 0.05
"""A loss below this at the beginning has nowhere to fall to."""

UNTURNED = 0.1
"""Degrees by which embeddings turn at least if anything was learned: healthy trainings had 1.8 and more."""


@dataclass(frozen=True)
class Start:
    """What was measured before the first step, over some of the first rows.

    Attributes:
        rows: How many rows.
        separation: See `gistembed.train.guards.measures.separation`; None without anything to compare.
        loss: The student's loss over the rows.
        guessing: The loss of a model that guesses.
        guide_separations: The separation by each guide.
        agreements: Rank agreement of the student with each guide.
    """

    rows: int
    separation: float | None
    loss: float
    guessing: float
    guide_separations: Sequence[float | None] = ()
    agreements: Sequence[float | None] = ()


def starting_student(start: Start) -> list[TrainingFinding]:
    """A student that can't tell a row's own positive from another's.

    Args:
        start: What was measured.
    """
    if start.rows < FEWEST_ROWS or start.separation is None or start.separation > GUESSING:
        return []
    return [
        TrainingFinding(
            code="student-guesses",
            severity="warning",
            step=0,
            what="Before training, the student finds a row's own positive more similar than another row's "
            f"in {start.separation:.0%} of all comparisons; 50% is guessing. Its loss is {start.loss:.2f}, "
            f"and ln(candidates) is {start.guessing:.2f}.",
            advice="Look whether the columns are the right ones and the texts of a row belong together, then "
            "at the student's pooling and prompts. Only a student that was never trained may begin like "
            "this.",
            measured={
                "separation": start.separation,
                "loss": start.loss,
                "ln_candidates": start.guessing,
            },
        )
    ]


def starting_guides(start: Start) -> list[TrainingFinding]:
    """Guides that can't tell the pairs, or that have nothing in common with the student.

    Args:
        start: What was measured.
    """
    if start.rows < FEWEST_ROWS:
        return []
    findings = []
    for number, (separation, agreement) in enumerate(
        zip(start.guide_separations, start.agreements, strict=True), 1
    ):
        name = "guide" if len(start.agreements) == 1 else f"guide {number}"
        if separation is not None and separation <= GUESSING:
            findings.append(
                TrainingFinding(
                    code="guide-guesses",
                    severity="warning",
                    step=0,
                    what=f"The {name} finds a row's own positive more similar than another row's "
                    f"in {separation:.0%} of all comparisons; 50% is guessing, and so is its mask.",
                    advice="Look whether its vectors are those of these texts in this order, then at its "
                    "prompts and whether it reads the language; or choose another guide.",
                    measured={"separation": separation},
                )
            )
        elif agreement is not None and agreement <= NO_AGREEMENT:
            findings.append(
                TrainingFinding(
                    code="guide-disagrees",
                    severity="warning",
                    step=0,
                    what=f"The {name} and the student rank the same texts differently: their similarities "
                    f"have a rank correlation of {agreement:.2f}, where 1 is agreement and 0 is none.",
                    advice="One of the two misreads the texts: look at the prompts, the languages and the "
                    "pooling of both. With a student that was never trained this is to be expected.",
                    measured={"rank_agreement": agreement},
                )
            )
    return findings


def warm_up(steps: int, warmup_steps: int, learning_rate: float) -> list[TrainingFinding]:
    """A learning rate that is never reached.

    Args:
        steps: Steps of the training.
        warmup_steps: Steps in which the learning rate rises; at the first it is still 0.
        learning_rate: The rate that it rises to.
    """
    if warmup_steps < steps:
        return []
    reached = learning_rate * (steps - 1) / warmup_steps
    return [
        TrainingFinding(
            code="stays-in-warm-up",
            severity="warning",
            step=0,
            what=f"Training ends before the learning rate is up: of {warmup_steps:,} warm-up steps it has "
            f"{steps:,}, so the rate gets to {reached:.3g} of {learning_rate:.3g}.",
            advice="Train for more steps (--epochs or --steps), or set a smaller warmup.",
            measured={"steps": steps, "warmup_steps": warmup_steps, "highest_learning_rate": reached},
        )
    ]


def collapse(history: Sequence[StepRecord]) -> list[TrainingFinding]:
    """Embeddings that become one: all texts alike, or on the way there.

    Args:
        history: The logged points so far; those with a ``mean_cosine`` count.
    """
    points = [point for point in history if "mean_cosine" in point.metrics]
    if len(points) < 2:
        return []
    first, now = (point.metrics["mean_cosine"] for point in (points[0], points[-1]))
    risen = now - first > COLLAPSING * (1 - first)
    # A student that was never trained begins with all texts alike, and has yet to part them.
    parted = max(PARTING * (1 - first), NO_SPREAD)
    stuck = now >= COLLAPSED and 1 - now < parted and len(points) >= FEWEST_POINTS
    if not (risen or stuck):
        return []
    return [
        TrainingFinding(
            code="collapse",
            severity="warning",
            step=points[-1].step,
            what=f"All texts {'become' if risen else 'stay'} alike: the mean cosine of two different texts "
            f"was {first:.2f} at step {points[0].step:,} and is {now:.2f} at step {points[-1].step:,}; "
            "1 is one embedding for all.",
            advice="Try a lower --learning-rate, a longer warmup or a larger batch, and look whether the "
            "mask leaves negatives.",
            measured={"mean_cosine_first": first, "mean_cosine": now},
        )
    ]


def starvation(point: StepRecord) -> list[TrainingFinding]:
    """Rows that have next to nothing left to be told apart from.

    Args:
        point: A logged point.
    """
    metrics = point.metrics
    without = max(metrics.get("rows_without_negatives", 0.0), metrics.get("starved_rows", 0.0))
    rates = [rate for name, rate in metrics.items() if name.startswith("mask_rate/")]
    masked = min(rates, default=0.0)
    if without <= MOST_ROWS_WITHOUT and masked < 1 - FEWEST_NEGATIVES_LEFT:
        return []
    return [
        TrainingFinding(
            code="starved",
            severity="warning",
            step=point.step,
            what=f"{without:.0%} of the rows have too few negatives or none; on average "
            f"{metrics.get('negatives_per_row', 0.0):,.0f} are left to a row, and the guide takes out at "
            f"least {masked:.0%} of every block.",
            advice="Such rows teach nothing. Set a smaller or negative margin, cap the mask by max_masked, "
            "take a larger batch, or look whether many rows share their texts.",
            measured={
                "rows_without": without,
                "mask_rate": masked,
                "negatives_per_row": metrics.get("negatives_per_row", 0.0),
            },
        )
    ]


def still_guessing(history: Sequence[StepRecord]) -> list[TrainingFinding]:
    """A student that guesses though it has trained for a while.

    The loss alone doesn't tell: at a low temperature a good student that errs now and then pays more than one
    that guesses.

    Args:
        history: The logged points so far; those with ``negatives_per_row`` and ``in_batch_accuracy`` count.
    """
    points = [
        point
        for point in history
        if point.metrics.get("negatives_per_row", 0.0) >= 1 and "in_batch_accuracy" in point.metrics
    ]
    if len(points) < FEWEST_POINTS:
        return []
    late = points[-max(2, round(len(points) * END)) :]
    loss = fmean(point.loss for point in late)
    guessing = fmean(math.log1p(point.metrics["negatives_per_row"]) for point in late)
    accuracy = fmean(point.metrics["in_batch_accuracy"] for point in late)
    chance = fmean(1 / (1 + point.metrics["negatives_per_row"]) for point in late)
    if loss < guessing or accuracy > LUCKY * chance:
        return []
    return [
        TrainingFinding(
            code="still-guesses",
            severity="warning",
            step=late[-1].step,
            what=f"At step {late[-1].step:,} the student still guesses: its loss is {loss:.2f}, where "
            f"ln(candidates) is {guessing:.2f}, and {accuracy:.1%} of the rows have their own positive "
            "first.",
            advice="Try a lower --learning-rate or a higher --temperature, and look whether the texts of a "
            "row belong together.",
            measured={"loss": loss, "ln_candidates": guessing, "accuracy": accuracy},
        )
    ]


def trend(history: Sequence[StepRecord], *, scheduled: bool) -> list[TrainingFinding]:
    """A loss that ends above where it began, or no lower.

    Args:
        history: All logged points.
        scheduled: Whether the mask changes with the step, and the loss with it.
    """
    if scheduled or len(history) < FEWEST_POINTS:
        return []
    first, last, chance = ends([point.loss for point in history], END)
    if first < LEARNT or last < first:
        return []
    rises = last > first + SURE * chance
    if not rises and first - last + SURE * chance > FALL * first:
        return []
    return [
        TrainingFinding(
            code="loss-rises" if rises else "loss-does-not-fall",
            severity="warning",
            step=history[-1].step,
            what=f"The loss {'rose' if rises else 'did not fall'}: it was {first:.3g} in the first quarter "
            f"of the training and is {last:.3g} in the last.",
            advice="Try a lower --learning-rate or a longer warmup."
            if rises
            else "Try another --learning-rate or more steps, and look whether the texts of a row belong "
            "together.",
            measured={"loss_first": first, "loss_last": last, "chance": chance},
        )
    ]


def nothing_learned(turn: float, step: int) -> list[TrainingFinding]:
    """Embeddings that are after training nearly what they were before.

    Args:
        turn: Mean angle in degrees by which the probed texts turned.
        step: The last step.
    """
    if turn > UNTURNED:
        return []
    return [
        TrainingFinding(
            code="nothing-learned",
            severity="warning",
            step=step,
            what="Training changed next to nothing: the embeddings of the first rows turned by "
            f"{turn:.2g} degrees.",
            advice="Try a higher --learning-rate or more steps; look whether layers are frozen that should "
            "learn, and whether weights in fp16 or bf16 round small updates away.",
            measured={"degrees": turn},
        )
    ]
