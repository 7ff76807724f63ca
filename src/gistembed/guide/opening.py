"""What a guide's name stands for: a model that runs here, or one behind an endpoint."""

from collections.abc import Mapping

from gistembed.errors import UserError
from gistembed.guide.endpoint import EndpointGuide
from gistembed.models import ROLES, EmbeddingModel, load_model
from gistembed.terms import Role

Guide = EmbeddingModel | EndpointGuide


def open_guide(
    name: str,
    *,
    prompts: Mapping[Role, str] | None = None,
    max_length: int | None = None,
    dimensions: int | None = None,
    requests_per_minute: float | None = None,
) -> Guide:
    """The guide of a name: a folder, a hub name, or ``URL#MODEL`` for an OpenAI-compatible endpoint.

    Args:
        name: The name.
        prompts: Prompts by role that replace the guide's own; an endpoint has none.
        max_length: Longest input in tokens, in place of the guide's own; not for endpoints.
        dimensions: Length of a vector that an endpoint is asked for.
        requests_per_minute: How many requests an endpoint gets in a minute.

    Raises:
        UserError: If there is no such guide, or a setting is not for its kind.
    """
    if not is_endpoint(name):
        for setting, value in (("dimensions", dimensions), ("requests per minute", requests_per_minute)):
            if value is not None:
                raise UserError(f"--guide {name}: {setting} are for endpoints; leave them out")
        return load_model(name, option="--guide", prompts=prompts, max_length=max_length)
    url, _, model = name.partition("#")
    guide = EndpointGuide(
        url,
        model,
        dict.fromkeys(ROLES, "") | dict(prompts or {}),
        dimensions=dimensions,
        requests_per_minute=requests_per_minute,
    )
    if max_length is not None:
        raise UserError(f"--guide {guide.name}: an endpoint cuts texts by its own rule; leave a length out")
    return guide


def is_endpoint(name: str) -> bool:
    """Whether a guide's name is that of an endpoint."""
    return name.lower().startswith(("http://", "https://"))
