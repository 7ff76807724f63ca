"""What further columns are called in a copy, such that none of them plays a role when it is read again."""

from collections.abc import Collection

from gistembed.pairs.rows.columns import tells_role

_PREFIX = "source_"


def copied_names(names: Collection[str]) -> dict[str, str]:
    """The name of each further column in a copy; most stay as they are.

    A name that tells a role would take the place of what the format itself writes, or be given the role when
    the copy is read; and CSV has no place for a name that is blank. These get `_PREFIX`, more than once where
    another column is called that already.

    Args:
        names: The names of the columns without a role, each once.

    Returns:
        New names by old ones, no two of them alike.
    """
    changed = {name for name in names if tells_role(name) or not name.strip()}
    taken = set(names)
    copied = {}
    for name in names:
        new = name
        if name in changed:
            while new in taken:
                new = _PREFIX + new
            taken.add(new)
        copied[name] = new
    return copied
