"""Texts that are nearly the same: MinHash over shingles of characters, its finds compared exactly."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt64
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from gistembed.doctor.findings import finding, graded
from gistembed.doctor.numbered import EXAMPLES, NumberedRows, shown
from gistembed.pairs.same import normal_form
from gistembed.record import Finding

SIMILARITY = 0.85
"""From which Jaccard similarity of their shingles on two texts count as nearly the same."""
SHORTEST = 40
"""Characters of the shortest text that is looked at: in a shorter one, one word makes all the difference."""
SHINGLE = 5
"""Characters of a shingle."""
LIMIT = 600_000_000
"""Characters of the texts that are looked at, at most: two to three minutes of one core."""

# 12 bands of 6 find two texts of similarity 0.85 with a probability of 0.997, and of 0.3 with 0.009.
_BANDS, _BAND_WIDTH = 12, 6
_PERMUTATIONS = _BANDS * _BAND_WIDTH
_SEED = 1
# Characters whose shingles are in memory at a time: 8 bytes for each, several times over.
_BLOCK_CHARACTERS = 2_000_000
_BLOCK_TEXTS = 20_000

_DIGITS = re.compile(r"\d+")


class NearTexts(NamedTuple):
    """Texts that are nearly the same, among those looked at.

    Attributes:
        texts: Ids of the texts that were looked at, one for each form.
        groups: A number for each text of the book, by id: texts of one form, or nearly the same, share it.
            -1 for texts that weren't looked at.
        pairs: Ids of two texts that are nearly the same.
        similarities: The Jaccard similarity of each such pair.
    """

    texts: Int64[np.ndarray, " looked"]
    groups: Int64[np.ndarray, " texts"]
    pairs: Int64[np.ndarray, "found 2"]
    similarities: Float64[np.ndarray, " found"]


def near_texts(
    rows: NumberedRows, text_ids: Int64[np.ndarray, " ids"], on_progress: Callable[[int], None]
) -> NearTexts:
    """Find texts that are nearly the same.

    Two texts are, if their forms share 85 % of all shingles that either has, and hold the same numbers in the
    same order: "in 1990" and "in 1991" ask for different things.

    Args:
        rows: Rows that the texts are from.
        text_ids: The texts to look at.
        on_progress: Called with the number of texts done since the call before.
    """
    strings, forms = rows.book.strings, rows.book.forms
    _, first = np.unique(forms[text_ids], return_index=True)
    looked = np.sort(text_ids[first])
    looked = looked[rows.book.lengths[looked] >= SHORTEST]
    on_progress(len(text_ids) - len(looked))
    plain = [normal_form(strings[text_id]) for text_id in looked.tolist()]
    pairs, similarities = _verified(plain, _candidates(plain, on_progress))
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(looked), len(looked)))
    _, components = connected_components(links, directed=False)
    group_of_form = np.full(int(forms.max(initial=0)) + 1, -1, np.int64)
    group_of_form[forms[looked]] = components
    return NearTexts(looked, group_of_form[forms], looked[pairs], similarities)


def near_duplicates(rows: NumberedRows, near: NearTexts) -> list[Finding]:
    """Texts that are nearly the same as an earlier one, and negatives nearly the same as their positive.

    An anchor and its own positive may be as alike as they please.
    """
    findings = []
    first_rows = rows.first_rows()
    # Evaluation texts were looked at too, where there are any; they are no duplicates of these rows.
    own = first_rows[near.pairs].min(axis=1, initial=len(rows)) >= 0
    pairs = near.pairs[own & ~_belong_together(rows, near.pairs)]
    count = len(np.unique(pairs[:, 1]))
    if count:
        looked = int((first_rows[near.texts] >= 0).sum())
        findings.append(
            finding(
                "near-duplicate",
                graded(count / looked, warning=0.05),
                count,
                looked,
                f"texts of {SHORTEST} characters or more are nearly the same as another "
                f"({SIMILARITY:.0%} of their {SHINGLE}-character shingles, and all numbers)",
                "In a batch they are negatives of each other's anchors. Keep one of each where they say the "
                "same, or let a guide mask them.",
                rows.examples(
                    (
                        int(first_rows[other]),
                        f"as {rows.place(int(first_rows[one]))}: "
                        f"{shown(rows.text(one))} | {shown(rows.text(other))}",
                    )
                    for one, other in pairs[:EXAMPLES].tolist()
                ),
            )
        )
    close = _close_negatives(rows, near)
    if count := int(close.sum()):
        findings.append(
            finding(
                "negative-nearly-positive",
                "warning",
                count,
                len(close),
                "negatives are nearly the same text as a positive of their row",
                "Look whether they are hard negatives or false ones.",
                rows.examples(
                    (int(rows.negative_rows[negative]), shown(rows.text(int(rows.negatives[negative]))))
                    for negative in np.flatnonzero(close)[:EXAMPLES].tolist()
                ),
            )
        )
    return findings


def _belong_together(rows: NumberedRows, pairs: Int64[np.ndarray, "found 2"]) -> Bool[np.ndarray, " found"]:
    """Whether one of two texts is a positive of the other."""
    forms = rows.book.forms
    size = int(forms.max(initial=0)) + 1
    known = forms[rows.pair_anchors] * size + forms[rows.positives]
    one, other = forms[pairs[:, 0]], forms[pairs[:, 1]]
    together: Bool[np.ndarray, " found"] = np.isin(one * size + other, known) | np.isin(
        other * size + one, known
    )
    return together


def _close_negatives(rows: NumberedRows, near: NearTexts) -> Bool[np.ndarray, " negatives"]:
    """Negatives in the group of a positive of their row, but of another form."""
    size = len(rows.book.strings) + 1
    of_positives, of_negatives = near.groups[rows.positives], near.groups[rows.negatives]
    grouped = np.isin(
        rows.negative_rows * size + of_negatives, (rows.pair_rows * size + of_positives)[of_positives >= 0]
    )
    forms = rows.book.forms
    same = np.isin(
        rows.negative_rows * size + forms[rows.negatives], rows.pair_rows * size + forms[rows.positives]
    )
    close: Bool[np.ndarray, " negatives"] = grouped & (of_negatives >= 0) & ~same
    return close


def _candidates(
    texts: Sequence[str], on_progress: Callable[[int], None]
) -> Int64[np.ndarray, "candidates 2"]:
    """Pairs of texts that agree in a whole band of their MinHash digests, the earlier one first."""
    bands = np.empty((_BANDS, len(texts)), np.uint64)
    for start, stop in _blocks(texts):
        digests = _digests(texts[start:stop]).reshape(stop - start, _BANDS, _BAND_WIDTH)
        bands[:, start:stop] = _hashed(digests).T
        on_progress(stop - start)
    found = [np.empty((0, 2), np.int64)]
    for band in bands:
        order = np.argsort(band, kind="stable")
        starts = np.ones(len(order), bool)
        starts[1:] = band[order[1:]] != band[order[:-1]]
        # In each bucket, every text is compared with the one before it and with the first.
        first = order[np.maximum.accumulate(np.where(starts, np.arange(len(order)), 0))]
        later = np.flatnonzero(~starts)
        found += [np.stack([order[later - 1], order[later]], 1), np.stack([first[later], order[later]], 1)]
    return np.unique(np.concatenate(found), axis=0)


def _verified(
    texts: Sequence[str], candidates: Int64[np.ndarray, "candidates 2"]
) -> tuple[Int64[np.ndarray, "found 2"], Float64[np.ndarray, " found"]]:
    kept, similarities = [], []
    of, shingles = -1, set[str]()
    for one, other in candidates.tolist():
        if _DIGITS.findall(texts[one]) != _DIGITS.findall(texts[other]):
            continue
        if of != one:
            of, shingles = one, _shingles(texts[one])
        others = _shingles(texts[other])
        shared = len(shingles & others)
        similarity = shared / (len(shingles) + len(others) - shared)
        if similarity >= SIMILARITY:
            kept.append((one, other))
            similarities.append(similarity)
    return np.array(kept, np.int64).reshape(-1, 2), np.array(similarities, np.float64)


def _shingles(text: str) -> set[str]:
    return {text[start : start + SHINGLE] for start in range(len(text) - SHINGLE + 1)}


def _blocks(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Runs of texts that together stay below a number of characters, or hold one text."""
    start = characters = 0
    for position, text in enumerate(texts):
        full = characters + len(text) > _BLOCK_CHARACTERS or position - start == _BLOCK_TEXTS
        if full and position > start:
            yield start, position
            start, characters = position, 0
        characters += len(text)
    if start < len(texts):
        yield start, len(texts)


def _digests(texts: Sequence[str]) -> UInt64[np.ndarray, "texts permutations"]:
    """The MinHash digest of each text's shingles; every text has at least one."""
    import rensa  # type: ignore[import-untyped]

    signs = np.frombuffer("".join(texts).encode("utf-32-le"), np.uint32).astype(np.uint64)
    hashes = np.zeros(len(signs) - SHINGLE + 1, np.uint64)
    for offset in range(SHINGLE):
        hashes = hashes * np.uint64(0x9E3779B97F4A7C15) + signs[offset : offset + len(hashes)]
    # The product leaves its low bits poor; the high ones have seen every character.
    hashes ^= hashes >> np.uint64(32)
    counts = np.fromiter(map(len, texts), np.int64, len(texts)) - (SHINGLE - 1)
    ends = np.cumsum(counts + SHINGLE - 1)
    inside = np.ones(len(signs), bool)
    for offset in range(1, SHINGLE):
        inside[ends - offset] = False
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.uint64)
    matrix = rensa.RMinHash.digest_matrix_from_flat_token_hashes(
        hashes[inside[: len(hashes)]], offsets, _PERMUTATIONS, _SEED
    )
    return np.array(matrix.to_rows(), np.uint64)


def _hashed(digests: UInt64[np.ndarray, "texts bands width"]) -> UInt64[np.ndarray, "texts bands"]:
    """One number for each band of each digest."""
    mixed = np.zeros(digests.shape[:2], np.uint64)
    for position in range(digests.shape[2]):
        mixed = (mixed ^ digests[:, :, position]) * np.uint64(0xD6E8FEB86659FD93)
        mixed ^= mixed >> np.uint64(32)
    return mixed
