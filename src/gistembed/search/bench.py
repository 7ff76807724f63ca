"""What all trials of a search share: the pairs, their tokens and the guides' vectors, each made once."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from gistembed.batches import TokenCache
from gistembed.config import OF_GUIDES, RunConfig
from gistembed.console import Console
from gistembed.errors import UserError
from gistembed.evaluate import FEWEST_QUERIES, RetrievalTask
from gistembed.guide import GuideVectors, do_work
from gistembed.models import EmbeddingModel
from gistembed.pairs import Pairs, hold_out
from gistembed.prepare.guides import PreparedVectors, prepare_guides
from gistembed.prepare.plan import resolve, training_plan
from gistembed.prepare.run import PreparedRun
from gistembed.prepare.student import load_student, read_tokens
from gistembed.train import TrainingPlan, training_arguments

_DEV_SHARE = 0.1
# What tokens and vectors depend on, besides the pairs.
_OF_TOKENS = ("student", "student_prompts", "student_max_length")
_OF_VECTORS = ("loss", "guide", *OF_GUIDES)


@dataclass(frozen=True)
class Bench:
    """Everything that trials are made of.

    Attributes:
        run: The run without a search, as `fit` would begin it.
        train: Its training pairs without those of ``dev``.
        dev: What trials are scored on: training pairs that share no text with ``train``.
        console: Where progress is shown.
    """

    run: PreparedRun
    train: Pairs
    dev: RetrievalTask
    console: Console
    _tokens: dict[str, TokenCache] = field(default_factory=dict)
    _vectors: dict[str, tuple[GuideVectors, ...]] = field(default_factory=dict)

    def check(self, config: RunConfig) -> None:
        """Check all that can be checked of a trial without training it; nothing is written.

        Raises:
            UserError: If it could not be trained.
        """
        student = self.run.student
        if _key(config, _OF_TOKENS) != _key(self.run.config, _OF_TOKENS):
            student = load_student(config)
        if _key(config, _OF_VECTORS) != _key(self.run.config, _OF_VECTORS):
            prepare_guides(config, self.run.train)
        _, plan = self.plan(config, student)
        training_arguments(plan, config.out)

    def plan(self, config: RunConfig, student: EmbeddingModel) -> tuple[RunConfig, TrainingPlan]:
        """A trial's configuration with all defaults filled in, and how it is trained.

        Raises:
            UserError: If it can't be had with these pairs.
        """
        resolved = resolve(config, self.train, student)
        return resolved, training_plan(resolved, self.train, student)

    def tokens(self, config: RunConfig, student: EmbeddingModel) -> TokenCache:
        """What a trial's student reads; read once for all trials that differ in other settings."""
        key = _key(config, _OF_TOKENS)
        if key not in self._tokens:
            self._tokens[key] = read_tokens(student, self.run.train, self.console)
        return self._tokens[key]

    def vectors(self, config: RunConfig) -> tuple[GuideVectors, ...]:
        """The vectors of a trial's guides; looked up once for all trials that differ in other settings."""
        key = _key(config, _OF_VECTORS)
        if key not in self._vectors:
            same = key == _key(self.run.config, _OF_VECTORS)
            guides = self.run.guides if same else prepare_guides(config, self.run.train)
            self._vectors[key] = tuple(
                guide.vectors
                if isinstance(guide, PreparedVectors)
                else do_work(guide, self.console, workers=config.guide_workers)
                for guide in guides
            )
        return self._vectors[key]


def prepare_bench(run: PreparedRun, console: Console) -> Bench:
    """Hold training pairs out to score trials on; nothing is written.

    Raises:
        UserError: If too few pairs would be left on a side.
    """
    try:
        split = hold_out(run.train, share=_DEV_SHARE, seed=run.config.seed_of_split)
    except UserError as error:
        raise UserError(
            f"search: too few of the {len(run.train)} training pairs can be held out to score trials on "
            "without a text that the rest holds too; a search needs more pairs, or pairs that share less"
        ) from error
    held_out = run.train.take(split.held_out)
    dev = RetrievalTask.from_pairs(held_out, held_out.source)
    if len(dev.queries) < FEWEST_QUERIES:
        console.warn(f"{len(dev.queries)} dev queries are few; the best trial may be the luckiest one")
    tokens = {_key(run.config, _OF_TOKENS): run.tokens}
    return Bench(run, run.train.take(split.train), dev, console, tokens)


def _key(config: RunConfig, names: Iterable[str]) -> str:
    return json.dumps(config.model_dump(mode="json", include=set(names)), sort_keys=True)
