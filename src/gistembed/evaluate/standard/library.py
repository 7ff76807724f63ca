"""The library mteb, where it is installed."""

import importlib
from typing import Any

from gistembed.errors import UserError


def require_mteb() -> Any:  # noqa: ANN401 — a library that is loaded only here
    """The library.

    Raises:
        UserError: If it is not installed.
    """
    try:
        return importlib.import_module("mteb")
    except ImportError as error:
        raise UserError(
            "--mteb: mteb is not installed; run `pip install 'gistembed[mteb]'`, or leave the option out"
        ) from error
