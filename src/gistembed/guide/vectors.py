"""From pairs to guide vectors: what the store lacks is encoded, then everything is looked up by id."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float16, Int64

from gistembed.errors import UserError
from gistembed.guide.store import GuideStore, key_head, text_key
from gistembed.models import TASKS, EmbeddingModel
from gistembed.pairs import Pairs
from gistembed.terms import Role

_COMMIT_TEXTS = 2048


@dataclass(frozen=True)
class GuideVectors:
    """The guide's vectors of all texts of a run, by role and text id.

    Attributes:
        matrix: One normalised vector for each distinct (prompt, text).
        rows: Row of the matrix by role and text id; -1 for texts without that role.
    """

    matrix: Float16[np.ndarray, "vectors dim"]
    rows: Mapping[Role, Int64[np.ndarray, " texts"]]

    def of(self, ids: Int64[np.ndarray, "*shape"], role: Role) -> Float16[np.ndarray, "*shape dim"]:
        """Vectors of texts in a role; an id of -1 gives zeros.

        Raises:
            KeyError: If a text was not encoded in that role.
        """
        rows = np.where(ids >= 0, self.rows[role][ids], -1)
        if (missing := (rows < 0) & (ids >= 0)).any():
            raise KeyError(f"text {ids[missing][0]} has no guide vector as {role}")
        vectors = self.matrix[rows]
        vectors[ids < 0] = 0
        return vectors


@dataclass(frozen=True)
class EncodingPlan:
    """What the guide is asked about: each distinct text in each role, and its key in the store.

    Attributes:
        ids: Distinct text ids, by role.
        keys: The key of each of these texts, in their order.
        combinations: Each distinct key, with one (role, text id) that it stands for.
    """

    ids: Mapping[Role, Int64[np.ndarray, " _"]]
    keys: Mapping[Role, list[bytes]]
    combinations: Mapping[bytes, tuple[Role, int]]

    def missing(self, store: GuideStore) -> int:
        """How many texts would have to be encoded, because the store lacks them."""
        return sum(key not in store for key in self.combinations)


def plan_encoding(guide: EmbeddingModel, pairs: Pairs) -> EncodingPlan:
    """Work out what the guide has to encode: anchors in one role, positives and negatives in the other.

    Args:
        guide: The guide; where its roles share their vectors, a text in both is one combination.
        pairs: The pairs whose texts are needed.
    """
    ids: dict[Role, Int64[np.ndarray, " _"]] = {
        "anchor": np.unique(pairs.anchors),
        "document": np.unique(np.concatenate([pairs.positives, pairs.negative_ids])),
    }
    keys: dict[Role, list[bytes]] = {}
    combinations: dict[bytes, tuple[Role, int]] = {}
    for role, role_ids in ids.items():
        head = key_head(guide.prompts[role], "" if guide.roles_share_vectors else TASKS[role])
        keys[role] = [text_key(head, pairs.texts[text_id]) for text_id in role_ids.tolist()]
        for key, text_id in zip(keys[role], role_ids.tolist(), strict=True):
            combinations.setdefault(key, (role, text_id))
    return EncodingPlan(ids, keys, combinations)


def encode_texts(
    guide: EmbeddingModel,
    store: GuideStore,
    plan: EncodingPlan,
    pairs: Pairs,
    on_progress: Callable[[int], None] = lambda count: None,
) -> GuideVectors:
    """Encode what the store lacks, commit it block by block, and return the vectors of all texts.

    Args:
        guide: The guide; it reads the raw texts with its own prompt for each role.
        store: Where vectors are kept.
        plan: What `plan_encoding` says of this guide and these pairs.
        pairs: The pairs whose texts are encoded.
        on_progress: Called with the number of texts encoded since the call before.

    Raises:
        UserError: If the guide gives a vector that is zero or not finite, or the store can't be written.
    """
    texts = pairs.texts
    missing = [item for item in plan.combinations.items() if item[0] not in store]
    missing.sort(key=lambda item: -len(texts[item[1][1]]))
    for role in plan.ids:
        todo = [(key, text_id) for key, (its_role, text_id) in missing if its_role == role]
        for start in range(0, len(todo), _COMMIT_TEXTS):
            block = todo[start : start + _COMMIT_TEXTS]
            encoded = guide.embed([texts[text_id] for _, text_id in block], role, on_progress)
            vectors = encoded.astype(np.float16)
            usable = np.isfinite(vectors).all(axis=1) & vectors.any(axis=1)
            if not usable.all():
                text_id = block[int(np.argmin(usable))][1]
                raise UserError(
                    f"{_first_place(pairs, text_id)}: the guide {guide.name} gives no usable vector for the "
                    f"text {texts[text_id][:60]!r}; drop that row or choose another guide"
                )
            store.append([key for key, _ in block], vectors)
    position = {key: row for row, key in enumerate(plan.combinations)}
    rows = {}
    for role, keys in plan.keys.items():
        rows[role] = np.full(len(texts), -1, dtype=np.int64)
        rows[role][plan.ids[role]] = [position[key] for key in keys]
    return GuideVectors(store.read(list(plan.combinations)), rows)


def _first_place(pairs: Pairs, text_id: int) -> str:
    """Where the first pair stands that holds a text in any role."""
    holders = (
        np.flatnonzero(pairs.anchors == text_id),
        np.flatnonzero(pairs.positives == text_id),
        pairs.negative_rows()[pairs.negative_ids == text_id],
    )
    return pairs.place(int(np.concatenate(holders).min()))
