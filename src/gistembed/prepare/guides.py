"""What guides a run: models and endpoints with what they have to encode, or vectors that are there."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gistembed.config import OF_GUIDES, RunConfig
from gistembed.errors import UserError
from gistembed.guide import (
    GuideSettings,
    GuideVectors,
    GuideWork,
    column_identity,
    column_vectors,
    default_store,
    given_identity,
    given_vectors,
    is_columns,
    is_endpoint,
    is_given,
    prepare_work,
)
from gistembed.pairs import Pairs

_OF_VECTORS = ("guide_prompts", "guide_max_length", "guide_dimensions", "guide_backend", "guide_dtype")


@dataclass(frozen=True)
class PreparedVectors:
    """Vectors that are there already, in the place of a guide.

    Attributes:
        path: The file, or the columns of the pairs' own source.
        identity: A digest of it.
        vectors: The vectors of all texts.
        texts: How many texts need one, a text in both roles counting once.
    """

    path: str
    identity: str
    vectors: GuideVectors
    texts: int


def guides_of(config: RunConfig) -> Sequence[str]:
    """Names of what guides; none for a run without, or for a student that is its own."""
    return config.guide or () if config.loss == "guided" else ()


def prepare_guides(config: RunConfig, train: Pairs) -> tuple[GuideWork | PreparedVectors, ...]:
    """What guides, and what it has to encode; nothing is written.

    Raises:
        UserError: If a guide can't be used, or given vectors aren't those of the texts.
    """
    return tuple(
        _prepare_vectors(config, name, train)
        if is_given(name) or is_columns(name)
        else prepare_guide(config, name, train)
        for name in guides_of(config)
    )


def prepare_guide(config: RunConfig, name: str, train: Pairs) -> GuideWork:
    """What a guide that is a model or an endpoint has to encode.

    Args:
        config: How it is asked, and where its vectors are kept.
        name: The guide.
        train: The pairs whose texts it reads.

    Raises:
        UserError: If there is no such guide, or it can't be set so.
    """
    settings = GuideSettings(
        name,
        prompts=config.guide_prompts,
        max_length=config.guide_max_length,
        dimensions=config.guide_dimensions,
        requests_per_minute=config.guide_requests_per_minute,
        backend=config.guide_backend,
    )
    return prepare_work(settings, Path(config.store or default_store()), train, dtype=config.guide_dtype)


def ignored_by_guides(config: RunConfig, names: Sequence[str]) -> list[str]:
    """Settings that have no effect on guides of these kinds, as warnings.

    What makes other vectors is told of each guide that ignores it; the rest where all do.
    """
    warnings = []
    for setting in OF_GUIDES:
        deaf = [name for name in names if setting in _kind_of(name)[1]]
        if not deaf or setting not in config.model_fields_set:
            continue
        if len(deaf) == len(names):
            kinds = " or ".join(dict.fromkeys(_kind_of(name)[0] for name in names))
            what = f"the guide is {kinds}" if len(names) == 1 else f"each guide is {kinds}"
            warnings.append(f"{setting} is ignored, because {what}")
        elif setting in _OF_VECTORS:
            warnings += [
                f"{setting} is ignored for the guide {name}, because that is {_kind_of(name)[0]}"
                for name in deaf
            ]
    return warnings


def _kind_of(name: str) -> tuple[str, Sequence[str]]:
    """What kind of guide it is, and which settings it ignores."""
    if is_columns(name):
        return "columns of vectors", OF_GUIDES
    if is_given(name):
        return "a file of vectors", OF_GUIDES
    if is_endpoint(name):
        return "an endpoint", ("guide_workers",)
    return "a model", ("guide_price",)


def _prepare_vectors(config: RunConfig, name: str, train: Pairs) -> PreparedVectors:
    if is_columns(name):
        if isinstance(config.data, list | tuple):
            raise UserError(
                f"--guide {name}: columns of vectors are read from one source of pairs, not from several"
            )
        vectors = column_vectors(config.data, name, train, instructions=config.instructions)
        identity = column_identity(vectors)
    else:
        vectors, identity = given_vectors(name, train), given_identity(name)
    return PreparedVectors(name, identity, vectors, len(train.text_ids()))
