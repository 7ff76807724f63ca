"""Batch size: larger batches hold more false negatives; does the guide gain with them?"""

from collections.abc import Sequence
from typing import Any

from experiments.harness import DataFolder, Experiment, Lab, Row, compared, scored

_DATA = ("pubmed-topics", "newsgroups")
_SIZES = (16, 64, 256, 1024, 4096)
_EPOCHS = 3


def run(lab: Lab) -> Sequence[Row]:
    """Train with and without the guide at every size, for as many epochs each.

    The temperature is that which dev scores chose at the scale's own batch size. The learning rate is chosen
    anew for each size, with and without the guide: fewer steps want larger ones.
    """
    rows: list[Row] = []
    for name in _DATA:
        data = lab.data(name)
        pairs = sum(1 for _ in data.train.open(encoding="utf-8"))
        sizes = [min(size, pairs) for size in _SIZES]
        trainings = {
            (size, guide): lab.training(data, guide=guide, **_settings(lab, data, pairs, size, guide))
            for size in sizes
            for guide in (None, lab.guide)
        }
        trained = lab.train(trainings)
        for size in sizes:
            unguided, guided = trained[size, None], trained[size, lab.guide]
            rows.append(
                {"data": name, "batch": size, "steps": trainings[size, None].settings["steps"]}
                | scored(unguided, column="unguided")
                | scored(guided, column="guided")
                | compared(guided, unguided)
                | {
                    "masked": f"{guided[0].masked:.3f}",
                    "rate unguided": trainings[size, None].settings["learning_rate"],
                    "rate guided": trainings[size, lab.guide].settings["learning_rate"],
                }
            )
    return rows


def _settings(lab: Lab, data: DataFolder, pairs: int, size: int, guide: str | None) -> dict[str, Any]:
    sizes = {"batch_size": size, "steps": max(1, _EPOCHS * pairs // size)}
    guided = guide is not None
    temperature = lab.chosen(data, guided=guided)["temperature"]
    return sizes | lab.chosen(data, guided=guided, temperatures=[temperature], **sizes)


EXPERIMENT = Experiment("batch_size", "what does the guide do at each batch size?", run)
