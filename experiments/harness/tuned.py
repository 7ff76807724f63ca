"""Models that experiments need as guides, trained once and found again; and what a model itself scores."""

import tempfile
from pathlib import Path

from experiments.harness.lab import Lab
from experiments.harness.training import DataFolder, Trained, Training
from gistembed.config import run_config
from gistembed.console import Console
from gistembed.pipeline import run_fit

_SEED = 0
"""None of the seeds that are reported."""


def tuned_model(lab: Lab, training: Training) -> str:
    """The folder of the student that a training makes; whole or not there.

    Args:
        lab: Where it is kept.
        training: The training.
    """
    folder = lab.work / "models" / training.key(_SEED)
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="unfinished-", dir=folder.parent) as temporary:
            run = Path(temporary) / "run"
            given = {"eval": training.dev, "seed": _SEED, "out": run, "store": lab.store}
            run_fit(run_config({**training.settings, **given}, source="experiment"), Console(quiet=True))
            (run / "model").rename(folder)
    return str(folder)


def own_score(lab: Lab, model: str, data: DataFolder) -> list[Trained]:
    """What a model itself scores on a data set, as often as there are seeds.

    Args:
        lab: Where the scores are kept.
        model: The model's folder or name.
        data: The data set.
    """
    return lab.untrained(Training({"student": model}, data.dev, {"test": data.test}))
