"""Options whose value is one of a few words."""

from typing import Any

from gistembed.errors import UserError


def chosen(option: str, name: str, known: tuple[str, ...]) -> Any:  # noqa: ANN401 — one of the known
    """The word that the user gave.

    Args:
        option: The option, as messages name it.
        name: The word.
        known: The words that it can be.

    Raises:
        UserError: If it is none of them.
    """
    if name not in known:
        raise UserError(f"{option} {name}: unknown; choose one of {', '.join(known)}")
    return name
