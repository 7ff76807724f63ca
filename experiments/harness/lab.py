"""Where experiments are run: data, models, kept trainings, and several of them at once."""

import json
import multiprocessing
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from experiments.data import fetch_data, fetch_model
from experiments.harness.scale import Scale
from experiments.harness.scores import best_by_dev
from experiments.harness.tables import Row
from experiments.harness.training import (
    DataFolder,
    Trained,
    Training,
    encode_for,
    failed_at,
    in_one_thread,
    kept,
    kept_at,
    score_untrained,
    train,
    try_out,
)
from gistembed.console import Console
from gistembed.errors import StorageError, UserError

Name = TypeVar("Name")

_TRAININGS_EACH = 100
_POOLS: dict[int, tuple[ProcessPoolExecutor, int]] = {}

LOW_TEMPERATURE = 0.05
"""Where more of a row's gradient comes from false negatives than at the one that dev scores choose."""

CHOOSING_SEEDS = (101,)
"""Settings are chosen with these, and reported with others."""


@dataclass(frozen=True)
class Lab:
    """What an experiment works with.

    Attributes:
        scale: Models and sizes.
        cache: Where data and models are.
        work: Where finished trainings are kept; an experiment that was cut short goes on from there.
    """

    scale: Scale
    cache: Path
    work: Path

    @property
    def store(self) -> Path:
        """The guides' vectors."""
        return self.work / "store"

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of the reported trainings."""
        return tuple(range(1, self.scale.seeds + 1))

    def data(self, name: str) -> DataFolder:
        """A data set by its name; fetched if it is not there.

        Raises:
            UserError: If there is none of that name, or it can't be fetched.
        """
        folder = self.scale.data.get(name) or fetch_data(name, self.cache)
        found = DataFolder(folder)
        for path in (found.train, found.dev, found.test):
            if not path.is_file():
                raise UserError(f"{path}: not there; the data set {name} needs it")
        return found

    def model(self, name: str) -> str:
        """The folder of a model that is fetched by this name, or the name itself for any other model."""
        return fetch_model(name, self.cache)

    @property
    def student(self) -> str:
        """The scale's student."""
        return self.model(self.scale.student)

    @property
    def guide(self) -> str:
        """The scale's guide."""
        return self.model(self.scale.guide)

    def training(
        self,
        data: DataFolder,
        /,
        *,
        guide: str | Sequence[str] | None = None,
        tests: Mapping[str, Path] | None = None,
        **settings: Any,  # noqa: ANN401 — any setting of a run
    ) -> Training:
        """A training of the scale's size, with the learning rate and temperature that dev scores chose.

        Args:
            data: The pairs.
            guide: What guides; None for training without.
            tests: What is reported; the data set's own test queries by default, under the name ``test``.
            **settings: Any other settings of `gistembed fit`, before those of the scale.
        """
        chosen = {"data": str(data.train), "student": self.student} | self._sizes() | settings
        chosen |= {"loss": "infonce"} if guide is None else {"guide": guide}
        if chosen.get("mask", {}).get("scorer") == "student":
            del chosen["loss"]
        if not {"learning_rate", "temperature"} <= settings.keys():
            chosen = self.chosen(data, guided=guide is not None or "loss" not in chosen) | chosen
        return Training(chosen, data.dev, tests or {"test": data.test})

    def chosen(
        self,
        data: DataFolder,
        *,
        guided: bool,
        temperatures: Sequence[float] | None = None,
        **settings: Any,  # noqa: ANN401 — any setting of a run
    ) -> dict[str, float]:
        """Learning rate and temperature of the scale's student on this data, by dev scores alone.

        With and without the guide each has its own choice, so that neither is held back by the other's.

        Args:
            data: The pairs.
            guided: Whether the scale's guide guides.
            temperatures: In place of the scale's.
            **settings: Any other settings, before those of the scale.

        Raises:
            UserError: If none of the trainings can be finished.
        """
        options = [
            {"learning_rate": rate, "temperature": temperature}
            for rate in self.scale.learning_rates
            for temperature in temperatures or self.scale.temperatures
        ]
        trainings = {
            number: self.training(data, guide=self.guide if guided else None, tests=None, **settings | one)
            for number, one in enumerate(options)
        }
        return options[self.choose(trainings)]

    def choose(self, options: Mapping[Name, Training]) -> Name:
        """The option with the best dev scores, trained with seeds that nothing else has.

        An option whose training is stopped, as by a rate that is too high, loses, and is not tried again.

        Args:
            options: What to choose from.

        Raises:
            UserError: If none of the trainings can be finished; it says why the first can't.
        """
        self._run(
            try_out,
            options.values(),
            CHOOSING_SEEDS,
            lambda one, seed: any(at(one, seed, self.work).exists() for at in (kept_at, failed_at)),
        )
        found = {
            name: [kept(training, seed, self.work) for seed in CHOOSING_SEEDS]
            for name, training in options.items()
        }
        finished = {name: [one.dev for one in ends if one] for name, ends in found.items() if all(ends)}
        if not finished:
            places = (failed_at(one, seed, self.work) for one in options.values() for seed in CHOOSING_SEEDS)
            first = next(place for place in places if place.exists())
            raise UserError(
                f"none of {len(options)} settings to choose from could be trained with; the first: "
                + json.loads(first.read_text(encoding="utf-8"))["error"]
            )
        return best_by_dev(finished)

    def train(
        self, trainings: Mapping[Name, Training], seeds: Sequence[int] | None = None
    ) -> dict[Name, list[Trained]]:
        """Run what is not kept yet, several at once, and return what became of all, seed by seed.

        Raises:
            UserError: If any can't be finished; it says which. The others are finished and kept first.
        """
        seeds = self.seeds if seeds is None else seeds
        self._run(train, trainings.values(), seeds, lambda one, seed: kept_at(one, seed, self.work).exists())
        return {
            name: [_found(kept(training, seed, self.work)) for seed in seeds]
            for name, training in trainings.items()
        }

    def at_once(self, work: Callable[..., object], jobs: Sequence[tuple[object, ...]]) -> None:
        """Do all of it, several at once, each in one thread of a process that does others before and after.

        Args:
            work: A function of a module; it keeps what it makes.
            jobs: Its arguments, for each time that it is called.

        Raises:
            UserError: What the first of them raised that failed, once the others are done.
        """
        started = time.perf_counter()
        pool = _processes(self.scale.workers, len(jobs))
        running = [pool.submit(work, *job) for job in jobs]
        try:
            for number, done in enumerate(as_completed(running), 1):
                error = done.exception()
                # Where the disk is full, the others would find no room either.
                if error and (isinstance(error, StorageError) or not isinstance(error, UserError)):
                    raise error
                seconds = time.perf_counter() - started
                print(f"  {number} of {len(jobs)} trainings, {seconds:.0f} s", end="\r", flush=True)
        except BaseException:
            # What has not begun is left; what has ends first, and is kept.
            del _POOLS[self.scale.workers]
            pool.shutdown(cancel_futures=True)
            raise
        print()
        if failed := [error for one in running if (error := one.exception())]:
            raise UserError(f"{len(failed)} of {len(jobs)} trainings failed; the first: {failed[0]}")

    def untrained(self, training: Training) -> list[Trained]:
        """The student before training, as often as there are seeds."""
        self.work.mkdir(parents=True, exist_ok=True)
        return [score_untrained(training, self.work)] * len(self.seeds)

    def _run(
        self,
        work: Callable[[Training, int, Path, Path], object],
        trainings: Iterable[Training],
        seeds: Sequence[int],
        is_done: Callable[[Training, int], bool],
    ) -> None:
        """Do the work for each training and seed where it isn't done yet, several at once."""
        self.work.mkdir(parents=True, exist_ok=True)
        wanted = {training.key(seed): (training, seed) for training in trainings for seed in seeds}
        if missing := [job for job in wanted.values() if not is_done(*job)]:
            _encode(missing, self.store)
            self.at_once(work, [(*job, self.work, self.store) for job in missing])

    def _sizes(self) -> dict[str, Any]:
        return {"steps": self.scale.steps, "batch_size": self.scale.batch_size}


@dataclass(frozen=True)
class Experiment:
    """One question and how it is answered.

    Attributes:
        name: Its name: the module's, and that of its table.
        question: What is asked, in one line.
        run: Answers it with rows of a table.
    """

    name: str
    question: str
    run: Callable[[Lab], Sequence[Row]]


def _processes(workers: int, jobs: int) -> ProcessPoolExecutor:
    """They stay for many jobs: to load what a training needs takes longer than to train.

    Not for all: each tokenizer that was used leaves some 15 MB behind (tokenizers 0.23). The library's own
    way to renew them, ``max_tasks_per_child``, can leave a pool without any (CPython issue 115634).
    """
    pool, done = _POOLS.pop(workers, (None, 0))
    if pool is None or done + jobs > _TRAININGS_EACH * workers:
        if pool is not None:
            pool.shutdown()
        pool, done = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), in_one_thread), 0
    _POOLS[workers] = pool, done + jobs
    return pool


def _encode(jobs: Iterable[tuple[Training, int]], store: Path) -> None:
    """Each guide reads each set of pairs once, before several trainings want its vectors."""
    for training in {str((one.settings["data"], one.settings.get("guide"))): one for one, _ in jobs}.values():
        encode_for(training, store, Console(quiet=True))


def _found(trained: Trained | None) -> Trained:
    assert trained is not None, "it was run just now"
    return trained
