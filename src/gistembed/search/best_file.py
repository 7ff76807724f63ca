"""``best.toml``: the settings of the best trial, in a file that `gistembed fit --config` takes as it is."""

from collections.abc import Collection
from pathlib import Path

import tomli_w

from gistembed.config import RunConfig
from gistembed.search.record import SearchRecord


def best_toml(config: RunConfig, named: Collection[str], record: SearchRecord, out: Path) -> str:
    """The file's text.

    Args:
        config: The configuration of the best trial.
        named: The settings that the user or the search decided on; the others keep their defaults.
        record: The search.
        out: Folder for the run that is made from the file.
    """
    content = config.model_dump(mode="json", include={*named} - {"out"}, exclude_none=True)
    best = next(trial for trial in record.trials if trial.number == record.best)
    comment = (
        f"# Trial {best.number} of {len(record.trials)}: {record.metric} {best.score:.4f} on "
        f"{record.dev_pairs} training pairs that were held out for the search.\n"
    )
    return comment + tomli_w.dumps({"out": str(out)} | content)
