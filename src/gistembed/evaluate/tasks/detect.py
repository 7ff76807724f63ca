"""What kind of task a source holds, where its columns leave no doubt."""

import re
from collections.abc import Sequence

from gistembed.build.labelled import LABEL_NAMES, TEXT_NAMES
from gistembed.errors import UserError
from gistembed.evaluate.tasks.kinds import KINDS, Kind
from gistembed.pairs.rows.columns import ALIASES, GRADES, plain_name
from gistembed.pairs.wording import listed

_LANGUAGE = re.compile(r"[a-z]{2}([-_][A-Za-z]{2,4})?")
_BINARY_GRADES = frozenset({"label", "labels", "goldlabel", "isduplicate"})


def detect_kind(names: Sequence[str], source: str) -> Kind:
    """The kind of task that a table of these columns holds.

    Pairs are retrieval, as for every other command; with a column of labels (``label``, ``is_duplicate``)
    they are pair classification, with a column of scores (``score``, ``similarity``) STS. Two columns named
    by languages (``en``, ``de``) are bitext.

    Args:
        names: The columns.
        source: The source, as messages name it.

    Raises:
        UserError: If there is none, or more than one that it could be.
    """
    plain = {plain_name(name) for name in names}
    if plain.intersection(ALIASES["anchor"]) and plain.intersection(ALIASES["positive"]):
        grades = plain.intersection(GRADES)
        if not grades:
            return "retrieval"
        return "pair-classification" if grades <= _BINARY_GRADES else "sts"
    if language_columns(names) is not None:
        return "bitext"
    if plain.intersection(TEXT_NAMES) and plain.intersection(LABEL_NAMES):
        raise UserError(
            f"{source}: labelled texts are scored in two ways. Say which: --data {source}=classification or "
            f"--data {source}=clustering."
        )
    raise UserError(
        f"{source}: the columns are {listed(names)}, which fit no kind of task. Say the kind with "
        f"--data {source}=KIND ({', '.join(KINDS)}), and the columns with --columns."
    )


def language_columns(names: Sequence[str]) -> tuple[str, str] | None:
    """The two columns of a table that are named by languages, if it has no others.

    Args:
        names: The columns.
    """
    if len(names) == 2 and all(_LANGUAGE.fullmatch(name) for name in names):
        return names[0], names[1]
    return None
