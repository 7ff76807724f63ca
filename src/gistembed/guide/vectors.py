"""From text ids to guide vectors: what the store lacks is encoded, then everything is looked up by id."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float16, Int64

from gistembed.errors import UserError
from gistembed.guide.store import GuideStore, text_key
from gistembed.models import TASKS, EmbeddingModel
from gistembed.pairs import Texts
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


def missing_texts(
    guide: EmbeddingModel, store: GuideStore, texts: Texts, ids: Mapping[Role, Int64[np.ndarray, " _"]]
) -> int:
    """How many (prompt, text) combinations would have to be encoded."""
    return sum(key not in store for key in _plan(guide, texts, ids).combinations)


def encode_texts(
    guide: EmbeddingModel,
    store: GuideStore,
    texts: Texts,
    ids: Mapping[Role, Int64[np.ndarray, " _"]],
    on_progress: Callable[[int], None] = lambda count: None,
) -> GuideVectors:
    """Encode what the store lacks, commit it block by block, and return the vectors of all texts.

    Args:
        guide: The guide; it reads the raw texts with its own prompt for each role.
        store: Where vectors are kept.
        texts: The distinct texts.
        ids: Distinct text ids by role.
        on_progress: Called with the number of texts encoded since the call before.

    Raises:
        UserError: If the guide gives a vector that is zero or not finite, or the store can't be written.
    """
    plan = _plan(guide, texts, ids)
    missing = [item for item in plan.combinations.items() if item[0] not in store]
    missing.sort(key=lambda item: -len(texts[item[1][1]]))
    for role in ids:
        todo = [(key, text_id) for key, (its_role, text_id) in missing if its_role == role]
        for start in range(0, len(todo), _COMMIT_TEXTS):
            block = todo[start : start + _COMMIT_TEXTS]
            block_texts = [texts[text_id] for _, text_id in block]
            vectors = guide.embed(block_texts, role, on_progress).astype(np.float16)
            usable = np.isfinite(vectors).all(axis=1) & vectors.any(axis=1)
            if not usable.all():
                text = block_texts[int(np.argmin(usable))]
                raise UserError(
                    f"--guide {guide.name}: gives no usable vector for the text {text[:60]!r}; "
                    "drop that row or choose another guide"
                )
            store.append([key for key, _ in block], vectors)
    position = {key: row for row, key in enumerate(plan.combinations)}
    rows = {}
    for role, keys in plan.keys.items():
        rows[role] = np.full(len(texts), -1, dtype=np.int64)
        rows[role][ids[role]] = [position[key] for key in keys]
    return GuideVectors(store.read(list(plan.combinations)), rows)


@dataclass(frozen=True)
class _Plan:
    """Keys in the order of the ids, by role, and one (role, text id) that stands for each distinct key."""

    keys: Mapping[Role, list[bytes]]
    combinations: Mapping[bytes, tuple[Role, int]]


def _plan(guide: EmbeddingModel, texts: Texts, ids: Mapping[Role, Int64[np.ndarray, " _"]]) -> _Plan:
    keys: dict[Role, list[bytes]] = {}
    combinations: dict[bytes, tuple[Role, int]] = {}
    for role, role_ids in ids.items():
        task = "" if guide.roles_share_vectors else TASKS[role]
        keys[role] = [text_key(guide.prompts[role], texts[i], task) for i in role_ids.tolist()]
        for key, text_id in zip(keys[role], role_ids.tolist(), strict=True):
            combinations.setdefault(key, (role, text_id))
    return _Plan(keys, combinations)
