"""How commands say which further columns have another name in what they wrote."""

from collections.abc import Mapping


def and_renamed(renamed: Mapping[str, str]) -> str:
    """What follows the line on what was written; nothing where all columns kept their names.

    Args:
        renamed: New names by old ones.
    """
    from gistembed.pairs.wording import LISTED_NAMES, quoted

    if not renamed:
        return ""
    changes = [f"{quoted(old)} is {quoted(new)}" for old, new in renamed.items()]
    more = len(changes) - LISTED_NAMES
    every = ", ".join(changes[:LISTED_NAMES]) + (f" and {more} more" if more > 0 else "")
    return f"; columns renamed, so that the file reads the same: {every}"
