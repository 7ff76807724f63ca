"""Students of several sizes: who gains most by the guide?

The paper says that small models gain most. Here one static model is cut to fewer dimensions, and one
transformer to fewer layers, so that what differs within a kind is size alone. Each is trained with and
without the guide on titles that share a topic, and scored before and after.

Static students have the scale's steps and batch, and the learning rate and temperature that dev scores chose
for the scale's student; and again the low temperature that transformers have, where a guide has more to do.
Transformers are slow: they have fewer steps, smaller batches and, each with and without the guide, one of a
few learning rates, by dev scores.

What can't be concluded: the kinds can't be compared with each other, since their steps differ; and a
transformer that was cut to its first layers is damaged as well as small: it has to learn first what a model
that was made small knows. More layers take longer than two cores have time for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.harness import DataFolder, Experiment, Lab, Row, Training, compared, scored
from experiments.harness.cuts import first_dimensions, first_layers, parameters
from experiments.harness.lab import LOW_TEMPERATURE

_DATA = "pubmed-topics"
_DIMENSIONS = (64, 128, 256)
_LAYERS = (1, 2)
_TRANSFORMER = "all-MiniLM-L6-v2"
_OF_TRANSFORMERS: Mapping[str, Any] = {
    "steps": 30,
    "batch_size": 64,
    "temperature": LOW_TEMPERATURE,
    "student_max_length": 48,
}
_RATES = (1e-4, 5e-4, 2e-3)


@dataclass(frozen=True)
class _Student:
    """One student.

    Attributes:
        name: What the table calls it.
        model: Its folder.
        temperature: Of a static student, in place of the one that dev scores chose.
    """

    name: str
    model: str
    temperature: float | None = None

    @property
    def static(self) -> bool:
        return self.name.startswith("static")


def run(lab: Lab) -> Sequence[Row]:
    """Train each student with and without the guide."""
    data = lab.data(_DATA)
    students = _students(lab)
    pairs = {
        (student, guided): _training(lab, data, student, guided=guided)
        for student in students
        for guided in (False, True)
    }
    trained = lab.train(pairs)
    rows: list[Row] = []
    for student in students:
        unguided, guided = trained[student, False], trained[student, True]
        both = (pairs[student, False], pairs[student, True])
        before = lab.untrained(both[0])
        rows.append(
            {"student": student.name, "parameters": parameters(student.model)}
            | {key: both[1].settings[key] for key in ("steps", "batch_size")}
            | {"temperature": _each(both, "temperature"), "rate": _each(both, "learning_rate")}
            | scored(before, column="before")
            | scored(unguided, column="unguided")
            | scored(guided, column="guided")
            | compared(unguided, before, column="by training")
            | compared(guided, unguided)
            | {"masked": f"{guided[0].masked:.3f}"}
        )
    return rows


def _students(lab: Lab) -> list[_Student]:
    place = lab.work / "models"
    static = {
        f"static, {count} dimensions": first_dimensions(lab.student, count, place / f"static-{count}")
        for count in _DIMENSIONS
    }
    transformer = lab.model(_TRANSFORMER)
    transformers = {
        f"transformer, {count} layers": first_layers(transformer, count, place / f"layers-{count}")
        for count in _LAYERS
    }
    return [
        *(_Student(name, model) for name, model in static.items()),
        *(_Student(name, model, LOW_TEMPERATURE) for name, model in static.items()),
        *(_Student(name, model) for name, model in transformers.items()),
    ]


def _training(lab: Lab, data: DataFolder, student: _Student, *, guided: bool) -> Training:
    guide = lab.guide if guided else None
    if student.static:
        settings: dict[str, Any] = {}
        if student.temperature is not None:
            settings |= lab.chosen(data, guided=guided, temperatures=[student.temperature])
        return lab.training(data, guide=guide, student=student.model, **settings)
    options: Mapping[float, Training] = {
        rate: lab.training(data, guide=guide, student=student.model, learning_rate=rate, **_OF_TRANSFORMERS)
        for rate in _RATES
    }
    return options[lab.choose(options)]


def _each(both: Sequence[Training], setting: str) -> str:
    """A setting without and with the guide; once if it is the same."""
    return " / ".join(dict.fromkeys(f"{one.settings[setting]:g}" for one in both))


EXPERIMENT = Experiment("students", "which students gain most by the guide?", run)
