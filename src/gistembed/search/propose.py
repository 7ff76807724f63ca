"""Which settings the next trial gets: those that the trials before make promising, by optuna's TPE."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gistembed.errors import UserError
from gistembed.search.record import TrialRecord
from gistembed.search.space import Choices, Range, Space

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

# New settings are found in one or two, unless all that there are have been tried.
_ATTEMPTS = 50
# A trial is hopeless if it is worse than this share of at least so many that were as far.
_HOPELESS_SHARE, _FEWEST_TO_COMPARE = 0.25, 5


def require_optuna() -> None:
    """Make sure that optuna is there.

    Raises:
        UserError: If it isn't installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise UserError("a search needs the package optuna; run `pip install 'gistembed[search]'`") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def propose(space: Space, trials: Sequence[TrialRecord], *, seed: int) -> dict[str, Any] | None:
    """The settings of the next trial; a function of its arguments alone, whatever was interrupted before.

    Args:
        space: What is searched.
        trials: All trials so far.
        seed: Seed of the search.

    Returns:
        Settings that no trial had before; None if there are none left.
    """
    import optuna

    distributions = {name: _distribution(axis) for name, axis in space.items()}
    known = [_told(space, distributions, trial) for trial in trials if _lies_in(space, trial)]
    tried = [trial.settings for trial in trials]
    for attempt in range(_ATTEMPTS):
        state = np.random.SeedSequence([seed, len(trials), attempt]).generate_state(1)[0]
        study = optuna.create_study(
            direction="maximize", sampler=optuna.samplers.TPESampler(seed=int(state), multivariate=True)
        )
        study.add_trials(known)
        asked = study.ask(distributions).params
        settings = {name: _value(axis, asked[name]) for name, axis in space.items()}
        if settings not in tried:
            return settings
    return None


def is_hopeless(curve: Sequence[float], trials: Sequence[TrialRecord]) -> bool:
    """Whether a trial is, so far, in the worst quarter of those that were finished.

    Args:
        curve: Its scores so far; at least one.
        trials: The trials before it.
    """
    others = [
        trial.curve[len(curve) - 1]
        for trial in trials
        if trial.status == "finished" and len(trial.curve) >= len(curve)
    ]
    return len(others) >= _FEWEST_TO_COMPARE and curve[-1] < float(np.quantile(others, _HOPELESS_SHARE))


def _distribution(axis: Range | Choices) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(axis, Choices):
        # By number: a choice may be a table or a list, which optuna doesn't take.
        return CategoricalDistribution(tuple(range(len(axis.values))))
    if axis.whole:
        return IntDistribution(int(axis.low), int(axis.high), log=axis.log)
    return FloatDistribution(axis.low, axis.high, log=axis.log)


def _lies_in(space: Space, trial: TrialRecord) -> bool:
    """Trial 0 may have settings that the axes leave out."""
    return all(axis.holds(trial.settings[name]) for name, axis in space.items())


def _told(space: Space, distributions: "dict[str, BaseDistribution]", trial: TrialRecord) -> "FrozenTrial":
    """A trial as optuna knows it; one that failed counts as worse than all others, and so is not repeated."""
    import optuna

    finished = trial.status == "finished"
    return optuna.trial.create_trial(
        state=optuna.trial.TrialState.COMPLETE if finished else optuna.trial.TrialState.PRUNED,
        value=trial.score if finished else None,
        params={name: _parameter(axis, trial.settings[name]) for name, axis in space.items()},
        distributions=distributions,
        intermediate_values=dict(enumerate(trial.curve)) if trial.status != "failed" else {},
    )


def _parameter(axis: Range | Choices, value: Any) -> Any:  # noqa: ANN401
    return axis.values.index(value) if isinstance(axis, Choices) else value


def _value(axis: Range | Choices, parameter: Any) -> Any:  # noqa: ANN401
    return axis.values[parameter] if isinstance(axis, Choices) else axis.rounded(parameter)
