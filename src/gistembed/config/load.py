"""From a TOML file and flags to a checked configuration; every mistake is one line that names its place."""

import difflib
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from gistembed.config.run import ContradictionError, RunConfig, TaskSettings
from gistembed.config.student import LoraSettings
from gistembed.errors import UserError

# Where both are set, the first of each couple makes the second one void.
_EXCLUSIVE = (("steps", "epochs"), ("eval", "holdout"))

# Settings that are tables with settings of their own.
_TABLES: dict[str, type[BaseModel]] = {"lora": LoraSettings, "tasks": TaskSettings}


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


def run_config(settings: Mapping[str, Any], *, source: str, flags: Collection[str] = ()) -> RunConfig:
    """Check settings and fill in the defaults.

    Args:
        settings: Settings by name.
        source: Where they come from, for messages.
        flags: Names of the settings that come from the command line instead. They win over the others, also
            where they contradict one of another name; but a setting that stands in ``mask`` too is refused.

    Raises:
        UserError: If a setting is unknown, missing or out of range.
    """
    try:
        config = RunConfig.model_validate(_without_overruled(settings, flags))
    except ValidationError as error:
        errors = error.errors()
        place = errors[0]["loc"][:1]
        # Where a setting has several forms, the form that was followed furthest is the one that was meant.
        meant = max((one for one in errors if one["loc"][:1] == place), key=lambda one: len(one["loc"]))
        setting = "".join(map(str, place))
        if setting in flags:
            raise UserError(f"{_flag(setting)} {meant['input']}: {_problem(meant)}") from error
        if (flag := next((name for name in _contradictory(meant) if name in flags), None)) is not None:
            raise UserError(f"{_flag(flag)} {_as_given(settings[flag])}: {_problem(meant)}") from error
        if setting in _TABLES and len(meant["loc"]) > 1:
            raise UserError(f"{source}: {_explain_in_table(meant)}") from error
        raise UserError(f"{source}: {_explain(setting, meant)}") from error
    _check_accumulation(config.trainer)
    return config


def _without_overruled(settings: Mapping[str, Any], flags: Collection[str]) -> dict[str, Any]:
    """The settings without those that a flag of another name contradicts."""
    overruled = {
        other
        for couple in _EXCLUSIVE
        for flag, other in (couple, reversed(couple))
        if flag in flags and other not in flags
    }
    return {name: value for name, value in settings.items() if name not in overruled}


def _check_accumulation(trainer: Mapping[str, Any]) -> None:
    """The one argument of the trainer that a run itself reckons with: steps follow from it."""
    name = "gradient_accumulation_steps"
    value = trainer.get(name, 1)
    if type(value) is not int or value < 1:
        raise UserError(f"[trainer] {name} = {value!r}: expected a whole number from 1")


def _contradictory(error: Any) -> tuple[str, ...]:  # noqa: ANN401
    """The settings that a contradiction names."""
    cause = error.get("ctx", {}).get("error")
    return cause.settings if isinstance(cause, ContradictionError) else ()


def _as_given(value: object) -> str:
    """A value as it stands on the command line."""
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


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
        return f"`{name}` is missing; give {_flag(name)}, or set it in a file for --config"
    if not name:
        return _problem(error)
    return f"`{name}` = {error['input']!r}: {_problem(error)}"


def _explain_in_table(error: Any) -> str:  # noqa: ANN401
    names = [str(name) for name in error["loc"]]
    table = f"[{'.'.join(names[:-1])}] {names[-1]}"
    if error["type"] != "extra_forbidden":
        return f"{table} = {error['input']!r}: {_problem(error)}"
    return f"{table}: unknown setting; the settings are {', '.join(_TABLES[names[0]].model_fields)}"


def _problem(error: Any) -> str:  # noqa: ANN401
    message: str = error["msg"].removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _flag(name: str) -> str:
    """What a setting is called on the command line."""
    return "DATA" if name == "data" else f"--{name.replace('_', '-')}"
