"""How much of the tuned model: what each share of it gains, and what it forgets."""

from collections.abc import Callable, Sequence

from gistembed.errors import UserError
from gistembed.evaluate import METRICS, RetrievalTask, rank, score
from gistembed.models import EmbeddingModel
from gistembed.weights.blending.blend import Blend
from gistembed.weights.records import BlendChoice, ScoredOn, Trial

GRID = tuple(step / 10 for step in range(11))
LEAST_RETENTION = 0.95


def choose_alpha(
    blend: Blend,
    dev: RetrievalTask,
    retention: RetrievalTask,
    *,
    least_retention: float = LEAST_RETENTION,
    on_progress: Callable[[int], None] = lambda count: None,
) -> tuple[float, BlendChoice]:
    """Score blends from BASE to TUNED, and choose one.

    Args:
        blend: The two models.
        dev: What the model is for.
        retention: What it should not unlearn.
        least_retention: Share of BASE's retention score that has to be left.
        on_progress: Called with the number of texts embedded since the call before.

    Raises:
        UserError: If BASE finds nothing, so that there is no relative change.
    """
    scores = [tuple(_mean(blend.at(alpha), task, on_progress) for task in (dev, retention)) for alpha in GRID]
    for task, base_score in zip((dev, retention), scores[0], strict=True):
        if base_score == 0:
            raise UserError(
                f"{task.name}: BASE finds nothing there, so that nothing can be compared with it; "
                "give other pairs, or --alpha"
            )
    trials = relative_changes(GRID, scores, least_retention)
    choice = BlendChoice(
        metric=METRICS[0],
        dev=scored_on(dev),
        retention=scored_on(retention),
        least_retention=least_retention,
        rule=f"the highest mean of the two relative changes against BASE, among blends that keep at least "
        f"{least_retention:.0%} of BASE's retention score; of equals the one nearest to BASE",
        trials=trials,
    )
    return best(trials).alpha, choice


def relative_changes(
    alphas: Sequence[float], scores: Sequence[Sequence[float]], least_retention: float
) -> list[Trial]:
    """Each blend's scores, and their changes against the first one's.

    Args:
        alphas: Shares of TUNED; 0 first.
        scores: For each, the score on the development pairs and that on the retention pairs.
        least_retention: Share of the first one's retention score that has to be left.
    """
    base_dev, base_retention = scores[0]
    return [
        Trial(
            alpha=alpha,
            dev=dev,
            retention=retention,
            dev_change=dev / base_dev - 1,
            retention_change=retention / base_retention - 1,
            allowed=retention >= least_retention * base_retention,
        )
        for alpha, (dev, retention) in zip(alphas, scores, strict=True)
    ]


def best(trials: Sequence[Trial]) -> Trial:
    """The one with the highest gain among those allowed; of equals the first.

    Args:
        trials: The trials, BASE first; it is always allowed.
    """
    return max((trial for trial in trials if trial.allowed), key=lambda trial: trial.gain)


def scored_on(task: RetrievalTask) -> ScoredOn:
    """What a task is, for the record."""
    return ScoredOn(source=task.name, queries=len(task.queries), documents=len(task.documents))


def _mean(model: EmbeddingModel, task: RetrievalTask, on_progress: Callable[[int], None]) -> float:
    return float(score(task, rank(model, task, on_progress))[METRICS[0]].mean())
