"""From a TOML file and flags to a checked configuration; every mistake is one line that names its place."""

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gistembed.config.run import RunConfig
from gistembed.errors import UserError


def read_toml(path: Path) -> dict[str, Any]:
    """The settings of a configuration file, unchecked.

    Raises:
        UserError: If the file can't be read or isn't TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: byte {error.start} is not valid UTF-8; save the file as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: not valid TOML: {error}") from error


def run_config(settings: Mapping[str, Any], *, source: str) -> RunConfig:
    """Check settings and fill in the defaults.

    Args:
        settings: Settings by name.
        source: Where they come from, for messages.

    Raises:
        UserError: If a setting is unknown, missing or out of range.
    """
    try:
        return RunConfig.model_validate(dict(settings))
    except ValidationError as error:
        errors = error.errors()
        setting = errors[0]["loc"][:1]
        # Where a setting has several forms, the form that was followed furthest is the one that was meant.
        meant = max((one for one in errors if one["loc"][:1] == setting), key=lambda one: len(one["loc"]))
        raise UserError(f"{source}: {_explain('.'.join(map(str, setting)), meant)}") from error


def _explain(name: str, error: Any) -> str:  # noqa: ANN401 — pydantic's error details are a loose mapping
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, RunConfig.model_fields, n=1)
        hint = (
            f"; did you mean `{near[0]}`?"
            if near
            else f"; the settings are {', '.join(RunConfig.model_fields)}"
        )
        return f"unknown setting `{name}`{hint}"
    if error["type"] == "missing":
        flag = "DATA" if name == "data" else f"--{name}"
        return f"`{name}` is missing; give {flag}, or set it in a file for --config"
    message: str = error["msg"].removeprefix("Value error, ")
    if not name:
        return message
    return f"`{name}` = {error['input']!r}: {message[:1].lower()}{message[1:]}"
