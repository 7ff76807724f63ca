"""Vectors that the user already has, as a guide: rows of a file, joined to the pairs by exact text."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import xxhash
from jaxtyping import Bool, Float, Int64, UInt64

from gistembed.errors import UserError
from gistembed.guide.encoding.vectors import GuideVectors, text_ids_by_role
from gistembed.guide.given.files import KINDS, FileVectors, checked, open_given, reading
from gistembed.guide.given.texts import read_keys, texts_path
from gistembed.guide.store.keys import Keys
from gistembed.pairs import Pairs
from gistembed.pairs.wording import located, quoted
from gistembed.terms import Role


def given_vectors(
    path: str | os.PathLike[str],
    pairs: Pairs,
    *,
    text_column: str | None = None,
    vector_column: str | None = None,
    role_column: str | None = None,
) -> GuideVectors:
    """The guide vectors of all texts of some pairs, from a file that has them.

    A file is one of:

    - ``.parquet`` with a column of texts and one of vectors;
    - ``.npy`` or ``.safetensors`` with a matrix, and its texts row by row in ``NAME.texts.json`` (a list) or
      ``NAME.texts.jsonl`` (an object with a text on each line) beside it.

    In place of texts there may be the ids that the pairs have for them: a column ``id``, or files
    ``NAME.ids.json`` or ``NAME.ids.jsonl``.

    A column of roles (``anchor`` or ``document``), in the Parquet file or in the ``.jsonl``, gives a text a
    vector for each role; without one, a text has one vector. Texts are the same only if they are equal
    character by character. Texts that the pairs don't have are passed over.

    Vectors stay as they are, not normalised: float16 and float32 are kept, float64 becomes float32. A
    ``.npy`` or ``.safetensors`` file is mapped into memory where its numbers can be used as they are;
    otherwise the vectors of the pairs' texts are copied, and only these.

    Args:
        path: The file.
        pairs: The pairs whose texts need a vector.
        text_column: The column of texts, if its name doesn't tell.
        vector_column: The column of vectors, or the tensor of a ``.safetensors`` file, if its name doesn't
            tell.
        role_column: The column of roles, if its name isn't ``role``.

    Raises:
        UserError: If a text of the pairs has no vector, or a zero one, or if anything in the file isn't as it
            should be; the message names the place.
    """
    path, name = checked(path)
    with reading(name):
        texts, vectors = open_given(path, name, text_column, vector_column)
        keys, by_role = read_keys(texts, text_column, role_column, pairs)
        if not len(keys):
            raise UserError(f"{name}: there are no vectors.")
        if vectors.count not in (None, len(keys)):
            raise UserError(
                f"{name}: there are {vectors.count:,} vectors, but {len(keys):,} texts in {texts.name}. "
                f"Write one text for each vector, in the same order."
            )
        rows, first = _join(pairs, keys, by_role)
        refuse_missing(pairs, rows, name, by_role)
        return _vectors_of(pairs, rows, first, vectors, name, by_role)


def is_given(name: str) -> bool:
    """Whether a guide's name is that of a file of vectors.

    Args:
        name: The name.
    """
    return Path(name).suffix.lower() in KINDS and not Path(name).is_dir()


def given_identity(path: str | os.PathLike[str]) -> str:
    """A digest of the bytes of a file of vectors, and of the file of its texts if it has one.

    For a Parquet file it is the file's own xxh3-128.

    Args:
        path: The file, as for `given_vectors`.

    Raises:
        UserError: If a file is not there or can't be read.
    """
    path, name = checked(path)
    with reading(name):
        files = [path] if path.suffix.lower() == ".parquet" else [path, texts_path(path, name)]
        digests = [_file_digest(file) for file in files]
    return digests[0] if len(digests) == 1 else xxhash.xxh3_128_hexdigest("".join(digests).encode())


def _file_digest(path: Path) -> str:
    digest = xxhash.xxh3_128()
    with path.open("rb") as file:
        while chunk := file.read(1 << 24):
            digest.update(chunk)
    return digest.hexdigest()


def _join(
    pairs: Pairs, keys: Keys, by_role: bool
) -> tuple[dict[Role, Int64[np.ndarray, " texts"]], Int64[np.ndarray, " rows"]]:
    """The row of each text of the pairs in each role, and the first row of the text of each row.

    A text that has no row has -1, and one that is not needed in a role has -2.
    """
    ids = text_ids_by_role(pairs)
    needed = [
        Keys.of(pairs.texts.each(own), prompt="", task=role if by_role else "") for role, own in ids.items()
    ]
    every = Keys.joined([keys, *needed])
    order = np.lexsort((every.low, every.high))
    high, low = every.high[order], every.low[order]
    new = np.ones(len(order), bool)
    new[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
    first = np.empty(len(order), np.int64)
    # The sort is stable: the first of equal keys is a row of the file, if any is.
    first[order] = order[new][np.cumsum(new) - 1]
    rows, start = {}, len(keys)
    for role, own in ids.items():
        found = first[start : start + len(own)]
        rows[role] = np.full(len(pairs.texts), -2)
        rows[role][own] = np.where(found < len(keys), found, -1)
        start += len(own)
    return rows, first[: len(keys)]


def refuse_missing(
    pairs: Pairs, rows: Mapping[Role, Int64[np.ndarray, " texts"]], name: str, by_role: bool
) -> None:
    """Refuse vectors that lack one of a text of some pairs.

    Args:
        pairs: The pairs.
        rows: The row of each text's vector, by role; -1 where it is missing, -2 where none is needed.
        name: The vectors, as messages name them.
        by_role: Whether a text has one vector for each role.

    Raises:
        UserError: If one is missing; the message names the first pair without.
    """
    missing: list[tuple[int, int, Role]] = []
    parts: list[tuple[Role, np.ndarray, np.ndarray]] = [
        ("anchor", np.arange(len(pairs)), pairs.anchors),
        ("document", np.arange(len(pairs)), pairs.positives),
        ("document", pairs.negative_rows(), pairs.negative_ids),
    ]
    for role, holders, ids in parts:
        places = np.flatnonzero(rows[role][ids] == -1)
        if len(places):
            missing.append((int(holders[places[0]]), int(ids[places[0]]), role))
    if not missing:
        return
    pair, text_id, role = min(missing, key=lambda found: found[0])
    text, by_text = quoted(pairs.texts[text_id]), np.stack(list(rows.values()))
    if by_role:
        count, needed, what = (by_text == -1).sum(), (by_text >= -1).sum(), "texts in their roles"
        text += f" as {'an anchor' if role == 'anchor' else 'a document'}"
    else:
        count, needed = (by_text == -1).any(axis=0).sum(), (by_text >= -1).any(axis=0).sum()
        what = "distinct texts"
    raise UserError(
        f"{pairs.place(pair)}: {name} has no vector for the text {text}; {count:,} of {needed:,} {what} "
        f"have none. Add their vectors; texts are compared character by character."
    )


def _vectors_of(
    pairs: Pairs,
    rows: Mapping[Role, Int64[np.ndarray, " texts"]],
    first: Int64[np.ndarray, " rows"],
    vectors: FileVectors,
    name: str,
    by_role: bool,
) -> GuideVectors:
    """Read, check and keep the vectors of rows; `first` tells the first row of the text of each row."""
    is_needed = np.zeros(len(first), bool)
    for own in rows.values():
        is_needed[own[own >= 0]] = True
    is_repeated = np.bincount(first)[first] > 1
    if vectors.mapped is None:
        kept = np.empty((int(is_needed.sum()), vectors.dimensions), vectors.dtype)
        numbers = np.cumsum(is_needed) - 1
    else:
        kept, numbers = vectors.mapped, np.arange(len(first))
    digests = [np.empty((0, 2), np.uint64)]
    for here, block in vectors.read(np.flatnonzero(is_needed | is_repeated)):
        digests.append(_digests(block[is_repeated[here]]))
        own_rows, own_block = here[is_needed[here]], block[is_needed[here]]
        usable = _usable(own_block)
        if not usable.all():
            place = int(np.argmin(usable))
            _refuse_unusable(pairs, rows, int(own_rows[place]), own_block[place], name)
        if vectors.mapped is None:
            kept[numbers[own_rows]] = own_block
    _refuse_unequal(first, np.flatnonzero(is_repeated), np.concatenate(digests), name, by_role)
    found = {role: np.where(own >= 0, numbers[np.maximum(own, 0)], -1) for role, own in rows.items()}
    return GuideVectors(kept, found)


def _usable(block: Float[np.ndarray, "rows dim"]) -> Bool[np.ndarray, " rows"]:
    """Whether vectors have a direction in float32, in which the loss reckons."""
    numbers = block.astype(np.float32, copy=False)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        squares = np.einsum("ij,ij->i", numbers, numbers)
    usable: Bool[np.ndarray, " rows"] = np.isfinite(squares) & (squares > 0)
    return usable


def _refuse_unusable(
    pairs: Pairs,
    rows: Mapping[Role, Int64[np.ndarray, " texts"]],
    row: int,
    vector: Float[np.ndarray, " dim"],
    name: str,
) -> None:
    text_id = next(int(np.argmax(own == row)) for own in rows.values() if (own == row).any())
    if not np.isfinite(vector).all():
        problem = f"is not finite as {vector.dtype}"
    else:
        problem = "is too long or too short to be normalised in float32" if vector.any() else "is zero"
    raise UserError(
        f"{located(name, 'row', row + 1)}: the vector of the text {quoted(pairs.texts[text_id])} {problem}. "
        f"Mend it, or drop the pairs that hold the text."
    )


def _digests(block: Float[np.ndarray, "rows dim"]) -> UInt64[np.ndarray, "rows 2"]:
    """Digests of vectors, so that those of one text can be compared and none of them is held."""
    # -0 becomes 0, its equal.
    block = block + block.dtype.type(0)
    joined = b"".join(xxhash.xxh3_128_digest(vector) for vector in block)
    return np.frombuffer(joined, np.uint64).reshape(-1, 2)


def _refuse_unequal(
    first: Int64[np.ndarray, " rows"],
    repeated: Int64[np.ndarray, " repeated"],
    digests: UInt64[np.ndarray, "repeated 2"],
    name: str,
    by_role: bool,
) -> None:
    """One text has one vector, if a row of each is `repeated`."""
    unequal = (digests != digests[np.searchsorted(repeated, first[repeated])]).any(axis=1)
    if unequal.any():
        row = int(repeated[np.argmax(unequal)])
        advice = "keep one" if by_role else "keep one, or tell them apart by a column 'role'"
        raise UserError(
            f"{name}: rows {first[row] + 1} and {row + 1} hold different vectors for the same text"
            f"{' and role' if by_role else ''}. A text has one vector: {advice}."
        )
