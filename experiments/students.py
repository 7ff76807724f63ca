"""Students of several sizes: who gains most by the guide?

The paper says that small models gain most. Here one static model is cut to fewer dimensions, and one
transformer to fewer layers, so that what differs within a kind is size alone. Each is trained with and
without the guide on titles that share a topic, and scored before and after.

Static students have the scale's steps and batch, and the learning rate and temperature that dev scores chose
for the scale's student. Transformers are slow: they have fewer steps, smaller batches, a temperature in
common and, each with and without the guide, one of two learning rates, by dev scores.

What can't be concluded: the kinds can't be compared with each other, since their steps differ; and a
transformer that was cut to its first layers is damaged as well as small: it has to learn first what a model
that was made small knows. More layers take longer than two cores have time for.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.harness import DataFolder, Experiment, Lab, Row, Training, best_by_dev, compared, scored
from experiments.harness.cuts import first_dimensions, first_layers, parameters
from experiments.harness.lab import CHOOSING_SEEDS

_DATA = "pubmed-topics"
_DIMENSIONS = (64, 128, 256)
_LAYERS = (1, 2)
_TRANSFORMER = "all-MiniLM-L6-v2"
_OF_TRANSFORMERS = {"steps": 30, "batch_size": 64, "temperature": 0.05, "student_max_length": 48}
_RATES = (1e-4, 5e-4)


def run(lab: Lab) -> Sequence[Row]:
    """Train each student with and without the guide."""
    data = lab.data(_DATA)
    students = _students(lab)
    pairs = {
        (name, guided): _training(lab, data, model, guided=guided, static=name.startswith("static"))
        for name, model in students.items()
        for guided in (False, True)
    }
    trained = lab.train(pairs)
    rows: list[Row] = []
    for name, model in students.items():
        unguided, guided = trained[name, False], trained[name, True]
        before = lab.untrained(pairs[name, False])
        rows.append(
            {"student": name, "parameters": parameters(model)}
            | {key: pairs[name, True].settings[key] for key in ("steps", "batch_size")}
            | {"rate": _rates(pairs[name, False], pairs[name, True])}
            | scored(before, column="before")
            | scored(unguided, column="unguided")
            | scored(guided, column="guided")
            | compared(unguided, before, column="by training")
            | compared(guided, unguided)
            | {"masked": f"{guided[0].masked:.3f}"}
        )
    return rows


def _students(lab: Lab) -> dict[str, str]:
    place = lab.work / "models"
    static, transformer = lab.student, lab.model(_TRANSFORMER)
    return {
        f"static, {count} dimensions": first_dimensions(static, count, place / f"static-{count}")
        for count in _DIMENSIONS
    } | {
        f"transformer, {count} layers": first_layers(transformer, count, place / f"layers-{count}")
        for count in _LAYERS
    }


def _training(lab: Lab, data: DataFolder, model: str, *, guided: bool, static: bool) -> Training:
    guide = lab.guide if guided else None
    if static:
        return lab.training(data, guide=guide, student=model)
    settings: dict[str, Any] = {"student": model, **_OF_TRANSFORMERS}
    options: Mapping[float, Training] = {
        rate: lab.training(data, guide=guide, learning_rate=rate, **settings) for rate in _RATES
    }
    trained = lab.train(options, CHOOSING_SEEDS)
    return options[best_by_dev({rate: [one.dev for one in found] for rate, found in trained.items()})]


def _rates(unguided: Training, guided: Training) -> str:
    """The learning rates without and with the guide."""
    return " / ".join(f"{one.settings['learning_rate']:g}" for one in (unguided, guided))


EXPERIMENT = Experiment("students", "which students gain most by the guide?", run)
