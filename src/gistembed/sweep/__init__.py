"""A grid over settings, times seeds: each cell a run of `fit`, and one table of all of them."""

from gistembed.sweep.plan import Axis, Cell, SweepPlan, read_plan
from gistembed.sweep.record import CellRecord, SweepRecord
from gistembed.sweep.run import SweepResult, plan_sweep, run_sweep, tabulate
from gistembed.sweep.table import Row, SweepTable

__all__ = [
    "Axis",
    "Cell",
    "CellRecord",
    "Row",
    "SweepPlan",
    "SweepRecord",
    "SweepResult",
    "SweepTable",
    "plan_sweep",
    "read_plan",
    "run_sweep",
    "tabulate",
]
