"""Which column plays which role: found by name, never by order."""

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from gistembed.errors import UserError
from gistembed.pairs.wording import listed, one_line, quoted

ROLES = ("anchor", "positive", "negative")

ALIASES: dict[str, list[str]] = {
    "anchor": [
        "anchor",
        "anchors",
        "query",
        "querytext",
        "question",
        "q",
        "premise",
        "sentence1",
        "text1",
        "question1",
    ],
    "positive": [
        *[
            "positive",
            "positives",
            "positivepassages",
            "pos",
            "answer",
            "answers",
            "passage",
            "document",
            "doc",
            "response",
        ],
        *["hypothesis", "sentence2", "text2", "question2"],
    ],
    "negative": [
        "negativepassages",
        "negative",
        "negatives",
        "neg",
        "negs",
        "hardnegative",
        "hardnegatives",
        "hardneg",
    ],
}
"""Names by role, as `plain_name` writes them. A negative's name may end with a number."""

MORE: dict[str, list[str]] = {
    "anchor_id": ["anchorid", "queryid", "qid", "questionid"],
    "anchor_instruction": [
        *["anchorinstruction", "anchorinstruct", "anchorprompt", "queryinstruction", "queryinstruct"],
        *["queryprompt", "instruction", "prompt"],
    ],
    "positive_id": ["positiveid", "positiveids", "posid", "posids"],
    "positive_title": ["positivetitle", "positivetitles", "postitle", "postitles"],
    "positive_instruction": ["positiveinstruction", "positiveinstruct", "posinstruction", "posinstruct"],
    "positive_score": ["positivescore", "positivescores", "posscore", "posscores"],
    "negative_id": ["negativeid", "negativeids", "negid", "negids"],
    "negative_title": ["negativetitle", "negativetitles", "negtitle", "negtitles"],
    "negative_instruction": ["negativeinstruction", "negativeinstruct", "neginstruction", "neginstruct"],
    "negative_score": ["negativescore", "negativescores", "negscore", "negscores"],
    "negative_trusted": ["negativetrusted", "negtrusted", "trusted", "trustednegative", "trustednegatives"],
    "task": ["task", "taskname"],
    "weight": ["weight", "rowweight", "sampleweight"],
}
"""Names of what may stand beside the texts, by role; those of a numbered column end with its number."""

_CLASSIFIED = ("text", "sentence", "content", "document", "review", "utterance")
_CLASSES = ("label", "labels", "labeltext", "class", "category", "intent")

GRADES = ["label", "labels", "goldlabel", "score", "scores", "similarity", "similarityscore", "isduplicate"]
"""Names of columns that tell how well a pair matches, so that some rows may be no positive pairs."""

_NUMBERED = frozenset([*ALIASES["negative"], *(alias for aliases in MORE.values() for alias in aliases)])
_KNOWN = _NUMBERED.union(ALIASES["anchor"], ALIASES["positive"], GRADES)

_UNNUMBERED = -1
_DIGITS = "0123456789"

USAGE = "--columns anchor=NAME,positive=NAME[,negative=NAME]"


@dataclass(frozen=True)
class Columns:
    """The columns of a source by role.

    Attributes:
        anchor: The column of anchors.
        positive: The columns of positives; only columns that the user named can be more than one.
        negatives: The columns of negatives, in the order of their numbers.
        ignored: The other columns.
        more: What stands beside the texts, by a role of `MORE`, and under ``score`` how well a pair matches.
            As many columns as there are of the texts that they are about, in the same order; where one of
            these has none, its name is empty.
    """

    anchor: str
    positive: tuple[str, ...]
    negatives: tuple[str, ...]
    ignored: tuple[str, ...]
    more: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def texts(self) -> tuple[str, ...]:
        """The columns of texts: anchor, positives, negatives."""
        return (self.anchor, *self.positive, *self.negatives)

    @property
    def used(self) -> tuple[str, ...]:
        """All columns that have a role: anchor, positives, negatives, then the others."""
        others = (name for names in self.more.values() for name in names if name)
        return (*self.texts, *others)


def resolve_columns(
    names: Sequence[str],
    source: str,
    override: Mapping[str, Sequence[str]] | None = None,
    *,
    graded: bool = False,
) -> Columns:
    """Give each column of a source its role.

    Args:
        names: The columns of the source.
        source: The source, as messages name it.
        override: Columns by role, from the user; then exactly these are used and no name is guessed.
        graded: Whether a column tells how well a pair matches; without this, such a column is refused.

    Raises:
        UserError: If the names don't tell the roles, or if the override doesn't fit the source.
    """
    if override is not None:
        columns = _named_columns(names, source, override)
    else:
        _refuse_classes(names, source)
        anchor = only_column("anchor", ALIASES["anchor"], names, source, USAGE)
        positive = only_column("positive", ALIASES["positive"], names, source, USAGE)
        numbers = {
            name: number for name in names if (number := _number(name, ALIASES["negative"])) is not None
        }
        negatives = tuple(sorted(numbers, key=numbers.__getitem__))
        columns = _columns(
            names,
            anchor,
            (positive,),
            negatives,
            _known_more(names, [numbers[name] for name in negatives], source),
        )
    grades = [name for name in columns.ignored if plain_name(name) in GRADES]
    if graded and "score" not in columns.more:
        option = "--columns …,score=NAME"
        if not grades:
            _refuse_none("score", names, source, option)
        grade = only_column("score", GRADES, columns.ignored, source, option)
        more = {**columns.more, "score": (grade,)}
        return _columns(names, columns.anchor, columns.positive, columns.negatives, more)
    if override is None and grades and not graded:
        negatives_named = "".join(f",negative={negative}" for negative in columns.negatives)
        named = f"anchor={columns.anchor},positive={columns.positive[0]}{negatives_named}"
        raise UserError(
            f"{source}: column {quoted(grades[0])} suggests that not every row is a positive pair. "
            f"Say from which value on it is with --min-score, or use all rows with "
            f"--columns {one_line(shlex.quote(named))}"
        )
    return columns


def parse_columns(
    text: str, usage: str = USAGE, more: Iterable[str] = (*MORE, "score")
) -> dict[str, tuple[str, ...]]:
    """Columns by role, from the command line: ``anchor=q,positive=a,negative=n1,negative=n2``.

    Args:
        text: What the user wrote.
        usage: How it is written: the option, and its value.
        more: Roles that may be named besides the three that every source has.

    Raises:
        UserError: If the text isn't of that form.
    """
    columns: dict[str, tuple[str, ...]] = {}
    for role, name in split_columns(text, usage):
        columns[role] = (*columns.get(role, ()), name)
    _check_roles(columns, usage, more)
    return columns


def split_columns(text: str, usage: str) -> list[tuple[str, str]]:
    """Roles and names as they stand on the command line, ``ROLE=NAME,ROLE=NAME``; any role will do.

    Args:
        text: What the user wrote.
        usage: How it is written: the option, and its value.

    Raises:
        UserError: If the text isn't of that form.
    """
    found = []
    for item in text.split(","):
        role, equals, name = (part.strip() for part in item.partition("="))
        if not (role and equals and name):
            raise UserError(f"{_option(usage)}: {quoted(item)} is not of the form ROLE=NAME; write {usage}.")
        found.append((role, name))
    return found


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
    if not found:
        _refuse_none(role, names, source, option)
    if len(found) > 1:
        _refuse_choice(role, found, names, source, option)
    return found[0]


def _refuse_none(role: str, names: Sequence[str], source: str, option: str) -> NoReturn:
    """Refuse columns of which none plays a role that is needed."""
    raise UserError(
        f"{source}: no column is known as the {role}. {_inventory(names)}; name one '{role}', or say which "
        f"to use with {option}."
    )


def _refuse_choice(
    role: str, found: Sequence[str], names: Sequence[str], source: str, option: str
) -> NoReturn:
    """Refuse columns of which only one can play a role."""
    raise UserError(
        f"{source}: columns {listed(found)} could each be the {role}. {_inventory(names)}; rename all but "
        f"one, or say which to use with {option}."
    )


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


def tells_role(name: str) -> bool:
    """Whether a column of this name is given a role, or keeps others from theirs, in some source.

    Args:
        name: The name of a column.
    """
    plain = plain_name(name)
    return plain in _KNOWN or plain.rstrip(_DIGITS) in _NUMBERED


def plain_name(name: str) -> str:
    """A name as the aliases are written: lower case, with nothing between words and numbers."""
    return re.sub(r"[\s_-]+", "", name.casefold())


def _inventory(names: Sequence[str]) -> str:
    return f"The columns are {listed(names)}" if names else "There are no columns"


def _refuse_classes(names: Sequence[str], source: str) -> None:
    """Tell the owner of a table of texts and classes how pairs are made of it."""
    plain = [plain_name(name) for name in names]
    known = {alias for role in ("anchor", "positive") for alias in ALIASES[role]}
    classified = any(name in _CLASSIFIED for name in plain) and any(name in _CLASSES for name in plain)
    if classified and known.intersection(plain) <= {"document"}:
        raise UserError(
            f"{source}: a table of texts and their classes ({listed(names)}), not of pairs. "
            f"Make pairs of it with `gistembed data mtebcls`."
        )


def _check_roles(
    override: Mapping[str, Sequence[str]], usage: str = USAGE, more: Iterable[str] = (*MORE, "score")
) -> None:
    for role in override:
        if role not in (*ROLES, *more):
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
    for name in (name for columns in override.values() for name in columns):
        require_column(name, names, source)
    texts = {
        "anchor": 1,
        "positive": len(override["positive"]),
        "negative": len(override.get("negative", ())),
    }
    more = {role: tuple(columns) for role, columns in override.items() if role not in ROLES}
    for role, columns in more.items():
        expected = texts.get(role.partition("_")[0], 1)
        if len(columns) != expected:
            raise UserError(
                f"{_option(USAGE)}: {role} names {len(columns)} columns, but stands beside {expected}"
            )
    return _columns(
        names, override["anchor"][0], tuple(override["positive"]), tuple(override.get("negative", ())), more
    )


def _columns(
    names: Sequence[str],
    anchor: str,
    positive: tuple[str, ...],
    negatives: tuple[str, ...],
    more: Mapping[str, tuple[str, ...]],
) -> Columns:
    used = {anchor, *positive, *negatives, *(name for columns in more.values() for name in columns)}
    ignored = tuple(name for name in names if name not in used)
    return Columns(anchor, positive, negatives, ignored, more)


def _known_more(names: Sequence[str], negatives: Sequence[int], source: str) -> dict[str, tuple[str, ...]]:
    """What stands beside the texts; a number that no negative has tells no role."""
    more = {}
    for role, aliases in MORE.items():
        known = negatives if role.startswith("negative_") else [_UNNUMBERED]
        numbers = {name: _number(name, aliases) for name in names}
        columns = [[name for name in names if numbers[name] == number] for number in known]
        for found in columns:
            if len(found) > 1:
                _refuse_choice(role, found, names, source, f"--columns …,{role}=NAME")
        if any(columns):
            more[role] = tuple(found[0] if found else "" for found in columns)
    return more


def _number(name: str, aliases: Sequence[str]) -> int | None:
    """The number that a name ends with, -1 if it has none; None if it isn't one of the aliases."""
    plain = plain_name(name)
    stem = plain.rstrip(_DIGITS)
    if stem not in aliases:
        return None
    return int(plain.removeprefix(stem) or _UNNUMBERED)
