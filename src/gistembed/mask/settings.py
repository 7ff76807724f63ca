"""A policy from settings by their names, as a configuration file holds them."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from gistembed.mask.margin import MarginSchedule
from gistembed.mask.policy import BLOCKS, MaskPolicy

_POLICY = [field.name for field in fields(MaskPolicy)]
_SCHEDULE = [field.name for field in fields(MarginSchedule)]
_SCHEDULE_NEEDS = [field.name for field in fields(MarginSchedule) if field.default is MISSING]

Checked = TypeVar("Checked")


def policy_from_settings(settings: Mapping[str, Any]) -> MaskPolicy:
    """Check settings and make the policy.

    Args:
        settings: Fields of `MaskPolicy` by name; a schedule of the margin, for all blocks or for one, is a
            `MarginSchedule` or a mapping of its own fields.

    Raises:
        ValueError: If a setting is unknown, of a wrong type, or makes no sense; the message names it.
    """
    _refuse_unknown(settings, _POLICY)
    made = dict(settings)
    if "margin" in made:
        made["margin"] = _margins(made["margin"])
    return _checked(MaskPolicy, made)


def _margins(value: object) -> float | MarginSchedule | dict[str, float | MarginSchedule]:
    """The margin of all blocks, or one for each that is named."""
    if not isinstance(value, Mapping) or value.keys() & set(_SCHEDULE):
        return _margin(value, "margin")
    _refuse_unknown(value, BLOCKS, place="margin: ", kind="block")
    return {block: _margin(one, f"margin.{block}") for block, one in value.items()}


def _margin(value: object, place: str) -> float | MarginSchedule:
    """A number, or a schedule; `place` is what messages call it."""
    if isinstance(value, MarginSchedule):
        return value
    if not isinstance(value, Mapping):
        return _checked(float, value, place)
    _refuse_unknown(value, _SCHEDULE, place=f"{place}: ")
    for name in _SCHEDULE_NEEDS:
        if name not in value:
            raise ValueError(f"{place}: a schedule needs `{name}`")
    return _checked(MarginSchedule, dict(value), place)


def _refuse_unknown(
    names: Iterable[object], known: Sequence[str], *, place: str = "", kind: str = "setting"
) -> None:
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f"did you mean `{near[0]}`?" if near else f"the {kind}s are {', '.join(known)}"
            raise ValueError(f"{place}unknown {kind} `{name}`; {hint}")


def _checked(kind: type[Checked], value: object, place: str = "") -> Checked:
    """The value as what it should be."""
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        problem = first["msg"].removeprefix("Value error, ")
        # What a dataclass itself refuses names its setting already.
        if first["type"] != "value_error":
            name = ".".join(filter(None, [place, *map(str, first["loc"][:1])]))
            problem = f"{name} = {first['input']!r}: {problem[:1].lower()}{problem[1:]}"
        raise ValueError(problem) from error
