"""Encode texts with a guide and commit what comes out, in this process."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32

from gistembed.errors import StorageError, UserError
from gistembed.guide.scorers.opening import Guide
from gistembed.guide.store.keys import Keys
from gistembed.guide.store.writer import StoreWriter
from gistembed.terms import Role

_COMMIT_TEXTS = 2048


@dataclass(frozen=True)
class TextRun:
    """Texts to be encoded in one role, longest first.

    Attributes:
        role: Which prompt the guide reads before them.
        texts: The raw texts.
        keys: What their vectors are kept under.
        lengths: Tokens of each as the guide reads it; None where that is not known.
    """

    role: Role
    texts: list[str]
    keys: Keys
    lengths: Int32[np.ndarray, " texts"] | None

    def __len__(self) -> int:
        """How many texts there are."""
        return len(self.texts)

    def pieces(self, size: int) -> Iterator["TextRun"]:
        """The same texts in runs of a few.

        Args:
            size: Most texts in a run.
        """
        for start in range(0, len(self), size):
            piece = slice(start, start + size)
            lengths = None if self.lengths is None else self.lengths[piece]
            yield TextRun(self.role, self.texts[piece], self.keys.at(piece), lengths)


class UnusableVectorError(UserError):
    """The guide gives no usable vector for a text.

    Attributes:
        text: The raw text.
        problem: What is wrong and what to do, to follow the text's place.
    """

    def __init__(self, guide: str, text: str) -> None:
        """Say which.

        Args:
            guide: What the guide is called.
            text: The raw text.
        """
        # Exceptions travel between processes by what they were made of.
        super().__init__(guide, text)
        self.text = text
        self.problem = (
            f"the guide {guide} gives no usable vector for the text {text[:60]!r}; "
            "drop that row or choose another guide"
        )

    def __str__(self) -> str:
        """What is wrong and what to do."""
        return self.problem


def encode_run(
    guide: Guide,
    writer: StoreWriter,
    run: TextRun,
    on_progress: Callable[[int], None] = lambda count: None,
) -> None:
    """Encode texts and commit their vectors, a few thousand at a time; an interruption loses none.

    Args:
        guide: The guide.
        writer: Where vectors are kept.
        run: The texts.
        on_progress: Called with the number of texts encoded since the call before.

    Raises:
        UserError: If the guide gives a vector that is zero or not finite, can't go on, or the store can't be
            written.
    """
    # Texts and their vectors are added as one: an interruption never finds the one without the other.
    encoded: list[tuple[list[int], np.ndarray]] = []

    def commit() -> None:
        if not encoded:
            return
        here = np.concatenate([batch for batch, _ in encoded])
        vectors = np.concatenate([block for _, block in encoded])
        writer.append(run.keys.at(here), vectors, None if run.lengths is None else run.lengths[here])
        encoded.clear()

    try:
        for batch, embeddings in guide.embed_batches(run.texts, run.role, run.lengths):
            vectors = writer.identity.stored(embeddings)
            usable = np.isfinite(vectors).all(axis=1) & vectors.any(axis=1)
            if not usable.all():
                raise UnusableVectorError(guide.name, run.texts[batch[int(np.argmin(usable))]])
            encoded.append((batch, vectors))
            on_progress(len(batch))
            if sum(len(texts) for texts, _ in encoded) >= _COMMIT_TEXTS:
                commit()
        commit()
    # What the disk has refused is not tried once more on the way out.
    except StorageError:
        raise
    except BaseException:
        commit()
        raise
