"""Hard negatives of all anchors of some pairs, from the guide's vectors."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Int64, Num

from gistembed.guide import GuideVectors
from gistembed.mine.choose import choose_negatives, highest_scores
from gistembed.mine.faiss_search import nearest_by_faiss
from gistembed.mine.nearest import DOCUMENT_BLOCK, Nearest, OwnTexts, nearest_documents
from gistembed.mine.settings import MiningSettings
from gistembed.pairs import Pairs, Relations
from gistembed.terms import Role

# So many anchors are held at once with their vectors, and so many of their nearest documents; the documents
# are read anew for each such slab of anchors.
_SLAB = 65_536
_KEPT = 1 << 24
_SCORED_AT_ONCE = 16_384


@dataclass(frozen=True)
class Documents:
    """Some of the documents that are searched, and where their vectors are.

    Attributes:
        ids: Text ids, distinct and sorted.
        vectors: The guide's vectors of them.
    """

    ids: Int64[np.ndarray, " documents"]
    vectors: GuideVectors

    @classmethod
    def of(cls, pairs: Pairs, vectors: GuideVectors) -> "Documents":
        """The positives and negatives of some pairs.

        Args:
            pairs: The pairs, or the documents that `read_corpus` gives.
            vectors: The guide's vectors of their texts.
        """
        return cls(np.unique(np.concatenate([pairs.positives, pairs.negative_ids])), vectors)

    def blocks(
        self, size: int
    ) -> Iterator[tuple[Int64[np.ndarray, " block"], Float32[np.ndarray, "block dim"]]]:
        """Ids and unit vectors, so many at a time."""
        for start in range(0, len(self.ids), size):
            ids = self.ids[start : start + size]
            yield ids, unit_vectors(self.vectors, ids, "document")


@dataclass(frozen=True, eq=False)
class MinedNegatives:
    """The hard negatives of each anchor, and how the guide scores what the pairs had.

    Attributes:
        anchors: Text ids of the distinct anchors, sorted.
        negatives: What was mined for each of them.
        scored: For what the pairs had: ``anchor id · texts + document id``, sorted and distinct.
        scores: Cosine of each of these.
        texts: How many texts the table had.
    """

    anchors: Int64[np.ndarray, " anchors"]
    negatives: Nearest
    scored: Int64[np.ndarray, " scored"]
    scores: Float32[np.ndarray, " scored"]
    texts: int

    def of(self, anchor_id: int) -> list[tuple[int, float]]:
        """Text id and cosine of each negative of an anchor, the hardest first.

        Raises:
            KeyError: If it is no anchor of the pairs.
        """
        row = _position(self.anchors, anchor_id)
        ids, scores = self.negatives.ids[row], self.negatives.similarities[row]
        return list(zip(ids[ids >= 0].tolist(), scores[ids >= 0].tolist(), strict=True))

    def score(self, anchor_id: int, document_id: int) -> float:
        """Cosine of an anchor with a document that the pairs gave it.

        Raises:
            KeyError: If they didn't give it.
        """
        return float(self.scores[_position(self.scored, anchor_id * self.texts + document_id)])


def _position(ordered: Int64[np.ndarray, " numbers"], number: int) -> int:
    place = int(np.searchsorted(ordered, number))
    if place == len(ordered) or ordered[place] != number:
        raise KeyError(number)
    return place


def mine_negatives(
    pairs: Pairs,
    vectors: GuideVectors,
    settings: MiningSettings,
    *,
    corpus: Documents | None = None,
    also_known: Relations | None = None,
    device: str | None = None,
    document_block: int = DOCUMENT_BLOCK,
    on_progress: Callable[[int], None] = lambda count: None,
) -> MinedNegatives:
    """Find the negatives of each distinct anchor among the documents of the pairs and of a corpus.

    An anchor never gets its own text, a known positive of it, or, unless they are replaced, a negative that
    the pairs give it already.

    Args:
        pairs: The pairs.
        vectors: The guide's vectors of their texts.
        settings: What may be taken, and how.
        corpus: Further documents, none of them the pairs'.
        also_known: Positives of the anchors besides those of the pairs; the margins don't follow them.
        device: Where similarities are computed, as torch names it; a GPU if there is one, by default.
        document_block: How many documents are read at once.
        on_progress: Called with the number of documents compared since the call before: `comparisons` in all.

    Raises:
        UserError: If faiss is wanted and not installed.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    parts = [Documents.of(pairs, vectors)] + ([] if corpus is None else [corpus])
    anchors = np.unique(pairs.anchors)
    scored, scores = _score_own(pairs, vectors)
    own = _own_texts(pairs, anchors, settings, also_known)
    highest = highest_scores(_least_positives(pairs, scored, scores), settings)
    depth = min(settings.depth, sum(len(part.ids) for part in parts))
    found = []
    slab = _slab(depth)
    for start in range(0, len(anchors), slab):
        here = anchors[start : start + slab]
        unit = unit_vectors(vectors, here, "anchor")
        blocks = (block for part in parts for block in part.blocks(document_block))
        never = own.between(start, start + len(here))
        if settings.search == "faiss":
            nearest = nearest_by_faiss(unit, blocks, never, depth, on_progress=on_progress)
        else:
            limits = highest[start : start + len(here)] if settings.range_max is None else None
            nearest = nearest_documents(
                unit, blocks, never, depth, highest=limits, device=device, on_progress=on_progress
            )
        found.append(choose_negatives(nearest, here, highest[start : start + len(here)], settings))
    negatives = Nearest(
        np.concatenate([one.ids for one in found]), np.concatenate([one.similarities for one in found])
    )
    return MinedNegatives(anchors, negatives, scored, scores, len(pairs.texts))


def comparisons(anchors: int, documents: int, settings: MiningSettings) -> int:
    """How many documents `mine_negatives` reports in all: each as often as there are slabs of anchors.

    Args:
        anchors: Distinct anchors.
        documents: Distinct documents.
        settings: What is mined.
    """
    return documents * -(-anchors // _slab(min(settings.depth, documents)))


def _slab(depth: int) -> int:
    return min(_SLAB, max(1, _KEPT // depth))


def unit_vectors(
    vectors: GuideVectors, ids: Int64[np.ndarray, " texts"], role: Role
) -> Float32[np.ndarray, "texts dim"]:
    """The guide's vectors of texts in a role, of length 1.

    Args:
        vectors: The guide's vectors.
        ids: Text ids.
        role: The role.
    """
    found: Num[np.ndarray, "texts dim"] = vectors.of(ids, role)
    unit = found.astype(np.float32)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    return unit


def _score_own(
    pairs: Pairs, vectors: GuideVectors
) -> tuple[Int64[np.ndarray, " scored"], Float32[np.ndarray, " scored"]]:
    """Keys and cosines of the anchors with the positives and negatives that the pairs give them."""
    count = len(pairs.texts)
    keys = np.unique(
        np.concatenate([pairs.pair_keys(), pairs.anchors[pairs.negative_rows()] * count + pairs.negative_ids])
    )
    scores = np.empty(len(keys), np.float32)
    for start in range(0, len(keys), _SCORED_AT_ONCE):
        here = slice(start, start + _SCORED_AT_ONCE)
        anchors, documents = np.divmod(keys[here], count)
        scores[here] = np.einsum(
            "ij,ij->i", unit_vectors(vectors, anchors, "anchor"), unit_vectors(vectors, documents, "document")
        )
    return keys, scores


def _least_positives(
    pairs: Pairs, scored: Int64[np.ndarray, " scored"], scores: Float32[np.ndarray, " scored"]
) -> Float32[np.ndarray, " anchors"]:
    """Cosine of each distinct anchor, sorted, with the least similar of its known positives."""
    keys = np.unique(pairs.pair_keys())
    _, starts = np.unique(keys // len(pairs.texts), return_index=True)
    return np.minimum.reduceat(scores[np.searchsorted(scored, keys)], starts)


def _own_texts(
    pairs: Pairs,
    anchors: Int64[np.ndarray, " anchors"],
    settings: MiningSettings,
    also_known: Relations | None,
) -> OwnTexts:
    parts = [(np.arange(len(anchors)), anchors), pairs.known_positives().of_each(anchors)]
    if also_known is not None:
        parts.append(also_known.of_each(anchors))
    if not settings.replace:
        holders = np.searchsorted(anchors, pairs.anchors[pairs.negative_rows()])
        parts.append((holders, pairs.negative_ids))
    every_row, every_id = (np.concatenate(one) for one in zip(*parts, strict=True))
    order = np.argsort(every_row, kind="stable")
    return OwnTexts(every_row[order], every_id[order])
