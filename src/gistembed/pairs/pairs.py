"""Pairs of texts as ids: what every later part of a run works with."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from operator import index
from typing import SupportsIndex

import numpy as np
import xxhash
from jaxtyping import Bool, Float32, Int32, Int64

from gistembed.pairs.names import Names
from gistembed.pairs.rows.columns import Columns
from gistembed.pairs.texts import Texts
from gistembed.pairs.wording import PlaceWord, located
from gistembed.terms import Role


@dataclass(frozen=True, eq=False)
class Relations:
    """For each text, the texts that are known to be positives of it as an anchor.

    Attributes:
        offsets: The positives of text ``t`` are ``ids[offsets[t] : offsets[t + 1]]``.
        ids: Text ids, sorted and distinct for each text.
    """

    offsets: Int64[np.ndarray, " texts_and_one"]
    ids: Int64[np.ndarray, " relations"]

    def of(self, text_id: SupportsIndex) -> Int64[np.ndarray, " positives"]:
        """The known positives of one text."""
        return self.ids[self.offsets[text_id] : self.offsets[index(text_id) + 1]]

    def of_each(
        self, text_ids: Int64[np.ndarray, " texts"]
    ) -> tuple[Int64[np.ndarray, " found"], Int64[np.ndarray, " found"]]:
        """The known positives of several texts, and before them the position of the text that each is of."""
        starts = self.offsets[text_ids]
        counts = self.offsets[text_ids + 1] - starts
        return np.repeat(np.arange(len(text_ids)), counts), self.ids[spans(starts, counts)]


@dataclass(frozen=True)
class Origin:
    """One of several sources of pairs.

    Attributes:
        source: The source, as messages name it.
        place_word: Whether its places are lines or rows.
        columns: The columns that the texts came from.
    """

    source: str
    place_word: PlaceWord
    columns: Columns


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of an anchor and a positive, each with any number of negatives, as text ids.

    Attributes:
        texts: The table that the ids point into; it may hold texts of other pairs too.
        source: Where the pairs came from, as messages name it.
        columns: The columns that the texts came from.
        anchors: Text id of each pair's anchor.
        positives: Text id of each pair's positive.
        negative_offsets: The negatives of pair ``i`` are
            ``negative_ids[negative_offsets[i] : negative_offsets[i + 1]]``.
        negative_ids: Text ids of all negatives, pair after pair.
        places: Line or row of the source (from 1) that each pair came from.
        place_word: Whether places are lines or rows.
        rows_read: Rows in the source.
        dropped: How many pairs or negatives were left out when reading, by reason in words.
        task_names: The tasks, by number; none where no row tells its task.
        tasks: Number of each pair's task.
        weights: How much each pair counts in the loss; None where all count alike.
        trusted: Whether a person says of each negative that it is one; None where nobody says so.
        instructed: How many rows came with an instruction that is no part of their texts.
        names: What texts are called in the source, by role; not known of pairs from several sources.
        origins: The sources, where there are several; ``source`` then names them all.
        origin: Number of the source of each pair.
        same: For each text, the one that it counts as; None where each counts as itself.
        also_known: Text ids of anchor and positive of pairs that are known, but not among these; None where
            there are none.
    """

    texts: Texts
    source: str
    columns: Columns
    anchors: Int64[np.ndarray, " pairs"]
    positives: Int64[np.ndarray, " pairs"]
    negative_offsets: Int64[np.ndarray, " pairs+1"]
    negative_ids: Int64[np.ndarray, " negatives"]
    places: Int64[np.ndarray, " pairs"]
    place_word: PlaceWord
    rows_read: int
    dropped: dict[str, int] = field(default_factory=dict)
    task_names: tuple[str, ...] = ()
    tasks: Int32[np.ndarray, " pairs"] | None = None
    weights: Float32[np.ndarray, " pairs"] | None = None
    trusted: Bool[np.ndarray, " negatives"] | None = None
    instructed: int = 0
    names: Mapping[Role, Names] = field(default_factory=dict)
    origins: tuple[Origin, ...] = ()
    origin: Int32[np.ndarray, " pairs"] | None = None
    same: Int64[np.ndarray, " texts"] | None = None
    also_known: Int64[np.ndarray, "known 2"] | None = None

    def __len__(self) -> int:
        """How many pairs there are."""
        return len(self.anchors)

    def identity(self, text_ids: Int64[np.ndarray, "*shape"]) -> Int64[np.ndarray, "*shape"]:
        """The texts that these count as; -1 stays."""
        if self.same is None:
            return text_ids
        found: Int64[np.ndarray, "*shape"] = np.where(text_ids >= 0, self.same[text_ids], -1)
        return found

    def negatives(self, row: SupportsIndex) -> Int64[np.ndarray, " negatives"]:
        """Text ids of one pair's negatives."""
        return self.negative_ids[self.negative_offsets[row] : self.negative_offsets[index(row) + 1]]

    def negative_rows(self) -> Int64[np.ndarray, " negatives"]:
        """The pair that each entry of ``negative_ids`` belongs to."""
        return np.repeat(np.arange(len(self)), np.diff(self.negative_offsets))

    def task_sizes(self) -> dict[str, int]:
        """How many pairs each task has; those without one have an empty name."""
        if self.tasks is None:
            return {}
        counts = np.bincount(self.tasks, minlength=len(self.task_names)).tolist()
        return dict(zip(self.task_names, counts, strict=True))

    def place(self, row: SupportsIndex) -> str:
        """Where a pair came from: ``pairs.csv:118`` or ``pairs.parquet: row 118``."""
        source, place_word = self.source, self.place_word
        if self.origin is not None:
            origin = self.origins[int(self.origin[row])]
            source, place_word = origin.source, origin.place_word
        return located(source, place_word, int(self.places[row]))

    def take(self, rows: Int64[np.ndarray, " taken"]) -> "Pairs":
        """These pairs in this order, over the same texts."""
        starts = self.negative_offsets[rows]
        counts = self.negative_offsets[rows + 1] - starts
        negatives = spans(starts, counts)
        return replace(
            self,
            anchors=self.anchors[rows],
            positives=self.positives[rows],
            negative_offsets=offsets_of(counts),
            negative_ids=self.negative_ids[negatives],
            places=self.places[rows],
            tasks=None if self.tasks is None else self.tasks[rows],
            weights=None if self.weights is None else self.weights[rows],
            trusted=None if self.trusted is None else self.trusted[negatives],
            origin=None if self.origin is None else self.origin[rows],
        )

    def without_negatives(self, leaves: Bool[np.ndarray, " negatives"]) -> "Pairs":
        """The same pairs without these of their negatives."""
        rows = self.negative_rows()[~leaves]
        return replace(
            self,
            negative_offsets=offsets_of(np.bincount(rows, minlength=len(self))),
            negative_ids=self.negative_ids[~leaves],
            trusted=None if self.trusted is None else self.trusted[~leaves],
        )

    def with_negatives(
        self,
        ids: Int64[np.ndarray, " further"],
        trusted: Bool[np.ndarray, " further"],
        starts: Int64[np.ndarray, " pairs"],
        counts: Int64[np.ndarray, " pairs"],
    ) -> "Pairs":
        """The same pairs with further negatives behind their own.

        Args:
            ids: Text ids of the further negatives.
            trusted: Whether a person trusts each.
            starts: Where those of each pair begin; several pairs may have the same ones.
            counts: How many each pair gets.
        """
        own = np.diff(self.negative_offsets)
        offsets = offsets_of(own + counts)
        own_at, further_at = spans(offsets[:-1], own), spans(offsets[:-1] + own, counts)
        further = spans(starts, counts)
        negatives = np.empty(offsets[-1], np.int64)
        negatives[own_at], negatives[further_at] = self.negative_ids, ids[further]
        are_trusted = np.zeros(offsets[-1], bool)
        are_trusted[own_at] = False if self.trusted is None else self.trusted
        are_trusted[further_at] = trusted[further]
        return replace(
            self,
            negative_offsets=offsets,
            negative_ids=negatives,
            trusted=are_trusted if are_trusted.any() else None,
        )

    def only_knowing(self, rows: Bool[np.ndarray, " pairs"]) -> "Pairs":
        """The pairs without these, whose positives stay known."""
        known = np.stack([self.anchors[rows], self.positives[rows]], axis=1)
        before = [] if self.also_known is None else [self.also_known]
        return replace(self.take(np.flatnonzero(~rows)), also_known=np.concatenate([*before, known]))

    def apart(self) -> "Pairs":
        """The same pairs over a table with no other texts than theirs, in the order of their ids."""
        own = self.text_ids()
        texts = Texts()
        texts.add_all(self.texts.of(own))
        anchors, positives, negatives = (
            np.searchsorted(own, ids) for ids in (self.anchors, self.positives, self.negative_ids)
        )
        return replace(
            self,
            texts=texts,
            anchors=anchors,
            positives=positives,
            negative_ids=negatives,
            names={},
            same=None,
            also_known=None,
        )

    def text_ids(self) -> Int64[np.ndarray, " distinct"]:
        """The distinct text ids in any role, sorted."""
        return np.unique(np.concatenate([self.anchors, self.positives, self.negative_ids]))

    def known_positives(self) -> Relations:
        """For each text, the positives that are known of it as an anchor; both as what they count as."""
        anchors, positives = self.known_pairs()
        size = max(len(self.texts), 1)
        anchors, positives = np.divmod(np.unique(anchors * size + positives), size)
        return Relations(offsets_of(np.bincount(anchors, minlength=len(self.texts))), positives)

    def known_pairs(self) -> tuple[Int64[np.ndarray, " known"], Int64[np.ndarray, " known"]]:
        """Anchors and positives known to belong together, as what they count as: these pairs' and others."""
        anchors, positives = self.anchors, self.positives
        if self.also_known is not None:
            anchors = np.concatenate([anchors, self.also_known[:, 0]])
            positives = np.concatenate([positives, self.also_known[:, 1]])
        return self.identity(anchors), self.identity(positives)

    def pair_keys(self) -> Int64[np.ndarray, " pairs"]:
        """One number for each (anchor, positive); equal numbers mean texts that count as equal in both."""
        anchors, positives = self.identity(self.anchors), self.identity(self.positives)
        keys: Int64[np.ndarray, " pairs"] = anchors * len(self.texts) + positives
        return keys

    def digest(self) -> str:
        """The xxh3-128 of the pairs' texts in order, and of what stands beside them.

        It does not depend on how texts are numbered.
        """
        hashes = self.texts.hashes()
        digest = xxhash.xxh3_128(self.negative_offsets.astype("<i8").tobytes())
        for ids in (self.anchors, self.positives, self.negative_ids):
            digest.update(hashes[ids].tobytes())
        for name, values in (("weights", self.weights), ("tasks", self.tasks), ("trusted", self.trusted)):
            if values is not None:
                digest.update(name.encode() + values.tobytes())
        if self.also_known is not None:
            digest.update(b"also known" + hashes[self.also_known].tobytes())
        digest.update("\0".join(self.task_names).encode())
        return digest.hexdigest()


def spans(
    starts: Int64[np.ndarray, " groups"], counts: Int64[np.ndarray, " groups"]
) -> Int64[np.ndarray, " positions"]:
    """The positions of several runs, one after another: from each start, as many as its count."""
    offsets = offsets_of(counts)
    return np.repeat(starts - offsets[:-1], counts) + np.arange(offsets[-1])


def offsets_of(counts: Int64[np.ndarray, " groups"]) -> Int64[np.ndarray, " groups+1"]:
    """Where each of several groups of these sizes starts when they stand one after another."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])
