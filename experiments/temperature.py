"""Temperature: how sharp the softmax is, and what is left for the guide to do at each.

The lower the temperature, the more of a row's gradient comes from the candidates most similar to the anchor,
and those are where false negatives are. So a higher temperature is a cure of its own, and training without a
guide deserves it: at each temperature, and for each of the two ways, dev scores choose the learning rate.
"""

from collections.abc import Sequence
from typing import Any

from experiments.harness import DataFolder, Experiment, Lab, Row, best_by_dev, compared, scored
from experiments.harness.training import Trained

_DATA = ("pubmed-topics", "newsgroups")
_TEMPERATURES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)


def run(lab: Lab) -> Sequence[Row]:
    """Train with and without the guide at every temperature."""
    rows: list[Row] = []
    for name in _DATA:
        data = lab.data(name)
        trainings = {
            (temperature, guide): lab.training(data, guide=guide, **_settings(lab, data, temperature, guide))
            for temperature in _TEMPERATURES
            for guide in (None, lab.guide)
        }
        trained = lab.train(trainings)
        best = {guide: _best(trained, guide) for guide in (None, lab.guide)}
        for temperature in _TEMPERATURES:
            unguided, guided = trained[temperature, None], trained[temperature, lab.guide]
            rows.append(
                {"data": name, "temperature": temperature}
                | scored(unguided, column="unguided")
                | scored(guided, column="guided")
                | compared(guided, unguided)
                | compared(guided, trained[best[None], None], column="over the best unguided")
                | {
                    "best by dev": _words(temperature, best, lab.guide),
                    "rate unguided": trainings[temperature, None].settings["learning_rate"],
                    "rate guided": trainings[temperature, lab.guide].settings["learning_rate"],
                }
            )
    return rows


def _settings(lab: Lab, data: DataFolder, temperature: float, guide: str | None) -> dict[str, Any]:
    return dict(lab.chosen(data, guided=guide is not None, temperatures=[temperature]))


def _best(trained: dict[tuple[float, str | None], list[Trained]], guide: str | None) -> float:
    """The temperature with the best dev score."""
    return best_by_dev(
        {
            temperature: [one.dev for one in found]
            for (temperature, own), found in trained.items()
            if own == guide
        }
    )


def _words(temperature: float, best: dict[str | None, float], guide: str) -> str:
    return ", ".join(
        name for name, own in (("unguided", None), ("guided", guide)) if best[own] == temperature
    )


EXPERIMENT = Experiment("temperature", "what is left for the guide to do at each temperature?", run)
