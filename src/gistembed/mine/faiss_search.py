"""The same search by faiss, for those who have it: exact too, but for the order of equal scores."""

import importlib
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from gistembed.errors import UserError
from gistembed.mine.nearest import Nearest, OwnTexts, find_own, keep_better, nothing_yet

_ANCHOR_BLOCK = 16_384


def require_faiss() -> Any:  # noqa: ANN401 — a library without types
    """The library.

    Raises:
        UserError: If it is not installed.
    """
    try:
        return importlib.import_module("faiss")
    except ImportError as error:
        raise UserError(
            "--search faiss: faiss is not installed; run `pip install 'gistembed[faiss]'`, "
            "or leave the option out"
        ) from error


def nearest_by_faiss(
    anchors: Float32[np.ndarray, "anchors dim"],
    blocks: Iterable[tuple[Int64[np.ndarray, " block"], Float32[np.ndarray, "block dim"]]],
    own: OwnTexts,
    depth: int,
    *,
    on_progress: Callable[[int], None] = lambda count: None,
) -> Nearest:
    """What `nearest_documents` finds without limits, by faiss' flat index; which of equal scores is open.

    Args:
        anchors: Vectors of the anchors, of length 1.
        blocks: Text ids of documents, distinct over all blocks and sorted in each, and their vectors.
        own: What each anchor never gets.
        depth: How many documents an anchor gets; fewer only where there are fewer.
        on_progress: Called with the number of documents done since the call before.

    Raises:
        UserError: If faiss is not installed.
    """
    faiss = require_faiss()
    found = nothing_yet(len(anchors), depth)
    most_own = int(np.bincount(own.rows, minlength=1).max())
    for ids, vectors in blocks:
        index = faiss.IndexFlatIP(anchors.shape[1])
        index.add(vectors)
        # Own texts are among what faiss finds, and leave room for no others.
        count = min(depth + most_own, len(ids))
        for start in range(0, len(anchors), _ANCHOR_BLOCK):
            rows = slice(start, min(start + _ANCHOR_BLOCK, len(anchors)))
            similarities, columns = index.search(anchors[rows], count)
            holders, places = find_own(ids, own.between(rows.start, rows.stop))
            cells = np.arange(len(columns))[:, None] * len(ids) + columns
            similarities[np.isin(cells, holders * len(ids) + places)] = -np.inf
            keep_better(found, rows, ids[columns], similarities)
        on_progress(len(ids))
    found.ids[found.similarities == -np.inf] = -1
    return found
