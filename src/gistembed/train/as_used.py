"""The student as it is used, while its model is trained in parts or in fewer bits."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from gistembed.models import EmbeddingModel
from gistembed.train.sharded import whole_weights


@contextmanager
def whole(model: nn.Module, student: EmbeddingModel) -> Iterator[None]:
    """The student has the weights of a model in parts.

    Args:
        model: The model.
        student: The student, which is whole in every process.
    """
    copy_whole(model, student)
    yield


def copy_whole(model: nn.Module, student: EmbeddingModel) -> None:
    """Put the weights of a model in parts into the student.

    Args:
        model: The model.
        student: The student, which is whole in every process.
    """
    student.model.load_state_dict(whole_weights(model))


@contextmanager
def precise(model: nn.Module) -> Iterator[None]:
    """A model computes in the precision of its weights while it is trained in another.

    Args:
        model: The model.
    """
    replaced = forget_precision(model)
    try:
        yield
    finally:
        model.__dict__.update(replaced)


def forget_precision(model: nn.Module) -> dict[str, Any]:
    """Take back what accelerate put in place of a model's method for another precision.

    Args:
        model: The model.

    Returns:
        What that was, by name.
    """
    names = [name for name in ("forward", "_original_forward") if name in model.__dict__]
    return {name: model.__dict__.pop(name) for name in names}
