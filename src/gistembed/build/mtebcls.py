"""Triplets from a classification task: a text, one like it of its class, and one of another class."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64, Num

from gistembed.build.draw import draw_triplets
from gistembed.build.labelled import LabelledTexts
from gistembed.errors import UserError
from gistembed.guide import GuideVectors, TextsByRole
from gistembed.pairs import Passage, Row
from gistembed.terms import Role

ROLE: Role = "document"
"""The one role in which a guide reads all texts: no text of a class is a query of another."""


@dataclass(frozen=True)
class DrawSettings:
    """How positives and negatives are drawn; see `draw_triplets`.

    Attributes:
        seed: Seed of all draws.
        topk: From how many of the most similar texts of the class a positive is drawn.
        temperature: The lower, the likelier the most similar.
    """

    seed: int = 1029
    topk: int = 100
    temperature: float = 0.05

    def __post_init__(self) -> None:
        """Check that a draw is possible.

        Raises:
            UserError: If it isn't.
        """
        if self.seed < 0:
            raise UserError(f"--seed {self.seed}: choose a whole number from 0 on")
        if self.topk < 1:
            raise UserError(f"--topk {self.topk}: choose 1 or more")
        if not 0 < self.temperature < float("inf"):
            raise UserError(f"--temperature {self.temperature}: choose a number above 0")


@dataclass(frozen=True, eq=False)
class ClassTriplets:
    """The triplets of a task, as rows of its labelled texts.

    Attributes:
        labelled: The labelled texts.
        queries: The row of each triplet's query.
        positives: The row of its positive.
        negatives: The row of its negative.
        alone: How many rows were left out because they are alone in their class.
        same_text: How many were left out because positive or negative is the query's own text.
    """

    labelled: LabelledTexts
    queries: Int64[np.ndarray, " triplets"]
    positives: Int64[np.ndarray, " triplets"]
    negatives: Int64[np.ndarray, " triplets"]
    alone: int
    same_text: int

    def __len__(self) -> int:
        """How many triplets there are."""
        return len(self.queries)

    def rows(self) -> Iterator[Row]:
        """The triplets, in the order of their queries in the source."""
        texts, ids = self.labelled.texts, self.labelled.ids
        for triplet in np.stack([self.queries, self.positives, self.negatives], axis=1):
            query, positive, negative = (Passage(texts[text_id]) for text_id in ids[triplet].tolist())
            yield Row(query, (positive,), (negative,), task=self.labelled.task)


def texts_to_encode(tasks: Sequence[LabelledTexts]) -> TextsByRole:
    """What a guide is asked about: each distinct text of some tasks, in one role.

    Args:
        tasks: The tasks, whose texts are numbered in one table.
    """

    def place_of(text_id: int) -> str:
        task = next(task for task in tasks if (task.ids == text_id).any())
        return task.place(int(np.argmax(task.ids == text_id)))

    ids = np.unique(np.concatenate([task.ids for task in tasks]))
    return TextsByRole(tasks[0].texts, {ROLE: ids}, place_of)


def class_triplets(
    labelled: LabelledTexts,
    vectors: GuideVectors,
    settings: DrawSettings,
    on_progress: Callable[[int], None] = lambda count: None,
) -> ClassTriplets:
    """Draw the triplets of a task.

    Args:
        labelled: The labelled texts.
        vectors: The guide's vectors of them.
        settings: How to draw.
        on_progress: Called with the number of rows done since the call before.
    """
    drawn = draw_triplets(
        _VectorsOfRows(vectors, labelled.ids),
        labelled.labels,
        seed=settings.seed,
        topk=settings.topk,
        temperature=settings.temperature,
        on_progress=on_progress,
    )
    queries = np.flatnonzero(drawn.positives >= 0)
    positives, negatives = drawn.positives[queries], drawn.negatives[queries]
    ids = labelled.ids
    differ = (ids[positives] != ids[queries]) & (ids[negatives] != ids[queries])
    return ClassTriplets(
        labelled=labelled,
        queries=queries[differ],
        positives=positives[differ],
        negatives=negatives[differ],
        alone=len(labelled) - len(queries),
        same_text=int((~differ).sum()),
    )


@dataclass(frozen=True)
class _VectorsOfRows:
    """The guide's vectors by row of a task, read when they are asked for."""

    vectors: GuideVectors
    ids: Int64[np.ndarray, " rows"]

    def __getitem__(self, rows: Int64[np.ndarray, " rows"], /) -> Num[np.ndarray, "rows dim"]:
        return self.vectors.of(self.ids[rows], ROLE)
