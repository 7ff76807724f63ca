"""Results on disk, in the form and at the places that mteb has for them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gistembed import __version__
from gistembed.errors import UserError
from gistembed.evaluate.runs.settings import ModelToScore
from gistembed.evaluate.scorers import Scored
from gistembed.evaluate.tasks import MAIN_METRICS, Task
from gistembed.files import can_be_written, whole_file, write_whole
from gistembed.models import EmbeddingModel

_SCORING = 1
"""Counts up when a scorer gives other numbers, so that earlier results are scored anew."""

_SPLIT = "test"
_RESULTS = "results"

# What mteb reads has a language and a script: undetermined, and unknown.
_LANGUAGE = "und-Zzzz"


@dataclass(frozen=True)
class Result:
    """What is known of one model on one task.

    Attributes:
        main_score: The score that the task is judged by; the mean over splits and subsets.
        content: All of it, in mteb's form.
        path: Where it stands.
    """

    main_score: float
    content: Mapping[str, Any]
    path: Path


class ResultFolder:
    """The output folder of evaluations: ``results/MODEL/REVISION/TASK.json``, as mteb's own result cache."""

    def __init__(self, path: Path) -> None:
        """Check the folder; nothing is written.

        Args:
            path: The folder; it need not exist yet, or holds results already.

        Raises:
            UserError: If the folder can't be used.
        """
        self.path = path
        if path.exists() and not path.is_dir():
            raise UserError(f"--out {path}: a file; choose a folder")
        if path.exists() and any(path.iterdir()) and not (path / _RESULTS).is_dir():
            raise UserError(f"--out {path}: holds files of something else; choose an empty or a new folder")
        if not can_be_written(path):
            raise UserError(f"--out {path}: can't be written; choose another folder")

    def place(self, model: ModelToScore, task: str) -> Path:
        """Where the result of a model on a task stands.

        Args:
            model: The model.
            task: Name of the task.
        """
        return self._folder(model) / f"{_file_name(task)}.json"

    def items(self, model: ModelToScore, task: str) -> Path:
        """Where what the result is made of stands, item by item."""
        return self._folder(model) / f"{_file_name(task)}.items.parquet"

    def kept(self, model: ModelToScore, task: Task) -> Result | None:
        """The result that is there already; None if it isn't, or is of other data or another scorer.

        Args:
            model: The model.
            task: The task.
        """
        result = self.read(model, task.name)
        if result is None or not self.items(model, task.name).is_file():
            return None
        ours = result.content.get("gistembed")
        known = ours.get("scoring") if isinstance(ours, dict) else None
        return result if (known, result.content["dataset_revision"]) == (_SCORING, task.digest()) else None

    def read(self, model: ModelToScore, task: str) -> Result | None:
        """The result of a task by its name; None if there is none that can be read.

        Args:
            model: The model.
            task: Name of the task.
        """
        path = self.place(model, task)
        try:
            content = json.loads(path.read_bytes())
            return Result(main_score_of(content), content, path)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(
        self, found: ModelToScore, model: EmbeddingModel, task: Task, scored: Scored, seconds: float
    ) -> Result:
        """Write a result whole: first what it is made of, then the result, which says that both are there.

        Args:
            found: The model's place.
            model: The model.
            task: The task.
            scored: The scores.
            seconds: How long it took.
        """
        place = self.begin(found, model)
        write_items(self.items(found, task.name), scored.items)
        content = {
            "dataset_revision": task.digest(),
            "task_name": task.name,
            "mteb_version": None,
            "scores": {_SPLIT: [_subset(task, scored)]},
            "evaluation_time": seconds,
            "kg_co2_emissions": None,
            "gistembed": {
                "version": __version__,
                "scoring": _SCORING,
                "kind": task.kind,
                "main_metric": MAIN_METRICS[task.kind],
                "size": task.size,
                "model": found.given,
            },
        }
        return self.put(place / f"{_file_name(task.name)}.json", content)

    def begin(self, found: ModelToScore, model: EmbeddingModel) -> Path:
        """Make the folder of a model's results, with what the model is.

        Args:
            found: The model's place.
            model: The model.
        """
        folder = self._folder(found)
        folder.mkdir(parents=True, exist_ok=True)
        prompts = {str(role): prompt for role, prompt in model.prompts.items()}
        prompts |= {str(role): prompt for role, prompt in found.settings.prompts.items()}
        meta = {
            "name": found.name,
            "revision": found.revision,
            "n_parameters": model.parameters,
            "max_tokens": model.max_length,
            "embed_dim": model.dimensions,
            "gistembed": {
                "given": found.given,
                "identity": found.identity,
                "prompts": prompts,
                "dimensions": found.settings.dimensions,
                "settings": asdict(found.settings),
            },
        }
        write_whole(folder / "model_meta.json", _encoded(meta))
        return folder

    def put(self, path: Path, content: Mapping[str, Any]) -> Result:
        """Write a result whole.

        Args:
            path: Where.
            content: What, in mteb's form.
        """
        write_whole(path, _encoded(content))
        return Result(main_score_of(content), content, path)

    def _folder(self, model: ModelToScore) -> Path:
        return results_of(self.path, model) / model.revision


def results_of(out: Path, model: ModelToScore) -> Path:
    """Where the results of a model stand, in a folder for each revision.

    Args:
        out: The output folder of evaluations.
        model: The model.
    """
    return out / _RESULTS / _file_name(model.name)


def main_score_of(content: Mapping[str, Any]) -> float:
    """The main score of a result: the mean over the subsets of its splits.

    Args:
        content: The result, in mteb's form.
    """
    scores = [subset["main_score"] for split in content["scores"].values() for subset in split]
    return float(sum(scores) / len(scores))


def _file_name(name: str) -> str:
    """A name as mteb writes it in paths."""
    return name.replace("/", "__").replace(" ", "_")


def _subset(task: Task, scored: Scored) -> dict[str, Any]:
    experiments = {"scores_per_experiment": list(scored.experiments)} if scored.experiments else {}
    return {
        **experiments,
        **scored.metrics,
        "main_score": scored.metrics[MAIN_METRICS[task.kind]],
        "hf_subset": "default",
        "languages": [_LANGUAGE],
    }


def write_items(path: Path, items: Mapping[str, Sequence[Any] | np.ndarray]) -> None:
    """Write what a result is made of, whole.

    Args:
        path: Where.
        items: Columns of one length.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({name: pa.array(values) for name, values in items.items()})
    with whole_file(path) as file:
        pq.write_table(table, file, compression="zstd")


def _encoded(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False).encode()
