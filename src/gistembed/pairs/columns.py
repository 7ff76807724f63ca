"""Which column plays which role: found by name, never by order."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gistembed.errors import UserError
from gistembed.pairs.wording import listed, quoted

ROLES = ("anchor", "positive", "negative")

ALIASES: dict[str, list[str]] = {
    "anchor": ["anchor", "anchors", "query", "question", "q", "premise", "sentence1", "text1", "question1"],
    "positive": [
        *["positive", "positives", "pos", "answer", "answers", "passage", "document", "doc", "response"],
        *["hypothesis", "sentence2", "text2", "question2"],
    ],
    "negative": ["negative", "negatives", "neg", "negs", "hardnegative", "hardnegatives", "hardneg"],
}
"""Names by role, as `plain_name` writes them. A negative's name may end with a number."""

GRADES = ["label", "labels", "goldlabel", "score", "scores", "similarity", "similarityscore", "isduplicate"]
"""Names of columns that tell how well a pair matches, so that some rows may be no positive pairs."""

USAGE = "--columns anchor=NAME,positive=NAME[,negative=NAME]"


@dataclass(frozen=True)
class Columns:
    """The columns of a source by role.

    Attributes:
        anchor: The column of anchors.
        positive: The columns of positives; only columns that the user named can be more than one.
        negatives: The columns of negatives, in the order of their numbers.
        ignored: The other columns.
    """

    anchor: str
    positive: tuple[str, ...]
    negatives: tuple[str, ...]
    ignored: tuple[str, ...]

    @property
    def used(self) -> tuple[str, ...]:
        """All columns that have a role: anchor, positives, negatives."""
        return (self.anchor, *self.positive, *self.negatives)


def resolve_columns(
    names: Sequence[str], source: str, override: Mapping[str, Sequence[str]] | None = None
) -> Columns:
    """Give each column of a source its role.

    Args:
        names: The columns of the source.
        source: The source, as messages name it.
        override: Columns by role, from the user; then exactly these are used and no name is guessed.

    Raises:
        UserError: If the names don't tell the roles, or if the override doesn't fit the source.
    """
    if override is not None:
        return _named_columns(names, source, override)
    anchor = only_column("anchor", ALIASES["anchor"], names, source, USAGE)
    positive = only_column("positive", ALIASES["positive"], names, source, USAGE)
    numbers = {name: number for name in names if (number := _negative_number(name)) is not None}
    columns = _columns(names, anchor, (positive,), tuple(sorted(numbers, key=numbers.__getitem__)))
    for name in columns.ignored:
        if plain_name(name) in GRADES:
            negatives = "".join(f",negative={negative}" for negative in columns.negatives)
            raise UserError(
                f"{source}: column {quoted(name)} suggests that not every row is a positive pair. "
                f"Keep only the rows that are and leave the column out, "
                f"or use all rows with --columns {quoted(f'anchor={anchor},positive={positive}{negatives}')}."
            )
    return columns


def parse_columns(text: str, usage: str = USAGE) -> dict[str, tuple[str, ...]]:
    """Columns by role, from the command line: ``anchor=q,positive=a,negative=n1,negative=n2``.

    Args:
        text: What the user wrote.
        usage: How it is written: the option, and its value.

    Raises:
        UserError: If the text isn't of that form.
    """
    columns: dict[str, tuple[str, ...]] = {}
    for item in text.split(","):
        role, equals, name = (part.strip() for part in item.partition("="))
        if not (role and equals and name):
            raise UserError(f"{_option(usage)}: {quoted(item)} is not of the form ROLE=NAME; write {usage}.")
        columns[role] = (*columns.get(role, ()), name)
    _check_roles(columns, usage)
    return columns


def only_column(role: str, aliases: Sequence[str], names: Sequence[str], source: str, option: str) -> str:
    """The one column whose name is known for a role.

    Args:
        role: What stands in the column.
        aliases: The names that are known for it, as `plain_name` writes them.
        names: The columns of the source.
        source: The source, as messages name it.
        option: What the user can name the column with.

    Raises:
        UserError: If there is no such column, or more than one.
    """
    found = [name for name in names if plain_name(name) in aliases]
    if len(found) == 1:
        return found[0]
    if found:
        problem, remedy = f"columns {listed(found)} could each be the {role}", "rename all but one"
    else:
        problem, remedy = f"no column is known as the {role}", f"name one '{role}'"
    raise UserError(f"{source}: {problem}. {_inventory(names)}; {remedy}, or say which to use with {option}.")


def require_column(name: str, names: Sequence[str], source: str) -> None:
    """Refuse the name of a column that a source doesn't have.

    Args:
        name: The name from the user.
        names: The columns of the source.
        source: The source, as messages name it.

    Raises:
        UserError: If the name is not among them.
    """
    if name not in names:
        raise UserError(f"{source}: there is no column {quoted(name)}. {_inventory(names)}.")


def plain_name(name: str) -> str:
    """A name as the aliases are written: lower case, with nothing between words and numbers."""
    return re.sub(r"[\s_-]+", "", name.casefold())


def _inventory(names: Sequence[str]) -> str:
    return f"The columns are {listed(names)}" if names else "There are no columns"


def _check_roles(override: Mapping[str, Sequence[str]], usage: str = USAGE) -> None:
    for role in override:
        if role not in ROLES:
            raise UserError(f"{_option(usage)}: {quoted(role)} is not a role; write {usage}.")
    for role in ("anchor", "positive"):
        if not override.get(role):
            raise UserError(f"{_option(usage)}: no column is named as the {role}; write {usage}.")
    if len(override["anchor"]) > 1:
        raise UserError(
            f"{_option(usage)}: the anchor is one column, not {listed(override['anchor'])}; write {usage}."
        )
    named = [name for names in override.values() for name in names]
    for name in named:
        if named.count(name) > 1:
            raise UserError(f"{_option(usage)}: column {quoted(name)} is named twice; write {usage}.")


def _option(usage: str) -> str:
    """The option that a usage is of."""
    return usage.partition(" ")[0]


def _named_columns(names: Sequence[str], source: str, override: Mapping[str, Sequence[str]]) -> Columns:
    _check_roles(override)
    for name in (name for role in ROLES for name in override.get(role, ())):
        require_column(name, names, source)
    return _columns(
        names, override["anchor"][0], tuple(override["positive"]), tuple(override.get("negative", ()))
    )


def _columns(
    names: Sequence[str], anchor: str, positive: tuple[str, ...], negatives: tuple[str, ...]
) -> Columns:
    used = {anchor, *positive, *negatives}
    return Columns(anchor, positive, negatives, ignored=tuple(name for name in names if name not in used))


def _negative_number(name: str) -> int | None:
    """The number that a negative's name ends with, -1 if it has none; None if it names no negative."""
    plain = plain_name(name)
    stem = plain.rstrip("0123456789")
    if stem not in ALIASES["negative"]:
        return None
    return int(plain.removeprefix(stem) or -1)
