"""What a sweep says of itself: its plan, each cell, and what is best by the dev score."""

from gistembed.record import Interval
from gistembed.search.words import setting_words, settings_line
from gistembed.sweep.plan import SweepPlan
from gistembed.sweep.record import CellRecord, SweepRecord
from gistembed.sweep.table import Row, SweepTable


def plan_lines(plan: SweepPlan, waiting: int) -> str:
    """What a sweep is going to do, for a person to check.

    Args:
        plan: The sweep.
        waiting: How many of its cells are not finished.
    """
    done = len(plan.cells) - waiting
    count = f"{len(plan.cells):,} cells" + (f", of which {done:,} are finished" if done else "")
    lines = [f"{count}; seeds {', '.join(map(str, plan.seeds))}"]
    return "\n".join(
        lines + [f"{axis.name}: {', '.join(map(setting_words, axis.values))}" for axis in plan.axes]
    )


def cell_line(cell: CellRecord, record: SweepRecord) -> str:
    """How a cell ended, and how many are still to be run.

    Args:
        cell: The cell.
        record: The sweep with it.
    """
    end = f"failed: {cell.error}" if cell.error else cell.status
    left = sum(one.status == "waiting" for one in record.cells)
    return f"{cell.name}: {end}, {cell.seconds:.0f} s; {left:,} to go"


def within(interval: Interval) -> str:
    """A mean with its interval: ``0.412 [0.401, 0.423]``."""
    return f"{interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def signed(interval: Interval) -> str:
    """A difference with its interval: ``+0.012 [+0.001, +0.023]``."""
    return f"{interval.mean:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"


def summary_line(table: SweepTable) -> str:
    """What is best by dev and what the held-out pairs say of it, and what failed.

    Args:
        table: The table of the sweep.
    """
    parts = [unranked_line(table) if table.best is None else _best_line(table.best, table)]
    if left_out := len(table.left_out):
        parts.append(f"{left_out:,} more not ranked, as seeds are missing")
    if table.failed:
        parts.append(f"{table.failed:,} of {table.cells:,} cells failed")
    if table.missing:
        parts.append(f"{table.missing:,} of {table.cells:,} cells are not finished")
    return "; ".join(parts)


def unranked_line(table: SweepTable) -> str:
    """Why nothing is ranked.

    Args:
        table: A table without a best row.
    """
    if not table.unranked:
        return "no cell is finished"
    return f"nothing is ranked: {table.unranked}, and held-out pairs are not for choosing"


def tied_line(table: SweepTable) -> str:
    """How sure the first place is.

    Args:
        table: A table with a best row.
    """
    others = len(table.ranked) - 1
    if not others:
        return "the only settings that are ranked"
    return (
        f"dev can't tell it from {table.tied:,} of the {others:,} others" if table.tied else "alone in front"
    )


def _best_line(best: Row, table: SweepTable) -> str:
    dev, held_out = best.scores["dev"], best.scores["held-out"]
    return (
        f"best by dev {dev.metric} of {len(table.ranked):,} settings: {settings_line(best.settings)}: "
        f"dev {within(dev.score)}, {tied_line(table)}; held-out {held_out.metric} {within(held_out.score)}, "
        f"{signed(held_out.gain)} against the student before training; the held-out pairs chose nothing"
    )
