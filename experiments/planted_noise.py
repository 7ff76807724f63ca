"""Planted noise: known false negatives and wrong positives; does the mask find them, does the score gain?

Each pair is a title with half its abstract, and has one hard negative. In a share of the rows that is the
other half of the same abstract: a false negative. In the other rows it is half of an abstract
that no row is about. So the truth is known for every candidate, and only the share of faults differs.

In a second part nothing is planted among the negatives, but a share of the positives is another row's. There
the guide's threshold, its opinion of the row's own pair, is as low as for any two texts: most candidates
leave, and the row teaches little. ``limit_floor`` takes that back.

The first half of an abstract is mostly nearer to its title than the second. Each is the positive of every
other row, so that at margin 0 a guide can find about half of what is planted. A margin finds more; see
``mask_curve``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.harness import DataFolder, Experiment, Lab, Row, Training, scored
from experiments.harness.columns import gain_over, of_mask
from experiments.harness.mask_quality import mask_quality
from experiments.harness.planting import planted_data

_DATA = "pubmed-abstracts"
_UNGUIDED = "unguided"
_LOW = 0.02
_PLAIN: Mapping[str, Any] = {}
_WIDE: Mapping[str, Any] = {"margin": 0.1}
_FLOOR: Mapping[str, Any] = {"limit_floor": 0.3}
_FALSE_NEGATIVES = {"unguided": _PLAIN, "guided": _PLAIN, "guided, margin +0.1": _WIDE}
_WRONG_POSITIVES = {"unguided": _PLAIN, "guided": _PLAIN, "guided, limit_floor 0.3": _FLOOR}
_PARTS = (
    ("false_negatives", (0.0, 0.1, 0.3, 0.5), _FALSE_NEGATIVES),
    ("wrong_positives", (0.3,), _WRONG_POSITIVES),
)


def run(lab: Lab) -> Sequence[Row]:
    """Train with and without the guide at each share of faults.

    Half the scale's steps, as there are half the pairs. At a low temperature, and at the one that dev scores
    chose under the guide on whole abstracts; the learning rate is chosen in the same way, for all ways.
    """
    clean = lab.data(_DATA)
    rows: list[Row] = []
    for fault, shares, options in _PARTS:
        for share in shares:
            data = planted_data(clean, lab.work / "data" / f"{fault}-{share:g}", **{fault: share})
            trainings = {
                (temperature, option): _training(lab, clean, data, (temperature, option), mask)
                for temperature in (_LOW, lab.chosen(clean, guided=True)["temperature"])
                for option, mask in options.items()
            }
            trained = lab.train(trainings)
            for (temperature, option), found in trained.items():
                guided = option != _UNGUIDED
                asked = trainings[temperature, option]
                quality = mask_quality(asked, data.labels, lab.store) if guided else None
                rows.append(
                    {"fault": fault.replace("_", " "), "share": share}
                    | {"temperature": temperature, "option": option}
                    | of_mask(found, quality)
                    | scored(found)
                    | gain_over(found, trained[temperature, _UNGUIDED])
                )
    return rows


def _training(
    lab: Lab, clean: DataFolder, data: DataFolder, way: tuple[float, str], mask: Mapping[str, Any]
) -> Training:
    temperature, option = way
    chosen = lab.chosen(clean, guided=True, temperatures=[temperature])
    # The same for all: what is chosen for each by itself differs by luck more than by what it is chosen for.
    settings: dict[str, Any] = {"steps": max(1, lab.scale.steps // 2), **chosen}
    guide = None if option == _UNGUIDED else lab.guide
    return lab.training(data, guide=guide, **settings, **({"mask": dict(mask)} if mask else {}))


EXPERIMENT = Experiment("planted_noise", "does the mask find faults that were planted?", run)
