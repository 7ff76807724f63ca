"""How large the experiments are: models, steps, batch and data sets, read from a TOML file."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from gistembed.config import read_toml
from gistembed.errors import UserError

_HERE = Path(__file__).parents[1]


class Scale(BaseModel):
    """One scale.

    Attributes:
        student: The student: a hub name, a folder, or one of those that `experiments.data` fetches.
        guide: The guide, named in the same way.
        steps: Optimizer steps of a training.
        batch_size: Pairs of a batch.
        learning_rates: Of these, dev scores choose.
        temperatures: The same.
        seeds: How many seeds each training has.
        workers: How many trainings run at once.
        data: Folders of data sets by name, in place of those that are fetched; each holds ``train.jsonl``,
            ``dev.jsonl``, ``test.jsonl``, and ``labels.json`` where labels are known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    student: str
    guide: str
    steps: int
    batch_size: int
    learning_rates: tuple[float, ...]
    temperatures: tuple[float, ...]
    seeds: int = 5
    workers: int = 2
    data: dict[str, Path] = {}


def read_scale(name: str) -> Scale:
    """The scale of that name, or that in a file.

    Args:
        name: ``small``, ``full``, or the path of a TOML file.

    Raises:
        UserError: If there is none, or it isn't one.
    """
    path = _HERE / f"{name}.toml" if (_HERE / f"{name}.toml").exists() else Path(name)
    try:
        return Scale.model_validate(read_toml(path))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UserError(f"{path}: {place}: {first['msg'].lower()}") from error
