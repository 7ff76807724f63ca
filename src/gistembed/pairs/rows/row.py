"""One row of training text, whatever format it was written in."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Passage(NamedTuple):
    """One text of a row, with what its format says of it.

    Attributes:
        text: The text that models read, its title included.
        id: Its name in the source.
        title: The part of the text that is its title; the rest follows after a space.
        instruction: What the source says should be put before it.
        score: How well it fits the anchor, by whoever scored it.
        trusted: Whether a person says that it is a true negative, whatever a guide thinks.
        extra: Further keys of the object that it stands in, with their values; None if there are none.
    """

    text: str
    id: str | None = None
    title: str | None = None
    instruction: str | None = None
    score: float | None = None
    trusted: bool = False
    extra: Mapping[str, object] | None = None


class Row(NamedTuple):
    """An anchor with its positives and negatives.

    Attributes:
        anchor: The anchor.
        positives: One or more texts that answer it.
        negatives: Texts that don't.
        task: The task or data set that the row belongs to.
        weight: How much the row counts in the loss; 1 where it isn't said.
        extra: Further columns, as they stand in the source.
        grade: How well the anchor and its positives match, where a column of the source tells.
    """

    anchor: Passage
    positives: tuple[Passage, ...]
    negatives: tuple[Passage, ...] = ()
    task: str | None = None
    weight: float | None = None
    extra: Mapping[str, object] = MappingProxyType({})
    grade: float | None = None
