"""The tokens of every text, made once and kept on disk, so that no later epoch tokenises again."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import IO, Any

import numpy as np
from jaxtyping import Int32, Int64, UInt16, UInt32

from gistembed.batches.layout import (
    Layout,
    LayoutError,
    PackedLayout,
    PaddedLayout,
    Tokens,
    layout_of,
    same_features,
)
from gistembed.batches.lengths import padded_runs, prompt_tokens, text_lengths
from gistembed.files import storage_error
from gistembed.models import EmbeddingModel
from gistembed.pairs import Pairs, offsets_of
from gistembed.terms import Role

# Texts that are sorted by length together, and the characters, padding included, that the tokenizer gets at
# once: enough to keep all cores busy, few enough that little is padded.
_BLOCK = 8192
_CHARACTERS_AT_ONCE = 1 << 17
_WIDENED_AT_ONCE = 1 << 20
# Of unlike lengths, so that they show how a model pads.
_PROBES = ("", "a", "a text of several words")

StoredIds = UInt16[np.ndarray, " tokens"] | UInt32[np.ndarray, " tokens"]


@dataclass(frozen=True, eq=False)
class TokenCache:
    """What a model reads for every text of some pairs in every role.

    The token ids lie in files without a name, mapped into memory: they go when the process ends, however it
    ends, and a process that is forked shares them. Only 12 bytes for each text and role are in memory. That
    features from here equal those of the model's own preprocessing is checked for every text when it is read.

    Attributes:
        lengths: Tokens of each text as `text_lengths` counts them; where a prompt and a text together make
            other tokens than apart, those that they make together.
        uncached_because: None; for a model whose features can't be made from token ids, why that is, as what
            the model does. Nothing is kept then, and texts are to be preprocessed batch by batch.
    """

    lengths: Int32[np.ndarray, " texts"]
    uncached_because: str | None
    _kept: Mapping[Role, "_Kept"]

    @classmethod
    def read(
        cls, model: EmbeddingModel, pairs: Pairs, on_progress: Callable[[int], None] = lambda count: None
    ) -> "TokenCache":
        """Tokenise all texts of the pairs.

        Args:
            model: Whose preprocessing, prompts and limit are used.
            pairs: Whose texts are read.
            on_progress: Called with the number of texts read since the call before; in all as many as
                `texts_by_role` gives.

        Raises:
            StorageError: If the folder for temporary files is full.
            UserError: If there is no such folder.
        """
        texts = texts_by_role(model, pairs.anchors, np.concatenate([pairs.positives, pairs.negative_ids]))
        try:
            layouts = {role: _probed(model, role) for role in texts}
            kept = {
                role: _read(model, pairs, role, texts[role], layout, on_progress)
                for role, layout in layouts.items()
            }
        except LayoutError as error:
            return cls(text_lengths(model, pairs, on_progress), str(error), {})
        return cls(_uncut_lengths(model, pairs, texts, kept), None, kept)

    def features(self, text_ids: Int64[np.ndarray, " texts"], role: Role) -> dict[str, Any]:
        """What the model's preprocessing gives for these texts in this order.

        Args:
            text_ids: Ids of texts that the pairs have in this role; at least one.
            role: A role of `texts_by_role`.
        """
        kept = self._kept[role]
        counts = kept.counts[text_ids].astype(np.int64)
        offsets = offsets_of(counts)
        places = np.repeat(kept.starts[text_ids] - offsets[:-1], counts) + np.arange(offsets[-1])
        return kept.layout.features(kept.ids[places].astype(np.int64), counts)

    @property
    def pads(self) -> bool:
        """Whether texts are known to stand one in a row, padded to the longest."""
        return bool(self._kept) and all(isinstance(kept.layout, PaddedLayout) for kept in self._kept.values())

    @property
    def packs(self) -> bool:
        """Whether texts stand one after the other without padding, as `packed` has them."""
        return any(isinstance(kept.layout, PackedLayout) for kept in self._kept.values())

    def packed(self, first_position: int) -> "TokenCache":
        """The same texts one after the other, without padding.

        Args:
            first_position: The number of the position that a text's first token has in the model.
        """
        kept = {}
        for role, its in self._kept.items():
            assert isinstance(its.layout, PaddedLayout), "only padded texts can be packed"
            kept[role] = replace(its, layout=PackedLayout(its.layout, first_position))
        return replace(self, _kept=kept)


def texts_by_role(
    model: EmbeddingModel, anchors: Int64[np.ndarray, " anchors"], documents: Int64[np.ndarray, " documents"]
) -> dict[Role, Int64[np.ndarray, " distinct"]]:
    """The distinct texts that a model has to read, sorted, by the role it reads them in.

    Where roles share their vectors, all texts are documents.

    Args:
        model: The model.
        anchors: Text ids of anchors.
        documents: Text ids of positives and negatives.
    """
    if model.roles_share_vectors:
        return {"document": np.unique(np.concatenate([anchors, documents]))}
    return {"anchor": np.unique(anchors), "document": np.unique(documents)}


@dataclass(frozen=True, eq=False)
class _Kept:
    """The texts of one role: text t is ``ids[starts[t] : starts[t] + counts[t]]``, cut at the limit."""

    layout: Layout | PackedLayout
    ids: StoredIds
    starts: Int64[np.ndarray, " texts"]
    counts: Int32[np.ndarray, " texts"]


class _TokenFile:
    """Token ids that are appended to a file without a name: two bytes each while they fit, then four."""

    def __init__(self) -> None:
        self._dtype: type[np.unsignedinteger[Any]] = np.uint16
        self._file = _unnamed_file()
        self.tokens = 0

    def append(self, ids: Tokens) -> None:
        if ids.max(initial=0) > np.iinfo(self._dtype).max:
            self._widen()
        with _storing():
            self._file.write(ids.astype(self._dtype).data)
        self.tokens += len(ids)

    def mapped(self) -> StoredIds:
        with _storing():
            self._file.flush()
            if not self.tokens:  # an empty file can't be mapped
                return np.empty(0, self._dtype)
            return np.asarray(np.memmap(self._file, self._dtype, "r"))

    def _widen(self) -> None:
        narrow = self.mapped()
        self.close()
        self._dtype, self._file = np.uint32, _unnamed_file()
        with _storing():
            for start in range(0, len(narrow), _WIDENED_AT_ONCE):
                self._file.write(narrow[start : start + _WIDENED_AT_ONCE].astype(np.uint32).data)

    def close(self) -> None:
        # What the disk refused has been said when it was written.
        with contextlib.suppress(OSError):
            self._file.close()


@contextlib.contextmanager
def _storing() -> Iterator[None]:
    place = ""
    try:
        place = f"{tempfile.gettempdir()}, the folder for temporary files (TMPDIR chooses it)"
        yield
    except OSError as error:
        raise storage_error(error, place=place) from error


def _unnamed_file() -> IO[bytes]:
    with _storing():
        return tempfile.TemporaryFile(prefix="gistembed-tokens-")


def _probed(model: EmbeddingModel, role: Role) -> Layout:
    """How a model lays out what it reads in a role.

    Raises:
        LayoutError: If that can't be made from token ids.
    """
    layout = layout_of(model.inputs(_PROBES, role))
    # Alone too: a row that is padded to a fixed width, or to a multiple of one, shows only there.
    for texts in (_PROBES, *([text] for text in _PROBES if text)):
        features = model.inputs(texts, role)
        _check(layout, features, *layout.tokens(features))
    return layout


def _check(
    layout: Layout, features: Mapping[str, Any], ids: Tokens, counts: Int64[np.ndarray, " texts"]
) -> None:
    if not same_features(layout.features(ids, counts), features):
        raise LayoutError("does not lay out all texts in one way")


def _read(
    model: EmbeddingModel,
    pairs: Pairs,
    role: Role,
    text_ids: Int64[np.ndarray, " texts"],
    layout: Layout,
    on_progress: Callable[[int], None],
) -> _Kept:
    starts = np.zeros(len(pairs.texts), np.int64)
    counts = np.zeros(len(pairs.texts), np.int32)
    with contextlib.closing(_TokenFile()) as file:
        for start in range(0, len(text_ids), _BLOCK):
            block = text_ids[start : start + _BLOCK]
            characters = np.array([len(text) for text in pairs.texts.of(block)])
            order = np.argsort(characters, kind="stable")
            for run in padded_runs(characters[order], _CHARACTERS_AT_ONCE):
                here = block[order[run]]
                features = model.inputs(pairs.texts.of(here), role)
                ids, tokens = layout.tokens(features)
                _check(layout, features, ids, tokens)
                starts[here] = file.tokens + offsets_of(tokens)[:-1]
                counts[here] = tokens
                file.append(ids)
                on_progress(len(here))
        return _Kept(layout, file.mapped(), starts, counts)


def _uncut_lengths(
    model: EmbeddingModel,
    pairs: Pairs,
    texts: Mapping[Role, Int64[np.ndarray, " _"]],
    kept: Mapping[Role, _Kept],
) -> Int32[np.ndarray, " texts"]:
    """Tokens of each text with the longest prompt, as if nothing were cut off; 0 if nothing is padded."""
    lengths = np.zeros(len(pairs.texts), np.int32)
    prompts = prompt_tokens(model)
    for role, text_ids in texts.items():
        if not isinstance(kept[role].layout, PaddedLayout) or not len(text_ids):
            continue
        uncut = kept[role].counts[text_ids]
        # Those that were cut are all as long as the limit: only they are tokenised again.
        longest = np.flatnonzero(uncut == uncut.max())
        measured = model.input_lengths(pairs.texts.of(text_ids[longest]), role)
        if measured is not None:
            uncut[longest] = measured
        lengths[text_ids] = np.maximum(lengths[text_ids], uncut + max(prompts.values()) - prompts[role])
    return lengths
