"""What texts are called in their source: ids by role, and the way from an id to its text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Int64

from gistembed.errors import UserError
from gistembed.pairs.rows.row import Passage
from gistembed.pairs.wording import quoted
from gistembed.terms import Role


@dataclass(frozen=True, eq=False)
class Names:
    """Ids of texts in one role, as their source gives them.

    Attributes:
        ids: The ids, each with each of its texts once.
        text_ids: The text that each of them names.
        source: The source, as messages name it.
    """

    ids: tuple[str, ...]
    text_ids: Int64[np.ndarray, " names"]
    source: str

    @cached_property
    def by_id(self) -> dict[str, int]:
        """The text of each id.

        Raises:
            UserError: If an id names two different texts.
        """
        found: dict[str, int] = {}
        for name, text_id in zip(self.ids, self.text_ids.tolist(), strict=True):
            if found.setdefault(name, text_id) != text_id:
                raise UserError(
                    f"{self.source}: id {quoted(name)} names two different texts; give each its own id"
                )
        return found


@dataclass
class NameCollector:
    """Gathers the ids of texts while rows are read."""

    _found: dict[Role, dict[tuple[str, int], None]] = field(default_factory=dict)

    def add(
        self, passages: Sequence[Passage], text_ids: Int64[np.ndarray, " passages"], row_sizes: Sequence[int]
    ) -> None:
        """Note the ids of the passages of several rows.

        Args:
            passages: Each row's anchor, then its other passages.
            text_ids: The text of each.
            row_sizes: How many passages each row has.
        """
        if not any(passage.id is not None for passage in passages):
            return
        ids = text_ids.tolist()
        start = 0
        for size in row_sizes:
            for place in range(start, start + size):
                name = passages[place].id
                if name is not None:
                    role: Role = "anchor" if place == start else "document"
                    self._found.setdefault(role, {})[name, ids[place]] = None
            start += size

    def names(self, source: str) -> Mapping[Role, Names]:
        """What was gathered.

        Args:
            source: The source, as messages name it.
        """
        return {
            role: Names(
                tuple(name for name, _ in found), np.array([text for _, text in found], np.int64), source
            )
            for role, found in self._found.items()
        }
