"""How the best model of a run is chosen: by which metric, and on which of its pairs."""

from gistembed.config import RunConfig
from gistembed.errors import UserError
from gistembed.evaluate import METRICS, RetrievalTask
from gistembed.pairs import Pairs, hold_out
from gistembed.record import SplitRecord


def metric_of(name: str) -> str:
    """A metric by the name that the user gave, whatever its case.

    Raises:
        UserError: If there is none of that name.
    """
    for metric in METRICS:
        if metric.lower() == name.lower():
            return metric
    raise UserError(f"--keep-best {name}: no such metric; choose one of {', '.join(METRICS)}")


def choose_dev(
    config: RunConfig, train: Pairs, split: SplitRecord
) -> tuple[Pairs, RetrievalTask | None, SplitRecord]:
    """Hold out what the best model is chosen by; it shares no text with what is left to train on.

    The evaluation pairs are others, so that the scores in the end are not those that were chosen by.

    Args:
        config: The configuration; ``keep_best`` says whether anything is chosen.
        train: The training pairs.
        split: How the evaluation pairs were held out before.

    Raises:
        UserError: If too few pairs would be left on a side.
    """
    if config.keep_best is None:
        return train, None, split
    try:
        chosen = hold_out(train, share=config.dev, seed=config.seed_of_split)
    except UserError as error:
        raise UserError(
            f"--keep-best {config.keep_best}: too few of the {len(train)} training pairs can be held out to "
            "choose by without a text that the rest holds too; leave it out"
        ) from error
    dev = train.take(chosen.held_out)
    record = split.model_copy(
        update={
            "train_pairs": len(chosen.train),
            "dev_pairs": len(chosen.held_out),
            "dropped_pairs": split.dropped_pairs + len(chosen.dropped),
        }
    )
    return train.take(chosen.train), RetrievalTask.from_pairs(dev, dev.source), record
