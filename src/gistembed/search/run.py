"""The whole search: axes checked, trials one after the other, and what the best of them is worth."""

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gistembed.config import RunConfig, run_config
from gistembed.console import Console
from gistembed.errors import Terminated, UserError
from gistembed.files import write_whole
from gistembed.folder import alone_in
from gistembed.journal import first_record
from gistembed.prepare.run import prepare_run
from gistembed.ranks import ranks
from gistembed.search.bench import Bench, prepare_bench
from gistembed.search.best_file import best_toml
from gistembed.search.folder import RECORD, SearchFolder
from gistembed.search.luck import gain_of_best
from gistembed.search.propose import propose, require_optuna
from gistembed.search.record import Gain, SearchRecord, TrialRecord
from gistembed.search.space import Space, default_space, space_from_settings
from gistembed.search.trial import METRIC, run_trial
from gistembed.search.words import plan_lines, summary_line, trial_line


@dataclass(frozen=True)
class SearchPlan:
    """What to search, as the user asked for it.

    Attributes:
        settings: Settings of the run that all trials vary, by name.
        flags: Names of those that come from the command line.
        space: The ``[search]`` table; None for the usual axes.
        source: Where the settings come from, for messages.
        trials: How many trials to run in all, those of earlier attempts included.
        minutes: After so many, no new trial is begun; None for no limit.
    """

    settings: Mapping[str, Any]
    flags: frozenset[str] = frozenset()
    space: Mapping[str, Any] | None = None
    source: str = "search"
    trials: int = 20
    minutes: float | None = None

    def base(self) -> RunConfig:
        """The run without a search.

        Raises:
            UserError: If its settings are not as they should be.
        """
        return run_config(self.settings, source=self.source, flags=self.flags)

    def varied(self, settings: Mapping[str, Any]) -> RunConfig:
        """The run with other settings.

        Args:
            settings: What differs, by name.

        Raises:
            UserError: If that is no run.
        """
        return run_config({**self.settings, **settings}, source=f"{self.source}: [search]")


@dataclass(frozen=True)
class SearchResult:
    """What a search left behind.

    Attributes:
        record: Everything that ``search.json`` holds.
        best: The configuration file of the best trial.
        summary: What the best trial is worth, in words.
    """

    record: SearchRecord
    best: Path
    summary: str


def run_search(
    plan: SearchPlan, console: Console, *, resume: bool = False, clock: Callable[[], float] = time.monotonic
) -> SearchResult:
    """Search, and write ``search.json`` after each trial and ``best.toml`` in the end.

    Args:
        plan: What to search.
        console: Where progress is shown.
        resume: Go on with the search in the output folder.
        clock: Tells seconds.

    Raises:
        UserError: If data, models, settings or axes are not as they should be; nothing is written then. Also
            if no trial could be trained.
        KeyboardInterrupt: If the user interrupts; trials that have ended are kept, and ``resume`` goes on.
    """
    _check_machine()
    with alone_in(plan.base().out / RECORD):
        return _run(plan, console, resume=resume, clock=clock)


def _run(plan: SearchPlan, console: Console, *, resume: bool, clock: Callable[[], float]) -> SearchResult:
    started = clock()
    folder, bench, space, record = _ready(plan, console, resume=resume)
    console.say(plan_lines(plan.trials, bench.run.split, record))
    folder.clear_trial()
    folder.write_record(record)
    try:
        # The guide's work is no part of a trial; what is wrong with it is wrong with all of them.
        bench.vectors(bench.run.config)
        while len(record.trials) < plan.trials:
            if plan.minutes is not None and clock() - started >= 60 * plan.minutes:
                console.say(f"{plan.minutes:g} minutes are over; no further trial is begun")
                break
            settings = _next_settings(plan, bench, space, record)
            if settings is None:
                console.say("all settings have been tried")
                break
            trial = run_trial(bench, partial(plan.varied, settings), settings, record.trials, folder)
            record = _with_trial(record, trial)
            folder.write_record(record)
            console.say(trial_line(trial, record))
    except (KeyboardInterrupt, Terminated):
        with contextlib.suppress(OSError):
            folder.write_record(record.model_copy(update={"status": "interrupted"}))
        raise
    return _finish(plan, folder, record)


def plan_search(plan: SearchPlan, console: Console, *, resume: bool = False) -> str:
    """Check everything that `run_search` checks and say what it would do; nothing is written."""
    _, bench, _, record = _ready(plan, console, resume=resume)
    return plan_lines(plan.trials, bench.run.split, record)


def _ready(
    plan: SearchPlan, console: Console, *, resume: bool
) -> tuple[SearchFolder, Bench, Space, SearchRecord]:
    _check_machine()
    base = plan.base()
    given = None if plan.space is None else space_from_settings(plan.space, source=plan.source)
    if given is not None:
        # Before the data is read, as far as it can be told.
        _check_axes(plan, given, lambda config: None)
    folder = SearchFolder(base.out, resume=resume)
    bench = prepare_bench(prepare_run(base, console), console)
    resolved, _ = bench.plan(base, bench.run.student)
    space = given or default_space(resolved, base.model_fields_set, pairs=len(bench.train))
    _check_axes(plan, space, bench.check)
    if resume and folder.begun is None:
        console.say(f"{base.out}: nothing to resume; starting from the beginning")
    return folder, bench, space, _first_record(plan, bench, space, folder)


def _check_machine() -> None:
    require_optuna()
    if ranks() > 1:
        raise UserError("search: runs in one process; start it without torchrun")


def _check_axes(plan: SearchPlan, space: Space, check: Callable[[RunConfig], None]) -> None:
    """Every choice and both ends of every range, while the other axes stay at their first."""
    corner = {name: axis.extremes()[0] for name, axis in space.items()}
    ignored = []
    for name, axis in space.items():
        for value in axis.extremes():
            config = plan.varied(corner | {name: value})
            check(config)
            ignored.append(set(config.ignored()))
    for line in set.intersection(*ignored):
        if line.split()[0] in space:
            raise UserError(f"{plan.source}: [search] {line}; leave it out")


def _first_record(plan: SearchPlan, bench: Bench, space: Space, folder: SearchFolder) -> SearchRecord:
    begun = folder.begun
    run = first_record(bench.run, None if begun is None else begun.run)
    axes = {name: axis.record() for name, axis in space.items()}
    if begun is None:
        return SearchRecord(
            status="running",
            run=run,
            space=axes,
            metric=METRIC,
            train_pairs=len(bench.train),
            dev_pairs=len(bench.dev.pairs),
            dev_queries=len(bench.dev.queries),
        )
    if begun.space != axes:
        raise UserError(
            f"--resume: the search in {folder.path} was begun with other axes ({', '.join(begun.space)}); "
            "use the same [search], or another --out"
        )
    return begun.model_copy(update={"status": "running", "run": run, "best": None, "gain": None})


def _next_settings(
    plan: SearchPlan, bench: Bench, space: Space, record: SearchRecord
) -> dict[str, Any] | None:
    """First the settings of a run without a search, so that what is found can be compared with them."""
    if record.trials:
        return propose(space, record.trials, seed=bench.run.config.seed)
    resolved, _ = bench.plan(plan.base(), bench.run.student)
    own = resolved.model_dump(mode="json")
    return {name: own.get(name) for name in space}


def _with_trial(record: SearchRecord, trial: TrialRecord) -> SearchRecord:
    trials = [*record.trials, trial]
    scored = [one for one in trials if one.score is not None]
    best = max(scored, key=lambda one: one.score or 0.0).number if scored else None
    return record.model_copy(update={"trials": trials, "best": best})


def _finish(plan: SearchPlan, folder: SearchFolder, record: SearchRecord) -> SearchResult:
    best = next((trial for trial in record.trials if trial.number == record.best), None)
    if best is None:
        if not record.trials:
            raise UserError("search: no trial was begun in this time; go on with --resume, and give it more")
        raise UserError(
            f"search: none of {len(record.trials)} trials could be trained; "
            f"the last: {record.trials[-1].error}"
        )
    record = record.model_copy(update={"status": "finished", "gain": _gain(record)})
    named = {*plan.settings, *record.space}
    toml = best_toml(plan.varied(best.settings), named, record, folder.path / "fit")
    write_whole(folder.best_path, toml.encode())
    folder.write_record(record)
    return SearchResult(record, folder.best_path, summary_line(record))


def _gain(record: SearchRecord) -> Gain | None:
    """Of trials that were finished; None if the first wasn't."""
    if record.trials[0].status != "finished":
        return None
    return gain_of_best(np.array([trial.scores for trial in record.trials if trial.scores]))
