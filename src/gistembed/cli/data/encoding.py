"""Vectors of texts for the commands that make rows: what is missing is encoded, and a cost said first."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gistembed.console import Console
    from gistembed.guide import GuideVectors, TextsByRole


def encoded(guide: str, store: Path | None, texts: "TextsByRole", console: "Console") -> "GuideVectors":
    """A guide's vectors of some texts, kept in the store.

    Args:
        guide: The guide's name.
        store: The folder of guides' vectors; None is the user's cache.
        texts: The texts.
        console: Where progress is shown, and what an endpoint is going to be sent.

    Raises:
        UserError: If there is no such guide, it gives no usable vector, or the store can't be written.
    """
    from gistembed.guide import GuideSettings, default_store, do_work, prepare_work

    work = prepare_work(GuideSettings(guide), store or default_store(), texts)
    if (estimate := work.estimate(None)) is not None:
        console.say(f"to be sent: {estimate}")
    return do_work(work, console)
