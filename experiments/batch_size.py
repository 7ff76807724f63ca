"""Batch size: larger batches hold more false negatives; does the guide gain with them?"""

from collections.abc import Sequence

from experiments.harness import Experiment, Lab, Row, compared, scored

_DATA = ("pubmed-topics", "newsgroups", "pubmed-abstracts")
_SIZES = (16, 32, 64, 128, 256, 512, 1024, 2048)
_EPOCHS = 5


def run(lab: Lab) -> Sequence[Row]:
    """Train with and without the guide at every size, for as many epochs each.

    Learning rate and temperature are those that dev scores chose at the scale's own batch size.
    """
    rows: list[Row] = []
    for name in _DATA:
        data = lab.data(name)
        pairs = sum(1 for _ in data.train.open(encoding="utf-8"))
        trainings = {
            (size, guide): lab.training(
                data, guide=guide, batch_size=size, steps=max(1, _EPOCHS * pairs // size)
            )
            for size in _SIZES
            for guide in (None, lab.guide)
        }
        trained = lab.train(trainings)
        for size in _SIZES:
            unguided, guided = trained[size, None], trained[size, lab.guide]
            rows.append(
                {"data": name, "batch": size, "steps": trainings[size, None].settings["steps"]}
                | scored(unguided, column="unguided")
                | scored(guided, column="guided")
                | compared(guided, unguided)
                | {"masked": f"{guided[0].masked:.3f}"}
            )
    return rows


EXPERIMENT = Experiment("batch_size", "what does the guide do at each batch size?", run)
