"""Two models that guide each other: do both get better, and by more than by as much training?

A is the scale's student, B the token vectors of the scale's guide as a static model: other tokens and other
vectors. Each way has the same rounds of the same length:

- ``mutual``, ``average``: each is guided by the other, as it was before the round or as the average over
  rounds.
- ``self``: each is guided by itself, as it was before the round.
- ``fixed``: each is guided by the other as it was before the first round, in all rounds (an average of which
  everything stays). What the others gain over this is what new guides are worth.
- ``unguided``, ``strong guide``: the model trained in one go, for as many steps as all rounds have, without a
  guide and under the scale's guide.

The round that dev scores choose is kept and reported. Learning rate and temperature are those that dev scores
chose for A under the scale's guide; B has the same, so that of its figures only the differences count.

What can't be concluded: whether transformers, whose knowledge is not in their token vectors, would teach each
other more; and nothing of more rounds.
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from experiments.harness import DataFolder, Experiment, Lab, Row, Trained, Training, compared, scored
from experiments.harness.columns import gain_over
from experiments.harness.cuts import token_vectors
from experiments.harness.identity import key_of, model_identity
from experiments.harness.scores import DevScores, TestScores
from experiments.harness.training import answer_groups, scores_of
from gistembed import cotrain
from gistembed.errors import StorageError, UserError
from gistembed.files import write_whole
from gistembed.models import load_model

_DATA = "pubmed-topics"
_ROUNDS, _EPOCHS = 3, 2
_FIXED = "fixed"
_WAYS: Mapping[str, Mapping[str, Any]] = {
    _FIXED: {"variant": "ema", "decay": 1.0},
    "mutual": {"variant": "mutual"},
    "average": {"variant": "ema"},
    "self": {"variant": "self"},
}


@dataclass(frozen=True)
class Job:
    """One co-training: its models, its way and its seed.

    Attributes:
        models: Folders of one model or two.
        way: Arguments of `gistembed.cotrain` that make the way.
        training: Data and settings that all ways have in common.
        seed: The seed.
        work: Where what became of it is kept.
    """

    models: tuple[str, ...]
    way: Mapping[str, Any]
    training: Training
    seed: int
    work: Path

    @property
    def place(self) -> Path:
        """The file of what became of it, named by all that decides that."""
        key = key_of(
            models=[model_identity(model) for model in self.models],
            way=self.way,
            training=self.training.key(self.seed),
            rounds=_ROUNDS,
            epochs=_EPOCHS,
        )
        return self.work / f"{key}.json"


def run(lab: Lab) -> Sequence[Row]:
    """Train every way with every seed; a co-training that is done is not done again."""
    data = lab.data(_DATA)
    models = {"a": lab.student, "b": token_vectors(lab.guide, lab.work / "models" / "token-vectors")}
    chosen = lab.chosen(data, guided=True) | {"batch_size": lab.scale.batch_size}
    common = Training({"data": str(data.train), **chosen}, data.dev, {"test": data.test})
    jobs = _jobs(lab, models, common)
    if missing := [(job,) for job in jobs.values() if not job.place.exists()]:
        lab.at_once(train_together, missing)
    rows: list[Row] = []
    groups = answer_groups(data.test)
    for key, model in models.items():
        at_once = lab.train(_at_once(lab, data, model, chosen))
        for name, trained in at_once.items():
            rows.append(
                {"model": key, "way": name, "before": "", "by round": ""}
                | scored(trained)
                | gain_over(trained, at_once["unguided"], column="over unguided")
                | gain_over(trained, trained, column="over fixed")
            )
        fixed = [kept_round(_result(jobs, _FIXED, key, seed), groups) for seed in lab.seeds]
        for way in _WAYS:
            results = [_result(jobs, way, key, seed) for seed in lab.seeds]
            trained = fixed if way == _FIXED else [kept_round(one, groups) for one in results]
            rows.append(
                {"model": key, "way": way}
                | {"before": f"{np.mean(results[0][0]['test']):.4f}", "by round": _by_round(results)}
                | scored(trained)
                | compared(trained, at_once["unguided"], column="over unguided")
                | gain_over(trained, fixed, column="over fixed")
            )
    return rows


def _jobs(lab: Lab, models: Mapping[str, str], common: Training) -> dict[tuple[str, str, int], Job]:
    """By way, models and seed: one for both models, or one for each if each guides itself."""
    both, alone = {"ab": tuple(models.values())}, {key: (model,) for key, model in models.items()}
    return {
        (way, keys, seed): Job(folders, _WAYS[way], common, seed, lab.work / "two_models")
        for way in _WAYS
        for keys, folders in (alone if way == "self" else both).items()
        for seed in lab.seeds
    }


def train_together(job: Job) -> None:
    """Co-train, and write each model's dev and test scores before and after each round."""
    first, second = (*job.models, None)[:2]
    settings: dict[str, Any] = {**job.way, **job.training.settings}
    with tempfile.TemporaryDirectory(prefix="experiment-") as folder:
        out = Path(folder, "out")
        try:
            cotrain(
                str(first),
                second,
                out=out,
                rounds=_ROUNDS,
                epochs=_EPOCHS,
                dev=job.training.dev,
                eval=job.training.tests["test"],
                store=Path(folder, "store"),
                seed=job.seed,
                quiet=True,
                **settings,
            )
        except StorageError:
            raise
        except UserError as error:
            words = ", ".join(f"{name}={value}" for name, value in job.way.items())
            raise UserError(f"{' and '.join(job.models)}, {words}, seed={job.seed}: {error}") from error
        result = {}
        for key, base in zip("ab", job.models, strict=False):
            rounds = [base, *(str(path / key) for path in sorted(out.glob("round-*")))]
            scores = [scores_of(load_model(one, option="student"), job.training) for one in rounds]
            result[key] = [{"dev": one["dev"], "test": one["tests"]["test"]} for one in scores]
    job.place.parent.mkdir(parents=True, exist_ok=True)
    write_whole(job.place, json.dumps(result).encode())


def _result(
    jobs: Mapping[tuple[str, str, int], Job], way: str, key: str, seed: int
) -> list[dict[str, list[float]]]:
    """A model's scores by round, the one before the first included."""
    place = jobs[way, key if way == "self" else "ab", seed].place
    found = json.loads(place.read_text(encoding="utf-8"))
    # A model that guides itself is its co-training's only one, and is called A there.
    rounds: list[dict[str, list[float]]] = found["a" if way == "self" else key]
    return rounds


def kept_round(
    rounds: Sequence[Mapping[str, Sequence[float]]], groups: Int64[np.ndarray, " queries"] | None = None
) -> Trained:
    """The round with the best mean on dev, of equal ones the first.

    Args:
        rounds: Dev and test scores by round.
        groups: The group of each test query.
    """
    best = max(rounds, key=lambda one: float(np.mean(one["dev"])))
    return Trained(DevScores(np.array(best["dev"])), {"test": TestScores(np.array(best["test"]), groups)})


def _by_round(results: Sequence[Sequence[Mapping[str, Sequence[float]]]]) -> str:
    """Mean test scores after each round, over the seeds that got so far."""
    longest = max(map(len, results))
    return " ".join(
        f"{np.mean([np.mean(one[number]['test']) for one in results if len(one) > number]):.4f}"
        for number in range(1, longest)
    )


def _at_once(lab: Lab, data: DataFolder, model: str, chosen: Mapping[str, Any]) -> dict[str, Training]:
    """The model trained in one go, for as many steps as all rounds have."""
    pairs = sum(1 for _ in data.train.open(encoding="utf-8"))
    steps = max(1, _ROUNDS * _EPOCHS * pairs // lab.scale.batch_size)
    settings: dict[str, Any] = {**chosen, "student": model, "steps": steps}
    return {
        "unguided": lab.training(data, **settings),
        "strong guide": lab.training(data, guide=lab.guide, **settings),
    }


EXPERIMENT = Experiment("two_models", "do two models that guide each other both get better?", run)
