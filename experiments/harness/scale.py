"""How large the experiments are: models, steps, batch and data sets, read from a TOML file."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gistembed.config import read_toml
from gistembed.errors import UserError

_HERE = Path(__file__).parents[1]

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


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

    student: str = Field(min_length=1)
    guide: str = Field(min_length=1)
    steps: int = Field(gt=0)
    batch_size: int = Field(gt=0)
    learning_rates: tuple[Positive, ...] = Field(min_length=1)
    temperatures: tuple[Positive, ...] = Field(min_length=1)
    seeds: int = Field(default=5, gt=0)
    workers: int = Field(default=2, gt=0)
    data: dict[str, Path] = {}


def read_scale(name: str, seeds: int | None = None) -> Scale:
    """The scale of that name, or that in a file.

    Args:
        name: ``small``, ``full``, or the path of a TOML file.
        seeds: In place of its own.

    Raises:
        UserError: If there is none, or it isn't one, or there are to be no seeds.
    """
    if seeds is not None and seeds < 1:
        raise UserError(f"--seeds {seeds}: give 1 or more")
    path = _HERE / f"{name}.toml" if (_HERE / f"{name}.toml").exists() else Path(name)
    try:
        scale = Scale.model_validate(read_toml(path))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UserError(f"{path}: {place}: {first['msg'].lower()}") from error
    return scale if seeds is None else scale.model_copy(update={"seeds": seeds})
