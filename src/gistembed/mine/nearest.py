"""The nearest documents of many anchors, exactly, a block of similarities at a time."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

# A block of similarities takes 64 MiB.
_ANCHOR_BLOCK = 1024
DOCUMENT_BLOCK = 16_384


@dataclass(frozen=True, eq=False)
class OwnTexts:
    """The texts that each anchor never gets as a negative.

    Attributes:
        rows: Positions of anchors, sorted.
        ids: A text id of each.
    """

    rows: Int64[np.ndarray, " own"]
    ids: Int64[np.ndarray, " own"]

    def between(self, start: int, stop: int) -> "OwnTexts":
        """Those of some anchors, whose positions are counted from the first of them."""
        first, last = np.searchsorted(self.rows, [start, stop])
        return OwnTexts(self.rows[first:last] - start, self.ids[first:last])


@dataclass(frozen=True, eq=False)
class Nearest:
    """The nearest documents of each anchor.

    Attributes:
        ids: Text ids: the most similar first, of equally similar ones the smaller id; -1 pads.
        similarities: Cosine of anchor and document; minus infinity pads.
    """

    ids: Int64[np.ndarray, "anchors depth"]
    similarities: Float32[np.ndarray, "anchors depth"]


def nearest_documents(
    anchors: Float32[np.ndarray, "anchors dim"],
    blocks: Iterable[tuple[Int64[np.ndarray, " block"], Float32[np.ndarray, "block dim"]]],
    own: OwnTexts,
    depth: int,
    *,
    highest: Float32[np.ndarray, " anchors"] | None = None,
    device: str = "cpu",
    anchor_block: int = _ANCHOR_BLOCK,
    on_progress: Callable[[int], None] = lambda count: None,
) -> Nearest:
    """The `depth` documents whose scalar product with each anchor is largest, its own texts left out.

    Memory holds one block of similarities, never all of them. Products are float32 and differ by rounding
    between machines and sizes of blocks; equal ones are ordered by text id.

    Args:
        anchors: Vectors of the anchors, of length 1.
        blocks: Text ids of documents, distinct over all blocks and sorted in each, and their vectors.
        own: What each anchor never gets.
        depth: How many documents an anchor gets; fewer only where there are fewer.
        highest: The product above which a document is passed over; None passes over none.
        device: Where the products are computed, as torch names it.
        anchor_block: How many anchors meet a block of documents at once.
        on_progress: Called with the number of documents done since the call before.

    Source: blocked exact search, as faiss' IndexFlatIP; the order of ties, own texts and limits are ours.
    """
    found = nothing_yet(len(anchors), depth)
    anchor_vectors = torch.from_numpy(anchors).to(device)
    limits = None if highest is None else torch.from_numpy(highest).to(device)
    for ids, vectors in blocks:
        documents = torch.from_numpy(vectors).to(device)
        space = torch.empty(min(anchor_block, len(anchors)), len(ids), device=device)
        for start in range(0, len(anchors), anchor_block):
            rows = slice(start, min(start + anchor_block, len(anchors)))
            similarities = space[: rows.stop - rows.start]
            torch.mm(anchor_vectors[rows], documents.T, out=similarities)
            _leave_out(similarities, ids, own.between(rows.start, rows.stop))
            if limits is not None:
                _pass_over(similarities, limits[rows])
            values, columns = top_columns(similarities, depth)
            keep_better(found, rows, ids[columns.cpu().numpy()], values.cpu().numpy())
        on_progress(len(ids))
    found.ids[found.similarities == -np.inf] = -1
    return found


def top_columns(
    scores: Float32[Tensor, "rows columns"], count: int
) -> tuple[Float32[Tensor, "rows found"], Int64[Tensor, "rows found"]]:
    """The highest scores of each row and their columns; of equal ones those further left are found.

    Args:
        scores: The scores; minus infinity stands for none.
        count: How many of each row, if there are so many.
    """
    if count >= scores.shape[1]:
        return scores, torch.arange(scores.shape[1], device=scores.device).expand_as(scores)
    # One more than is sought: topk takes any of those that tie for its last places.
    values, columns = scores.topk(count + 1, dim=1)
    last = values[:, count - 1]
    tied = ((last == values[:, count]) & (last > -torch.inf)).nonzero().squeeze(1)
    if len(tied):
        ordered = scores[tied].sort(dim=1, descending=True, stable=True)
        values[tied], columns[tied] = (one[:, : count + 1] for one in (ordered.values, ordered.indices))
    return values[:, :count], columns[:, :count]


def _pass_over(similarities: Float32[Tensor, "rows block"], highest: Float32[Tensor, " rows"]) -> None:
    # Most rows have nothing above their limit in most blocks; to find that out takes one pass of three.
    rows = (similarities.amax(dim=1) > highest).nonzero().squeeze(1)
    if len(rows):
        above = similarities[rows]
        similarities[rows] = above.masked_fill_(above > highest[rows].unsqueeze(1), -torch.inf)


def _leave_out(
    similarities: Float32[Tensor, "rows block"], ids: Int64[np.ndarray, " block"], own: OwnTexts
) -> None:
    rows, places = (torch.from_numpy(one).to(similarities.device) for one in find_own(ids, own))
    similarities[rows, places] = -torch.inf


def find_own(
    ids: Int64[np.ndarray, " block"], own: OwnTexts
) -> tuple[Int64[np.ndarray, " found"], Int64[np.ndarray, " found"]]:
    """Which anchors have own texts in a block, and at which of its places.

    Args:
        ids: Text ids of the block, sorted.
        own: The own texts.
    """
    places = np.minimum(np.searchsorted(ids, own.ids), len(ids) - 1)
    here = ids[places] == own.ids
    return own.rows[here], places[here]


def nothing_yet(anchors: int, depth: int) -> Nearest:
    """What `keep_better` begins with.

    Args:
        anchors: How many anchors there are.
        depth: How many documents each gets.
    """
    return Nearest(np.full((anchors, depth), -1, np.int64), np.full((anchors, depth), -np.inf, np.float32))


def keep_better(
    found: Nearest,
    rows: slice,
    ids: Int64[np.ndarray, "rows more"],
    similarities: Float32[np.ndarray, "rows more"],
) -> None:
    """Put further documents into the place of what is worse.

    Args:
        found: What there is so far; changed.
        rows: Which anchors the documents are for.
        ids: Text ids.
        similarities: Cosines.
    """
    depth = found.ids.shape[1]
    every_id = np.concatenate([found.ids[rows], ids], axis=1)
    every = np.concatenate([found.similarities[rows], similarities], axis=1)
    best = np.lexsort((every_id, -every), axis=1)[:, :depth]
    found.ids[rows] = np.take_along_axis(every_id, best, axis=1)
    found.similarities[rows] = np.take_along_axis(every, best, axis=1)
