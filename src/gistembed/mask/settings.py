"""A policy from settings by their names, as a configuration file holds them."""

import difflib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from pydantic import TypeAdapter, ValidationError

from gistembed.mask.policy import MaskPolicy


def policy_from_settings(settings: Mapping[str, Any]) -> MaskPolicy:
    """Check settings and make the policy.

    Args:
        settings: Fields of `MaskPolicy` by name; a schedule of the margin is a mapping of its own fields.

    Raises:
        ValueError: If a setting is unknown, of a wrong type, or makes no sense; the message names it.
    """
    known = [field.name for field in fields(MaskPolicy)]
    for name in settings:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean `{near[0]}`?" if near else f"the settings are {', '.join(known)}"
            raise ValueError(f"unknown setting `{name}`; {hint}")
    try:
        return TypeAdapter(MaskPolicy).validate_python(dict(settings))
    except ValidationError as error:
        first = error.errors()[0]
        problem = first["msg"].removeprefix("Value error, ")
        if first["loc"]:
            problem = f"{first['loc'][0]} = {first['input']!r}: {problem[:1].lower()}{problem[1:]}"
        raise ValueError(problem) from error
