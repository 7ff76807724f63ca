"""One row for each combination of settings: means over seeds and queries, with their intervals."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from gistembed.errors import UserError
from gistembed.evaluate import METRICS, aligned, few_seeds, read_query_scores, seed_interval, verdict_of
from gistembed.record import Interval, RunRecord, Verdict
from gistembed.search.words import settings_line
from gistembed.sweep.folder import SweepFolder
from gistembed.sweep.record import CellRecord, SweepRecord
from gistembed.terms import ScoredSet

# In the order in which they are shown; the first alone may choose.
SETS: tuple[ScoredSet, ...] = ("dev", "held-out", "retention")

Scores = Mapping[str, float]
"""The score of each query, by its text."""


@dataclass(frozen=True)
class SetScores:
    """What the models of a row score on one data set.

    Attributes:
        metric: The metric.
        queries: Over how many queries.
        score: Mean after training.
        gain: The same minus the mean before training, query by query.
        against_first: Its difference to the first row of the grid, query by query and seed by seed; None for
            that row itself, or where the two have no query or no seed in common.
        verdict: What that difference says.
    """

    metric: str
    queries: int
    score: Interval
    gain: Interval
    against_first: Interval | None = None
    verdict: Verdict | None = None


@dataclass(frozen=True)
class Row:
    """One combination of settings.

    Attributes:
        settings: Its value on each axis.
        seeds: The seeds of its finished cells.
        cells: How many cells it has.
        failed: How many of them failed.
        scores: Scores by data set; none if no cell is finished.
        by_query: Scores after training by data set, seed and query.
    """

    settings: Mapping[str, Any]
    seeds: tuple[int, ...]
    cells: int
    failed: int
    scores: Mapping[ScoredSet, SetScores] = field(default_factory=dict)
    by_query: Mapping[ScoredSet, Mapping[int, Scores]] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class SweepTable:
    """All rows of a sweep.

    Attributes:
        axes: What varies: the values of each setting.
        rows: By dev score, the best first, those that are ranked; then the others as in the grid.
        ranked: The rows that were ranked by dev score, all over the same seeds.
        tied: How many of the others the dev score doesn't tell from the first of them.
        unranked: Why none were; empty if some were, or no cell is finished.
        sets: The data sets that any row has scores on.
        warnings: What a reader should know.
        left_out: Rows that are not ranked beside the others, as they lack seeds that others have.
    """

    axes: Mapping[str, Sequence[Any]]
    rows: tuple[Row, ...]
    ranked: tuple[Row, ...]
    tied: int
    unranked: str
    sets: tuple[ScoredSet, ...]
    warnings: tuple[str, ...]
    left_out: tuple[Row, ...] = ()

    @property
    def best(self) -> Row | None:
        """The best by dev score; None if nothing is ranked."""
        return self.ranked[0] if self.ranked else None

    @property
    def cells(self) -> int:
        """All cells."""
        return sum(row.cells for row in self.rows)

    @property
    def failed(self) -> int:
        """Cells that failed."""
        return sum(row.failed for row in self.rows)

    @property
    def missing(self) -> int:
        """Cells that are neither finished nor failed."""
        return sum(row.cells - row.failed - len(row.seeds) for row in self.rows)


@dataclass(frozen=True)
class _CellScores:
    """Scores of one finished cell by data set, after training and before."""

    metrics: Mapping[ScoredSet, str]
    after: Mapping[ScoredSet, Scores]
    before: Mapping[ScoredSet, Scores]


def sweep_table(record: SweepRecord, folder: SweepFolder) -> SweepTable:
    """The table of the cells that are finished.

    Args:
        record: The sweep.
        folder: Where its cells are.

    Raises:
        UserError: If what a finished cell wrote can't be read.
    """
    found = {cell.name: _read(folder.cell(cell.name)) for cell in record.cells if cell.status == "finished"}
    points: dict[str, list[CellRecord]] = {}
    for cell in record.cells:
        points.setdefault(repr(cell.settings), []).append(cell)
    rows = [_row(cells, found) for cells in points.values()]
    rows = [_against(row, rows[0]) for row in rows]
    finished = [row for row in rows if row.scores]
    whole = _with_all_seeds(finished)
    unranked = _why_unranked(finished, whole)
    ranked = [] if unranked else sorted(whole, key=lambda row: -row.scores["dev"].score.mean)
    left_out = [row for row in finished if row not in ranked] if ranked else []
    return SweepTable(
        axes=record.axes,
        rows=(*ranked, *(row for row in rows if row not in ranked)),
        ranked=tuple(ranked),
        tied=sum(not _is_behind(row, ranked[0]) for row in ranked[1:]),
        unranked=unranked,
        sets=tuple(data for data in SETS if any(data in row.scores for row in rows)),
        warnings=tuple(_warnings(finished, left_out)),
        left_out=tuple(left_out),
    )


def _read(place: Path) -> _CellScores:
    """Scores of a finished run; what it was about is the last model that it trained."""
    try:
        run = RunRecord.model_validate_json((place / "run.json").read_bytes())
        scores = read_query_scores(place / "scores.parquet")
    except (ValidationError, OSError, pa.ArrowException) as error:
        raise UserError(
            f"{place}: its results can't be read; remove this folder and go on with --resume"
        ) from error
    after = run.trainings[-1].model
    metrics = {data: METRICS[0] for data in SETS if (data, after) in scores}
    if "dev" in metrics:
        metrics["dev"] = run.config["keep_best"]
    return _CellScores(
        metrics=metrics,
        after={data: scores[data, after].of(metric) for data, metric in metrics.items()},
        before={data: scores[data, "base"].of(metric) for data, metric in metrics.items()},
    )


def _row(cells: Sequence[CellRecord], found: Mapping[str, _CellScores]) -> Row:
    """One row; scores are of the data sets that all of its finished cells have under the same metric."""
    done = {cell.seed: found[cell.name] for cell in cells if cell.name in found}
    scores, by_query = {}, {}
    for data in SETS:
        metrics = {cell.metrics.get(data) for cell in done.values()}
        metric = metrics.pop() if len(metrics) == 1 else None
        if metric is None:
            continue
        after = {seed: cell.after[data] for seed, cell in done.items()}
        both = aligned([after, {seed: cell.before[data] for seed, cell in done.items()}])
        if both is None:
            continue
        by_query[data] = after
        scores[data] = SetScores(
            metric=metric,
            queries=both[0].shape[1],
            score=seed_interval(both[0]),
            gain=seed_interval(both[0] - both[1]),
        )
    return Row(
        settings=cells[0].settings,
        seeds=tuple(done),
        cells=len(cells),
        failed=sum(cell.status == "failed" for cell in cells),
        scores=scores,
        by_query=by_query,
    )


def _against(row: Row, first: Row) -> Row:
    """The row with its differences to the first one."""
    if row is first:
        return row
    return replace(row, scores={data: _compared(row, first, data) for data in row.scores})


def _compared(row: Row, first: Row, data: ScoredSet) -> SetScores:
    scores = row.scores[data]
    if data not in first.scores or first.scores[data].metric != scores.metric:
        return scores
    both = aligned([row.by_query[data], first.by_query[data]])
    if both is None:
        return scores
    difference = seed_interval(both[0] - both[1])
    return replace(scores, against_first=difference, verdict=verdict_of(difference, queries=both[0].shape[1]))


def _with_all_seeds(finished: Sequence[Row]) -> list[Row]:
    """The rows that have every seed that any has: a mean over fewer may be high by the luck of its seeds."""
    seeds = {seed for row in finished for seed in row.seeds}
    return [row for row in finished if seeds == set(row.seeds)]


def _why_unranked(finished: Sequence[Row], whole: Sequence[Row]) -> str:
    """Why dev scores can't rank these rows; empty if they can, or if there are none."""
    if not all("dev" in row.scores for row in finished):
        return "no dev pairs are held out (keep_best in the base holds some out)"
    if len({row.scores["dev"].metric for row in finished}) > 1:
        return "dev scores are of different metrics"
    if _differ(finished, "dev"):
        return "dev scores are of different queries"
    if finished and not whole:
        return "no settings have all seeds that others have"
    return ""


def _is_behind(row: Row, best: Row) -> bool:
    """Whether a row is worse than the best by dev, query by query and seed by seed, beyond luck."""
    both = aligned([row.by_query["dev"], best.by_query["dev"]])
    if both is None:
        return False
    return verdict_of(seed_interval(both[0] - both[1]), queries=both[0].shape[1]) == "worse"


def _differ(rows: Sequence[Row], data: ScoredSet) -> bool:
    """Whether not all cells were scored on the same queries."""
    queries = {frozenset(one) for row in rows for one in row.by_query.get(data, {}).values()}
    return len(queries) > 1


def _warnings(finished: Sequence[Row], left_out: Sequence[Row]) -> Iterator[str]:
    if not finished:
        return
    if left_out:
        seeds = len({seed for row in finished for seed in row.seeds})
        names = "; ".join(f"{settings_line(row.settings)} ({len(row.seeds)} of {seeds})" for row in left_out)
        yield f"not ranked, as a mean over fewer seeds may be high by their luck: {names}"
    if (few := few_seeds(min(len(row.seeds) for row in finished))) is not None:
        yield few
    if (others := len(finished) - 1) > 1:
        yield (
            f"each of the {others:,} intervals against the first row is one of 95 %; they are not corrected "
            "for being several"
        )
    if _differ(finished, "held-out"):
        yield "not all cells were scored on the same queries; differences are over those in common"
