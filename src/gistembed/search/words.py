"""What a search says of itself: its plan, each trial, and what the best one is worth."""

from collections.abc import Mapping
from typing import Any

from gistembed.record import SplitRecord
from gistembed.search.record import SearchRecord, TrialRecord


def plan_lines(trials: int, split: SplitRecord, record: SearchRecord) -> str:
    """What a search is going to do, for a person to check.

    Args:
        trials: How many trials there will be in all.
        split: How the held-out pairs were chosen.
        record: The search before it goes on.
    """
    done = f", of which {len(record.trials):,} are done" if record.trials else ""
    lines = [
        f"{trials:,} trials{done}; each is trained on {record.train_pairs:,} pairs and scored by "
        f"{record.metric} on {record.dev_pairs:,} further training pairs; "
        f"the {split.held_out_pairs:,} held-out pairs are not used",
    ]
    return "\n".join(lines + [f"{name}: {_axis_words(axis)}" for name, axis in record.space.items()])


def trial_line(trial: TrialRecord, record: SearchRecord) -> str:
    """How a trial ended.

    Args:
        trial: The trial.
        record: The search with it.
    """
    if trial.score is not None:
        end = f"{record.metric} {trial.score:.4f}"
    else:
        end = "stopped, clearly worse" if trial.status == "pruned" else f"failed: {trial.error}"
    best = f" (best: trial {record.best})" if record.best is not None else ""
    return f"trial {trial.number}: {end}; {settings_line(trial.settings)}{best}"


def summary_line(record: SearchRecord) -> str:
    """What the best trial is worth, how it was found, and what was not looked at.

    Args:
        record: The finished search.
    """
    line = f"trial {record.best} is the best of {len(record.trials)}"
    if record.best == 0:
        line += "; nothing that was tried is better than the settings without a search"
    elif record.gain is not None:
        seen, unseen = record.gain.seen, record.gain.unseen
        line += (
            f"; {record.metric} {seen:+.3f} against trial 0 on the {record.dev_queries:,} queries that chose "
            f"it, {unseen:+.3f} where one half of them chooses and the other is scored: about "
            f"{max(seen - unseen, 0.0):.3f} is the luck of choosing"
        )
    return f"{line}; the held-out pairs were not used"


def setting_words(value: Any) -> str:  # noqa: ANN401 — whatever a setting can be
    """A setting's value, as short as it can be read back.

    Args:
        value: The value.
    """
    return f"{value:g}" if isinstance(value, float) else str(value)


def settings_line(settings: Mapping[str, Any]) -> str:
    """Values on the axes, in words.

    Args:
        settings: The values, by axis.
    """
    return ", ".join(f"{name} {setting_words(value)}" for name, value in settings.items()) or "the base"


def _axis_words(axis: Any) -> str:  # noqa: ANN401 — as in the record
    if isinstance(axis, list):
        return ", ".join(map(setting_words, axis))
    return f"{axis['low']:g} to {axis['high']:g}" + (", on a logarithmic scale" if "log" in axis else "")
