"""Batch size: larger batches hold more false negatives; does the guide gain with them?"""

from collections.abc import Sequence
from typing import Any

from experiments.harness import DataFolder, Experiment, Lab, Row, compared, scored

_DATA = "pubmed-topics"
_SIZES = (16, 64, 256, 1024, 4096)
_EPOCHS = 2


def run(lab: Lab) -> Sequence[Row]:
    """Train with and without the guide at every size, for as many epochs each.

    The temperature is that which dev scores chose at the scale's own batch size. The learning rate is chosen
    anew for each size, with and without the guide: fewer steps want larger ones.
    """
    data = lab.data(_DATA)
    pairs = sum(1 for _ in data.train.open(encoding="utf-8"))
    sizes = [min(size, pairs) for size in _SIZES]
    trainings = {
        (size, guide): lab.training(data, guide=guide, **_settings(lab, data, pairs, size, guide))
        for size in sizes
        for guide in (None, lab.guide)
    }
    trained = lab.train(trainings)
    return [
        {"batch": size, "steps": trainings[size, None].settings["steps"]}
        | scored(trained[size, None], column="unguided")
        | scored(trained[size, lab.guide], column="guided")
        | compared(trained[size, lab.guide], trained[size, None])
        | {
            "masked": f"{trained[size, lab.guide][0].masked:.3f}",
            "rate unguided": trainings[size, None].settings["learning_rate"],
            "rate guided": trainings[size, lab.guide].settings["learning_rate"],
        }
        for size in sizes
    ]


def _settings(lab: Lab, data: DataFolder, pairs: int, size: int, guide: str | None) -> dict[str, Any]:
    sizes = {"batch_size": size, "steps": max(1, _EPOCHS * pairs // size)}
    guided = guide is not None
    temperature = lab.chosen(data, guided=guided)["temperature"]
    return sizes | lab.chosen(data, guided=guided, temperatures=[temperature], **sizes)


EXPERIMENT = Experiment("batch_size", "what does the guide do at each batch size?", run)
