"""From pairs to guide vectors: what the store lacks is encoded, then everything is looked up by id."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int32, Int64, Num

from gistembed.errors import UserError
from gistembed.guide.encode import TextRun, UnusableVectorError, encode_run
from gistembed.guide.endpoint import EndpointGuide, Estimate
from gistembed.guide.keys import Keys
from gistembed.guide.opening import Guide
from gistembed.guide.store import GuideStore
from gistembed.guide.writer import StoreWriter
from gistembed.models import TASKS, EmbeddingModel
from gistembed.pairs import Pairs, Texts
from gistembed.terms import Role


@dataclass(frozen=True)
class TextsByRole:
    """Texts that a guide is asked about although no pairs hold them yet.

    Attributes:
        texts: The table that the ids point into.
        ids: Distinct text ids by role, sorted.
        place_of: Where a text stands, as a message begins, by its id.
    """

    texts: Texts
    ids: Mapping[Role, Int64[np.ndarray, " _"]]
    place_of: Callable[[int], str]


Asked = Pairs | TextsByRole
"""What a guide can be asked about."""


@dataclass(frozen=True)
class StoredVectors:
    """The vectors of a store, by row; nothing is held in memory.

    Attributes:
        store: The store.
    """

    store: GuideStore

    def __getitem__(self, rows: Int64[np.ndarray, " rows"]) -> Num[np.ndarray, "rows dim"]:
        """See `GuideStore.read`."""
        return self.store.read(rows)


@dataclass(frozen=True)
class GuideVectors:
    """The guide's vectors of all texts of a run, by role and text id.

    Attributes:
        source: Vectors by row, in a store or in memory; of whatever length, as only their directions count.
        rows: Row by role and text id; -1 for texts without that role.
    """

    source: StoredVectors | Num[np.ndarray, "vectors dim"]
    rows: Mapping[Role, Int64[np.ndarray, " texts"]]

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return int(self.source[np.empty(0, np.int64)].shape[1])

    def lengths(self) -> Int32[np.ndarray, " vectors"]:
        """Tokens of each text as the guide read it in each role; 0 where they are not known."""
        rows = np.unique(np.concatenate([own[own >= 0] for own in self.rows.values()]))
        if isinstance(self.source, StoredVectors):
            return self.source.store.lengths(rows)
        return np.zeros(len(rows), np.int32)

    def of(self, ids: Int64[np.ndarray, "*shape"], role: Role) -> Num[np.ndarray, "*shape dim"]:
        """Vectors of texts in a role; an id of -1 gives zeros.

        Raises:
            KeyError: If a text was not encoded in that role.
            StorageError: If a vector was damaged after it was looked up.
        """
        flat = ids.reshape(-1)
        given = np.flatnonzero(flat >= 0)
        rows = self.rows[role][flat[given]]
        if len(missing := flat[given][rows < 0]):
            raise KeyError(f"text {missing[0]} has no guide vector as {role}")
        found = self.source[rows]
        if len(given) == len(flat):
            return found.reshape(*ids.shape, found.shape[1])
        vectors = np.zeros((len(flat), found.shape[1]), found.dtype)
        vectors[given] = found
        return vectors.reshape(*ids.shape, found.shape[1])


@dataclass(frozen=True)
class EncodingPlan:
    """What the guide is asked about: each distinct text in each role, and its key in the store.

    Attributes:
        ids: Distinct text ids, by role.
        keys: The key of each of these texts, in their order.
        distinct: How many different keys there are; a text in both roles may be one.
    """

    ids: Mapping[Role, Int64[np.ndarray, " _"]]
    keys: Mapping[Role, Keys]
    distinct: int

    def missing(self, store: GuideStore) -> "MissingTexts":
        """The texts that have to be encoded in each role, because the store lacks them.

        A text whose roles share their vector is there once.

        Args:
            store: The store.
        """
        absent = {role: np.flatnonzero(store.find(keys) < 0) for role, keys in self.keys.items()}
        every = Keys.joined([self.keys[role].at(places) for role, places in absent.items()])
        first = np.sort(every.distinct())
        missing: dict[Role, Int64[np.ndarray, " _"]] = {}
        start = 0
        for role, places in absent.items():
            here = first[(first >= start) & (first < start + len(places))] - start
            missing[role] = self.ids[role][places[here]]
            start += len(places)
        return MissingTexts(missing)


@dataclass(frozen=True)
class MissingTexts:
    """The texts that a store lacks.

    Attributes:
        ids: Their ids, by the role in which they are to be encoded.
    """

    ids: Mapping[Role, Int64[np.ndarray, " _"]]

    def __len__(self) -> int:
        """How many there are."""
        return sum(map(len, self.ids.values()))

    def estimate(self, guide: EndpointGuide, pairs: Asked, price: float | None) -> Estimate:
        """What it would take to encode all of it by an endpoint; nothing is sent.

        Args:
            guide: The endpoint.
            pairs: The pairs whose texts are needed.
            price: What the endpoint takes for a million tokens.
        """
        parts = [guide.estimate(pairs.texts.of(ids), price, role) for role, ids in self.ids.items()]
        return Estimate(
            texts=sum(part.texts for part in parts),
            requests=sum(part.requests for part in parts),
            tokens=sum(part.tokens for part in parts),
            cost=None if price is None else sum(part.cost or 0.0 for part in parts),
        )


def text_ids_by_role(pairs: Asked) -> dict[Role, Int64[np.ndarray, " _"]]:
    """The distinct texts that a guide is asked about: anchors in one role, all other texts in the other.

    Args:
        pairs: The pairs; or texts, which say their roles themselves.
    """
    if isinstance(pairs, TextsByRole):
        return dict(pairs.ids)
    return {
        "anchor": np.unique(pairs.anchors),
        "document": np.unique(np.concatenate([pairs.positives, pairs.negative_ids])),
    }


def plan_encoding(guide: Guide, pairs: Asked) -> EncodingPlan:
    """Work out what the guide has to encode.

    Args:
        guide: The guide; where its roles share their vectors, a text in both is one combination.
        pairs: The pairs whose texts are needed.
    """
    ids = text_ids_by_role(pairs)
    keys: dict[Role, Keys] = {
        role: Keys.of(
            pairs.texts.each(role_ids),
            prompt=guide.prompts[role],
            task="" if guide.roles_share_vectors else TASKS[role],
        )
        for role, role_ids in ids.items()
    }
    return EncodingPlan(ids, keys, len(Keys.joined(list(keys.values())).distinct()))


def encode_texts(
    guide: Guide,
    store: GuideStore,
    plan: EncodingPlan,
    pairs: Asked,
    on_progress: Callable[[int], None] = lambda count: None,
) -> GuideVectors:
    """Encode what the store lacks, and return the vectors of all texts.

    Args:
        guide: The guide; it reads the raw texts with its own prompt for each role.
        store: Where vectors are kept.
        plan: What `plan_encoding` says of this guide and these pairs.
        pairs: The pairs whose texts are encoded.
        on_progress: Called with the number of texts encoded since the call before.

    Raises:
        UserError: If the guide gives a vector that is zero or not finite, or the store can't be written.
    """
    writer = StoreWriter(store)
    with naming_the_row(pairs):
        for run in longest_first(guide, plan, plan.missing(store), pairs):
            encode_run(guide, writer, run, on_progress)
    return look_up(store.reopened(), plan, pairs)


def longest_first(
    guide: Guide,
    plan: EncodingPlan,
    missing: MissingTexts,
    pairs: Asked,
    on_progress: Callable[[int], None] = lambda count: None,
) -> list[TextRun]:
    """The texts to encode, role by role, the longest first.

    Args:
        guide: The guide, which counts their tokens.
        plan: What `plan_encoding` says of this guide and these pairs.
        missing: What is to be encoded.
        pairs: The pairs whose texts are encoded.
        on_progress: Called with the number of texts counted since the call before.
    """
    runs = []
    for role, ids in missing.ids.items():
        if not len(ids):
            continue
        texts = pairs.texts.of(ids)
        lengths = guide.input_lengths(texts, role, on_progress)
        size = np.array([len(text) for text in texts]) if lengths is None else lengths
        order = np.argsort(-size, kind="stable")
        runs.append(
            TextRun(
                role,
                [texts[place] for place in order.tolist()],
                plan.keys[role].at(np.searchsorted(plan.ids[role], ids[order])),
                None if lengths is None else lengths[order],
            )
        )
    return runs


def embed_now(
    model: EmbeddingModel, pairs: Pairs, on_progress: Callable[[int], None] = lambda count: None
) -> GuideVectors:
    """The vectors that a model gives now, held in memory: of a student that changes, none are kept.

    Args:
        model: The model.
        pairs: The pairs whose texts are embedded.
        on_progress: Called with the number of texts embedded since the call before.
    """
    blocks: list[Float32[np.ndarray, "texts dim"]] = []
    rows: dict[Role, Int64[np.ndarray, " texts"]] = {}
    start = 0
    for role, ids in text_ids_by_role(pairs).items():
        blocks.append(model.embed(pairs.texts.of(ids), role, on_progress))
        rows[role] = _by_id(pairs, ids, np.arange(start, start + len(ids)))
        start += len(ids)
    return GuideVectors(np.concatenate(blocks), rows)


@contextmanager
def naming_the_row(pairs: Asked) -> Iterator[None]:
    """Say of a text without a usable vector where it stands.

    Args:
        pairs: The pairs that hold it.

    Yields:
        Nothing.

    Raises:
        UserError: If the guide gave no usable vector for a text.
    """
    try:
        yield
    except UnusableVectorError as error:
        text_id = pairs.texts.id_of(error.text)
        raise UserError(f"{_first_place(pairs, text_id)}: {error.problem}") from error


def look_up(store: GuideStore, plan: EncodingPlan, pairs: Asked) -> GuideVectors:
    """The vectors of all texts, from a store that has them.

    Args:
        store: The store, opened after they were encoded.
        plan: What `plan_encoding` says of its guide and these pairs.
        pairs: The pairs whose texts are looked up.
    """
    rows = {role: _by_id(pairs, plan.ids[role], store.find(keys)) for role, keys in plan.keys.items()}
    return GuideVectors(StoredVectors(store), rows)


def _by_id(
    pairs: Asked, ids: Int64[np.ndarray, " own"], rows: Int64[np.ndarray, " own"]
) -> Int64[np.ndarray, " texts"]:
    """The row of each text of the table, from those of some of its ids; -1 for the others."""
    every = np.full(len(pairs.texts), -1, dtype=np.int64)
    every[ids] = rows
    return every


def _first_place(pairs: Asked, text_id: int) -> str:
    """Where a text stands, or the first pair that holds it in any role."""
    if isinstance(pairs, TextsByRole):
        return pairs.place_of(text_id)
    holders = (
        np.flatnonzero(pairs.anchors == text_id),
        np.flatnonzero(pairs.positives == text_id),
        pairs.negative_rows()[pairs.negative_ids == text_id],
    )
    return pairs.place(int(np.concatenate(holders).min()))
