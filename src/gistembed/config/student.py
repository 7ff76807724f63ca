"""What of a student is trained, and which lengths its embeddings are trained for."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class LoraSettings(BaseModel):
    """Adapters of low rank that are trained in place of the student's own weights.

    A linear layer x ↦ Wx becomes x ↦ Wx + (alpha/rank)·BAx, with A of ``rank`` rows and B of as many columns.
    B starts at 0, so that training starts from the student as it is.

    Attributes:
        rank: Rows of A and columns of B.
        alpha: How much the adapters count, times the rank; twice the rank by default.
        dropout: Share of an adapter's inputs that are left out at random.
        target_modules: Which linear layers get an adapter, by the ends of their names; all linear layers
            within the transformer's layers by default.

    Source: Hu et al. 2021 (arXiv 2106.09685).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rank: int = Field(default=16, ge=1)
    alpha: int | None = Field(default=None, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: tuple[str, ...] | None = None

    @property
    def scale(self) -> int:
        """Alpha, chosen where it is not given."""
        return 2 * self.rank if self.alpha is None else self.alpha


def _rank_as_settings(value: object) -> object:
    return {"rank": value} if type(value) is int else value


def _number_or_embeddings(value: object) -> object:
    """A number of layers may come as text from the command line."""
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    if value is None or value == "embeddings" or (type(value) is int and value >= 1):
        return value
    raise ValueError("expected embeddings, or how many of the first layers, from 1")


def _dimensions(value: object) -> object:
    """One number stands for itself; from the command line they come as one text."""
    if isinstance(value, str):
        value = value.split(",")
    values = value if isinstance(value, list | tuple) else [value]
    try:
        numbers = [int(one) if isinstance(one, str) else one for one in values]
    except ValueError:
        numbers = []
    if not all(type(one) is int and one >= 1 for one in numbers) or len(numbers) < len(values):
        raise ValueError("expected whole numbers from 1, as in 256,128")
    if len(set(numbers)) < len(numbers):
        raise ValueError("names a number of dimensions twice")
    return tuple(numbers)


Lora = Annotated[LoraSettings, BeforeValidator(_rank_as_settings)]
"""Settings of LoRA; a single number is the rank."""

Freeze = Annotated[Literal["embeddings"] | int, BeforeValidator(_number_or_embeddings)]
"""What of a student keeps its weights: the embeddings, or these and so many of the first layers."""

Dimensions = Annotated[tuple[int, ...], BeforeValidator(_dimensions)]
"""Numbers of leading dimensions; a single one stands for itself."""
