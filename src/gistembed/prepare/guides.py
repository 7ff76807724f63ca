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
    """Settings that have no effect on guides of these kinds, as warnings."""
    given = config.model_fields_set
    if names and all(is_given(name) or is_columns(name) for name in names):
        kind, ignored = "a file of vectors", list(OF_GUIDES)
        if is_columns(names[0]):
            kind = "columns of vectors"
    elif names and all(is_endpoint(name) for name in names):
        kind, ignored = "an endpoint", ["guide_workers"]
    elif names and not any(is_endpoint(name) for name in names):
        kind, ignored = "a model", ["guide_price"]
    else:
        return []
    what = f"the guide is {kind}" if len(names) == 1 else f"each guide is {kind}"
    return [f"{name} is ignored, because {what}" for name in ignored if name in given]


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
