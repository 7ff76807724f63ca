"""The table of an evaluation: tasks down, models across."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from gistembed.evaluate.runs import Evaluated
from gistembed.pairs.join import source_names


def evaluation_table(evaluated: Sequence[Evaluated]) -> Table:
    """One row for each task; behind the first model, the others also show their difference from it.

    Args:
        evaluated: The results of every model on every task.
    """
    models = list(dict.fromkeys(one.model for one in evaluated))
    tasks = list(dict.fromkeys(one.task for one in evaluated))
    cells = {(one.model, one.task): one for one in evaluated}
    table = Table()
    for name in ("task", "scored on", "metric"):
        table.add_column(name, overflow="fold")
    for name in source_names(models):
        table.add_column(Text(name), justify="right", no_wrap=True)
    for task in tasks:
        first = cells[models[0], task]
        scores = [cells[model, task].result.main_score for model in models]
        table.add_row(Text(task), first.size, first.metric, *_side_by_side(scores))
    if len(tasks) > 1:
        means = [sum(cells[model, task].result.main_score for task in tasks) / len(tasks) for model in models]
        table.add_section()
        table.add_row("mean of tasks", "", "", *_side_by_side(means))
    return table


def _side_by_side(scores: Sequence[float]) -> list[str]:
    """Scores, behind the first with their difference from it."""
    base, *others = scores
    return [f"{base:.3f}", *(f"{score:.3f} ({score - base:+.3f})" for score in others)]
