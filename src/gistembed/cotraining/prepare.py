"""What a co-training needs before anything is written: its pairs split in three, and both models' runs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from gistembed.config import RunConfig
from gistembed.console import Console
from gistembed.cotraining.config import CoTrainConfig, ModelKey
from gistembed.cotraining.folder import CoTrainFolder
from gistembed.errors import UserError
from gistembed.evaluate import METRICS, RetrievalTask
from gistembed.models import folder_identity, resolve_folder
from gistembed.pairs import Pairs, hold_out, normalised, same_texts, without_texts
from gistembed.prepare.pairs import read_beside
from gistembed.prepare.run import PreparedRun, RunPairs, prepare_student, read_and_split
from gistembed.prepare.words import plan_lines


@dataclass(frozen=True)
class PreparedCoTraining:
    """A co-training that is ready to start.

    Attributes:
        config: What it is.
        runs: Each model's run, with the guide of its first round.
        dev: What the best round is chosen by.
    """

    config: CoTrainConfig
    runs: Mapping[ModelKey, PreparedRun]
    dev: RetrievalTask

    @property
    def folder(self) -> CoTrainFolder:
        """Where everything lies."""
        return CoTrainFolder(self.config.out)


def prepare_cotrain(config: CoTrainConfig, console: Console) -> PreparedCoTraining:
    """Read, split, load, tokenise and check; nothing is written that has a name.

    Raises:
        UserError: If anything is not as it should be.
    """
    _check_models(config)
    data, dev = without_dev(read_and_split(config.models["a"], console), config)
    runs = {key: prepare_student(run, data, console) for key, run in config.models.items()}
    return PreparedCoTraining(config, runs, dev)


def without_dev(data: RunPairs, config: CoTrainConfig) -> tuple[RunPairs, RetrievalTask]:
    """Take out of the training pairs what the best round is chosen by; no text is left on both sides.

    The held-out pairs are others, so that the scores in the end are not those that were chosen by.

    Args:
        data: The pairs, the held-out ones taken out already.
        config: How large a share and the seed, or the pairs to choose by.

    Raises:
        UserError: If too few pairs would be left on a side.
    """
    if not isinstance(config.dev, float):
        return _without_given(data, config)
    try:
        chosen = hold_out(data.train, share=config.dev, seed=config.models["a"].seed_of_split)
    except UserError as error:
        raise UserError(
            f"--dev {config.dev:g}: too few of the {len(data.train)} training pairs can be taken to choose "
            "the best round by without a text that the rest holds too; give pairs of their own by --dev FILE"
        ) from error
    dev = data.train.take(chosen.held_out)
    return _trained_on(data, data.train.take(chosen.train), len(chosen.dropped)), _task(dev)


def _without_given(data: RunPairs, config: CoTrainConfig) -> tuple[RunPairs, RetrievalTask]:
    """The same for pairs that the user gave to choose by, less those that share a text with held-out ones."""
    run, train = config.models["a"], data.train
    dev = read_beside(run, config.dev, train)
    if run.same_text == "normalised":
        same = same_texts(train.texts)
        train, dev = normalised(train, same), normalised(dev, same)
    dev = dev.take(without_texts(dev, data.tasks["held-out"].pairs.text_ids()))
    kept = without_texts(train, dev.text_ids())
    if not len(dev) or not len(kept):
        left, other = ("choose by", "held-out pairs") if not len(dev) else ("train on", "dev pairs")
        raise UserError(
            f"--dev {dev.source}: no pair is left to {left}, because each shares a text with the {other}"
        )
    return _trained_on(data, train.take(kept), len(train) - len(kept)), _task(dev)


def _trained_on(data: RunPairs, train: Pairs, dropped: int) -> RunPairs:
    """The same pairs with fewer to train on, some of which are in no part."""
    left = {"train_pairs": len(train), "dropped_pairs": data.split.dropped_pairs + dropped}
    return replace(data, train=train, split=data.split.model_copy(update=left))


def _task(dev: Pairs) -> RetrievalTask:
    return RetrievalTask.from_pairs(dev, dev.source)


def cotrain_lines(prepared: PreparedCoTraining) -> str:
    """What a co-training is going to do, for a person to check."""
    config = prepared.config
    lines: list[str] = []
    for key, run in prepared.runs.items():
        common, *own = plan_lines(run).splitlines()
        if not lines:
            lines = [common, f"{len(prepared.dev.pairs):,} further pairs to choose the best round by"]
        lines += [f"{key}: {line}" for line in own]
    guides = {
        "mutual": "each guided by the other as it was before the round",
        "self": "guided by itself as it was before the round",
        "ema": f"guided by the average over rounds, of which {config.decay:g} stays in each",
    }[config.variant]
    lines.append(f"at most {config.rounds:,} such rounds, {guides}; stopped when none gains {METRICS[0]}")
    return "\n".join(lines)


def snapshot_config(run: PreparedRun, student: str) -> RunConfig:
    """The configuration of a run with another student, such as its own of an earlier round.

    Args:
        run: The run.
        student: The other student's folder or hub name.
    """
    return run.config.model_copy(update={"student": student})


def _check_models(config: CoTrainConfig) -> None:
    """That both are there, and are two."""
    identities = [
        folder_identity(resolve_folder(run.student, option=key.upper())) for key, run in config.models.items()
    ]
    if len(set(identities)) < len(identities):
        raise UserError(
            f"B {config.models['b'].student}: the same model as A; give another one, or leave B out and give "
            "--variant self"
        )
