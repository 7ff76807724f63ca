"""What each axis of a sweep does, with the other axes held."""

from typing import Any

import numpy as np

from gistembed.evaluate import aligned, seed_interval
from gistembed.record import Interval
from gistembed.search.words import settings_line
from gistembed.sweep.table import Row, SweepTable
from gistembed.terms import ScoredSet


def profiles(table: SweepTable, axis: str, data: ScoredSet) -> dict[str, list[Row | None]]:
    """Rows by what the other axes have, in words: one for each value of this axis, None without scores.

    Args:
        table: The table.
        axis: The axis.
        data: The data set that the scores are of.
    """
    places = {repr(value): place for place, value in enumerate(table.axes[axis])}
    found: dict[str, list[Row | None]] = {}
    for row in table.rows:
        if data in row.scores:
            others = {name: value for name, value in row.settings.items() if name != axis}
            rows = found.setdefault(settings_line(others), [None] * len(places))
            rows[places[repr(row.settings[axis])]] = row
    return found


def marginal(table: SweepTable, axis: str, data: ScoredSet) -> list[Interval] | None:
    """The mean score at each value of an axis, over those settings of the others that have all its values.

    Args:
        table: The table.
        axis: The axis.
        data: The data set that the scores are of.

    Returns:
        One mean for each value; None where no setting of the others is whole, or they share no query.
    """
    whole = [
        [row for row in rows if row is not None]
        for rows in profiles(table, axis, data).values()
        if None not in rows
    ]
    matrices = aligned([row.by_query[data] for rows in whole for row in rows]) if whole else None
    if matrices is None:
        return None
    count = len(table.axes[axis])
    return [seed_interval(np.mean(matrices[place::count], axis=0)) for place in range(count)]


def shown_set(table: SweepTable) -> ScoredSet | None:
    """The data set that plots are of: dev where it chose, held-out otherwise; None without scores."""
    if table.ranked:
        return "dev"
    return "held-out" if "held-out" in table.sets else None


def label(value: Any) -> str:  # noqa: ANN401 — any value of a setting
    """A value as a place on an axis."""
    return settings_line({"": value}).strip()
