"""What a guide has to do for some texts: found out before anything is written, and done here or elsewhere."""

from dataclasses import dataclass
from pathlib import Path

from gistembed.console import Console
from gistembed.guide.encoding.encode import encode_run
from gistembed.guide.encoding.on_ray import encode_on_ray
from gistembed.guide.encoding.vectors import (
    Asked,
    EncodingPlan,
    GuideVectors,
    MissingTexts,
    longest_first,
    look_up,
    naming_the_row,
    plan_encoding,
)
from gistembed.guide.encoding.workers import WorkerSettings, encode_in_processes
from gistembed.guide.scorers.endpoint import EndpointGuide, Estimate
from gistembed.guide.scorers.model import ModelGuide
from gistembed.guide.scorers.opening import GuideSettings, guide_identity, open_guide
from gistembed.guide.store.store import GuideStore
from gistembed.guide.store.writer import StoreWriter
from gistembed.ranks import is_first
from gistembed.terms import VectorDtype


@dataclass(frozen=True)
class GuideWork:
    """A guide, its store, and what it has to encode of some texts.

    Attributes:
        settings: The guide by its name, and how it is asked.
        guide: The guide.
        store: Where its vectors are kept.
        plan: The texts.
        missing: Those of them that the store lacks.
        pairs: The pairs whose texts they are, or the texts by themselves.
    """

    settings: GuideSettings
    guide: ModelGuide | EndpointGuide
    store: GuideStore
    plan: EncodingPlan
    missing: MissingTexts
    pairs: Asked

    @property
    def identity(self) -> str:
        """The guide's own."""
        return self.guide.identity

    def estimate(self, price: float | None) -> Estimate | None:
        """What an endpoint would be sent, and what it would cost; None for a guide that runs here.

        Args:
            price: What the endpoint takes for a million tokens.
        """
        if not isinstance(self.guide, EndpointGuide):
            return None
        return self.missing.estimate(self.guide, self.pairs, price)


def prepare_work(
    settings: GuideSettings, root: Path, pairs: Asked, *, dtype: VectorDtype = "float16"
) -> GuideWork:
    """Find out what has to be encoded; nothing is written, and a guide that has nothing to do isn't loaded.

    Args:
        settings: The guide by its name, and how it is asked.
        root: The store folder.
        pairs: The pairs whose texts are needed, or the texts by themselves.
        dtype: How vectors are kept.

    Raises:
        UserError: If there is no such guide, it can't be set so, or the store can't be written.
    """
    guide = open_guide(settings, store=root)
    store = GuideStore(root, guide_identity(guide, settings, dtype), guide.name, guide.facts)
    plan = plan_encoding(guide, pairs)
    missing = plan.missing(store)
    if missing:
        store.check_writable()
        if isinstance(guide, ModelGuide):
            # What is wrong with the model should be known now, not after the long work before it.
            guide.load()
            if not is_first():
                # The first process encodes.
                guide.unload()
    return GuideWork(settings, guide, store, plan, missing, pairs)


# Each file of a store is searched for every text; so many still open in a moment.
_MANY_FILES = 256


def stored_vectors(work: GuideWork) -> GuideVectors:
    """The vectors of all texts, where another process has done the work.

    Args:
        work: What `prepare_work` found.
    """
    _unload(work.guide)
    return look_up(work.store.reopened(), work.plan, work.pairs)


def do_work(
    work: GuideWork, console: Console, *, workers: int | None = None, on_ray: bool = False
) -> GuideVectors:
    """Encode what the store lacks, and return the vectors of all texts.

    Args:
        work: What `prepare_work` found.
        console: Where progress is shown.
        workers: How many processes encode; one for each GPU, or one, by default. On a cluster, one for each
            GPU, or each core. An endpoint is asked by one process, however many are allowed.
        on_ray: Whether they are workers of a Ray cluster.

    Raises:
        UserError: If the guide gives a vector that is zero or not finite, can't go on, or the store can't be
            written.
    """
    guide, count = work.guide, len(work.missing)
    if count:
        name = guide.model if isinstance(guide, EndpointGuide) else Path(guide.name).name
        with console.stage(f"count tokens, {name}", count, passing=True) as progress:
            runs = longest_first(guide, work.plan, work.missing, work.pairs, progress)
        if isinstance(guide, EndpointGuide):
            # Its requests are counted in one place, and wait for their answers together.
            workers, on_ray = 1, False
        elif not on_ray:
            workers = workers or (_gpus() if work.settings.backend == "torch" else 0) or 1
        settings = WorkerSettings(work.settings, work.store.root, work.store.identity, guide.name)
        with console.stage(f"encode, {name}", count) as progress, naming_the_row(work.pairs):
            if on_ray:
                _unload(guide)
                encode_on_ray(settings, runs, workers, progress)
            elif workers is not None and workers > 1:
                _unload(guide)
                encode_in_processes(settings, runs, workers, progress)
            else:
                writer = StoreWriter(work.store)
                for run in runs:
                    encode_run(guide, writer, run, progress)
    _unload(guide)
    store = work.store.reopened()
    if (files := len(store.shards)) > _MANY_FILES:
        console.warn(f"{work.store.folder}: {files:,} files; `gistembed guide compact` merges them into one")
    return look_up(store, work.plan, work.pairs)


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()


def _unload(guide: ModelGuide | EndpointGuide) -> None:
    """Give memory back that others need: workers with models of their own, and then the student."""
    if isinstance(guide, ModelGuide):
        guide.unload()
