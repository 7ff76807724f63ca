"""What a guide's name stands for: a model that runs here, or one behind an endpoint."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gistembed.errors import UserError
from gistembed.guide.scorers.endpoint import EndpointGuide
from gistembed.guide.scorers.model import ModelGuide
from gistembed.guide.store.identity import GuideIdentity
from gistembed.guide.store.manifest import known_facts
from gistembed.models import ROLES, EmbeddingModel, folder_identity, resolve_folder
from gistembed.terms import Backend, Role, VectorDtype

Guide = EmbeddingModel | ModelGuide | EndpointGuide
"""Whatever turns raw texts into vectors, and says all that these depend on."""


@dataclass(frozen=True)
class GuideSettings:
    """A guide by its name, and how it is asked.

    Attributes:
        name: A folder, a hub name, or ``URL#MODEL`` for an OpenAI-compatible endpoint.
        prompts: Prompts by role that replace the guide's own; an endpoint has none.
        max_length: Longest input in tokens, in place of the guide's own; not for endpoints.
        dimensions: Length of a vector: how many of a model's first numbers to keep, or what an endpoint is
            asked for; its own by default.
        requests_per_minute: How many requests an endpoint gets in a minute; no limit by default.
        backend: What runs a model.
    """

    name: str
    prompts: Mapping[Role, str] = field(default_factory=dict)
    max_length: int | None = None
    dimensions: int | None = None
    requests_per_minute: float | None = None
    backend: Backend = "torch"


def guide_identity(
    guide: ModelGuide | EndpointGuide, settings: GuideSettings, dtype: VectorDtype
) -> GuideIdentity:
    """All that the vectors of a guide depend on, as it is opened and kept.

    Args:
        guide: The guide.
        settings: What it was opened with.
        dtype: How its vectors are kept.
    """
    return GuideIdentity(guide.identity, guide.max_length, guide.dimensions, dtype, settings.backend)


def open_guide(
    settings: GuideSettings, *, store: Path | None = None, device: str | None = None
) -> ModelGuide | EndpointGuide:
    """The guide of a name.

    Args:
        settings: Its name, and how it is asked.
        store: Folder of guides' vectors. A model that is known there is loaded only when it has to encode,
            and an endpoint isn't asked how long its vectors are.
        device: Where a model runs, as torch names it; an accelerator if there is one, by default.

    Raises:
        UserError: If there is no such guide, or a setting is not for its kind.
    """
    name = settings.name
    if is_endpoint(name):
        return _endpoint(settings, store)
    if settings.requests_per_minute is not None:
        raise UserError(f"--guide {name}: requests per minute are for endpoints; leave them out")
    identity = folder_identity(resolve_folder(name, option="--guide"))
    return ModelGuide(
        name,
        identity,
        known_facts(store, identity) if store is not None else None,
        prompts=settings.prompts,
        max_length=settings.max_length,
        dimensions=settings.dimensions,
        backend=settings.backend,
        device=device,
    )


def is_endpoint(name: str) -> bool:
    """Whether a guide's name is that of an endpoint."""
    return name.lower().startswith(("http://", "https://"))


def _endpoint(settings: GuideSettings, store: Path | None) -> EndpointGuide:
    url, _, model = settings.name.partition("#")
    guide = EndpointGuide(
        url,
        model,
        dict.fromkeys(ROLES, "") | dict(settings.prompts),
        dimensions=settings.dimensions,
        requests_per_minute=settings.requests_per_minute,
    )
    if settings.backend != "torch":
        raise UserError(f"--guide {guide.name}: an endpoint runs elsewhere; leave the backend out")
    if settings.max_length is not None:
        raise UserError(f"--guide {guide.name}: an endpoint cuts texts by its own rule; leave a length out")
    if store is not None:
        guide.know(known_facts(store, guide.identity))
    return guide
