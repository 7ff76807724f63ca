"""Keeps triplets whose positive the guide finds at least as similar to the query as their negative."""

from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import numpy as np
from jaxtyping import Bool, Float64, Int64

from gistembed.guide import GuideVectors, TextsByRole
from gistembed.pairs import Row, Texts
from gistembed.terms import Role

DIGITS = 4
"""Decimal places to which similarities are rounded before they are compared."""

_ROWS_AT_ONCE = 65_536
_COMPARED_AT_ONCE = 1024


def agreed_rows(
    rows: Iterable[tuple[int, Row]],
    encode: Callable[[TextsByRole], GuideVectors],
    place_of: Callable[[int], str],
    *,
    on_left_out: Callable[[int], None] = lambda count: None,
    at_once: int = _ROWS_AT_ONCE,
) -> Iterator[Row]:
    """The triplets that the guide agrees with:

        round(g(query, positive), 4)  ≥  round(g(query, negative), 4)

    with cosines g in float64. Queries are read by the guide as anchors, the others as documents, as in
    training, so that their vectors are found there again.

    Args:
        rows: Triplets, each with its number in the source: one positive and one negative in each.
        encode: Gives the guide's vectors; called with the texts of a block of rows.
        place_of: Where a row of some number stands, as a message begins.
        on_left_out: Called with the number of rows that were left out of a block.
        at_once: Rows of a block; only its texts are held in memory.

    Yields:
        The rows that stay, in their order.

    Source: the filter of the author's ablation ("drop if p < n"); blocks are ours.
    """  # noqa: D415 — the formula belongs to the sentence
    iterator = iter(rows)
    while block := list(islice(iterator, at_once)):
        kept = _agrees(block, encode, place_of)
        on_left_out(int((~kept).sum()))
        yield from (row for (_, row), keep in zip(block, kept.tolist(), strict=True) if keep)


def _agrees(
    block: list[tuple[int, Row]],
    encode: Callable[[TextsByRole], GuideVectors],
    place_of: Callable[[int], str],
) -> Bool[np.ndarray, " rows"]:
    texts = Texts()
    numbered = array("q")
    for _, row in block:
        (positive,), (negative,) = row.positives, row.negatives
        numbered.extend(texts.add(passage.text) for passage in (row.anchor, positive, negative))
    ids = np.array(numbered, np.int64).reshape(-1, 3)

    def place(text_id: int) -> str:
        return place_of(block[int(np.argmax((ids == text_id).any(axis=1)))][0])

    vectors = encode(
        TextsByRole(texts, {"anchor": np.unique(ids[:, 0]), "document": np.unique(ids[:, 1:])}, place)
    )
    kept = np.empty(len(block), bool)
    for start in range(0, len(block), _COMPARED_AT_ONCE):
        piece = slice(start, start + _COMPARED_AT_ONCE)
        queries = _unit(vectors, ids[piece, 0], "anchor")
        to_positive, to_negative = (
            np.vecdot(queries, _unit(vectors, ids[piece, column], "document")).round(DIGITS)
            for column in (1, 2)
        )
        kept[piece] = to_positive >= to_negative
    return kept


def _unit(
    vectors: GuideVectors, ids: Int64[np.ndarray, " texts"], role: Role
) -> Float64[np.ndarray, "texts dim"]:
    found = vectors.of(ids, role).astype(np.float64)
    unit: Float64[np.ndarray, "texts dim"] = found / np.linalg.norm(found, axis=1, keepdims=True)
    return unit
