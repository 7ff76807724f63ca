"""Texts that stand where the same text stands already: repeats, contradictions, and hubs."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64

from gistembed.doctor.findings import finding, graded
from gistembed.doctor.numbered import EXAMPLES, NumberedRows, shown
from gistembed.pairs import faults, offsets_of
from gistembed.pairs.wording import counted
from gistembed.record import Finding

SAME = "but for case, white space and Unicode composition"
FIX = "`gistembed data doctor --fix` takes them out"

# What a pair teaches is wrong or nothing; from this share on, the data was put together wrongly.
_BROKEN_SHARE = 0.01
# A text that is the positive of so many pairs stands in a batch of 128 more than once.
_HUB_SHARE = 0.01
_HUB_PAIRS = 10


@dataclass(frozen=True, eq=False)
class Contradictions:
    """Negatives that are no negatives; each counts once, in the first of these that holds.

    Attributes:
        anchor: The text is the row's own anchor.
        positive: It is a positive of the same row.
        elsewhere: It is a positive of the same anchor in another row.
    """

    anchor: Bool[np.ndarray, " negatives"]
    positive: Bool[np.ndarray, " negatives"]
    elsewhere: Bool[np.ndarray, " negatives"]

    @property
    def any(self) -> Bool[np.ndarray, " negatives"]:
        """All of them."""
        either: Bool[np.ndarray, " negatives"] = self.anchor | self.positive | self.elsewhere
        return either


def contradictions(rows: NumberedRows, numbers: Int64[np.ndarray, " texts"]) -> Contradictions:
    """Negatives whose text is known to belong to their anchor.

    Args:
        rows: The rows.
        numbers: A number for each text; texts with equal numbers are the same text.
    """
    anchors, positives, negatives = numbers[rows.anchors], numbers[rows.positives], numbers[rows.negatives]
    of_row, of_anchor = rows.negative_rows, anchors[rows.negative_rows]
    anchor = of_anchor == negatives
    positive = faults.are_known(of_row, negatives, rows.pair_rows, positives) & ~anchor
    known = faults.are_known(of_anchor, negatives, anchors[rows.pair_rows], positives)
    return Contradictions(anchor, positive, known & ~anchor & ~positive)


class _Contradiction(NamedTuple):
    code: str
    kind: str
    what: str
    advice: str


_CONTRADICTIONS = (
    _Contradiction(
        "negative-is-anchor",
        "anchor",
        "negatives are the row's own anchor",
        "The loss pushes a text away from itself",
    ),
    _Contradiction(
        "negative-is-positive",
        "positive",
        "negatives are a positive of the same row",
        "The loss pulls and pushes the same text at once",
    ),
    _Contradiction(
        "conflicting-rows",
        "elsewhere",
        "negatives are a positive of the same anchor in another row",
        "One of the rows is wrong; where the judgement isn't certain, trust the positive",
    ),
)


def contradicting_negatives(rows: NumberedRows) -> list[Finding]:
    """Negatives that are the anchor, a positive of the row, or a positive of the anchor in another row."""
    if not len(rows.negatives):
        return []
    found = contradictions(rows, rows.book.forms)
    exact = contradictions(rows, np.arange(len(rows.book.strings))).any
    findings = []
    for code, kind, what, advice in _CONTRADICTIONS:
        which: Bool[np.ndarray, " negatives"] = getattr(found, kind)
        count = int(which.sum())
        if not count:
            continue
        parts = _letter_by_letter(count, int((which & exact).sum()))
        if kind == "positive" and (renamed := int((which & _renamed(rows)).sum())):
            parts.append(f"{renamed:,} under another id")
        findings.append(
            finding(
                code,
                graded(count / len(which), error=_BROKEN_SHARE),
                count,
                len(which),
                f"{what} ({', '.join(parts)})",
                f"{advice}; {FIX}.",
                rows.examples(
                    (
                        int(rows.negative_rows[negative]),
                        f"{shown(rows.text(int(rows.anchors[rows.negative_rows[negative]])))}: "
                        f"{shown(rows.text(int(rows.negatives[negative])))}",
                    )
                    for negative in np.flatnonzero(which)[:EXAMPLES].tolist()
                ),
                fixable=True,
            )
        )
    return findings


def same_as_anchor(rows: NumberedRows) -> list[Finding]:
    """Pairs whose positive is their anchor."""
    forms = rows.book.forms
    same = forms[rows.pair_anchors] == forms[rows.positives]
    count = int(same.sum())
    if not count:
        return []
    parts = _letter_by_letter(count, int((rows.pair_anchors == rows.positives).sum()))
    return [
        finding(
            "positive-is-anchor",
            graded(count / len(same), error=_BROKEN_SHARE),
            count,
            len(same),
            f"pairs have the anchor itself as the positive ({', '.join(parts)})",
            f"Such a pair teaches nothing; {FIX}.",
            rows.pair_examples(same),
            fixable=True,
        )
    ]


def repeated_pairs(rows: NumberedRows) -> list[Finding]:
    """Pairs that repeat an earlier pair with the same negatives, and negatives that stand twice in a row."""
    earlier = earlier_pair(rows, rows.book.forms)
    repeated = earlier >= 0
    findings = []
    if count := int(repeated.sum()):
        exact = earlier_pair(rows, np.arange(len(rows.book.strings))) >= 0
        parts = _letter_by_letter(count, int(exact.sum()))
        findings.append(
            finding(
                "repeated-pair",
                graded(count / len(repeated), warning=0.01),
                count,
                len(repeated),
                f"pairs repeat an earlier pair with the same negatives ({', '.join(parts)})",
                f"They count more than once in training, and can stand on both sides of a split; {FIX}.",
                rows.examples(
                    (
                        int(rows.pair_rows[pair]),
                        f"as {rows.place(int(rows.pair_rows[earlier[pair]]))}: {rows.shown_pair(pair)}",
                    )
                    for pair in np.flatnonzero(repeated)[:EXAMPLES].tolist()
                ),
                fixable=True,
            )
        )
    twice = repeated_negatives(rows, np.zeros(len(rows.negatives), bool))
    if count := int(twice.sum()):
        findings.append(
            finding(
                "repeated-negative",
                graded(count / len(twice), warning=0.01),
                count,
                len(twice),
                "negatives stand in their row already",
                f"They count more than once in the loss; {FIX}.",
                rows.examples(
                    (int(rows.negative_rows[negative]), shown(rows.text(int(rows.negatives[negative]))))
                    for negative in np.flatnonzero(twice)[:EXAMPLES].tolist()
                ),
                fixable=True,
            )
        )
    return findings


def earlier_pair(
    rows: NumberedRows,
    numbers: Int64[np.ndarray, " texts"],
    pairs: Bool[np.ndarray, " pairs"] | None = None,
    negatives: Bool[np.ndarray, " negatives"] | None = None,
) -> Int64[np.ndarray, " pairs"]:
    """For each pair, the first pair that says the same, as `gistembed.pairs.faults.earlier_pair` has it.

    Args:
        rows: The rows.
        numbers: A number for each text; texts with equal numbers are the same text.
        pairs: The pairs to look at; all by default. The others get -1.
        negatives: The negatives to look at, none twice in a row; all but repeated ones by default.
    """
    if negatives is None:
        negatives = ~repeated_negatives(rows, np.zeros(len(rows.negatives), bool), numbers)
    which = np.arange(len(rows.positives)) if pairs is None else np.flatnonzero(pairs)
    found = faults.earlier_pair(
        numbers[rows.pair_anchors[which]],
        numbers[rows.positives[which]],
        rows.pair_rows[which],
        numbers[rows.negatives[negatives]],
        _offsets(rows, negatives),
        trusted=None if rows.trusted is None else rows.trusted[negatives],
        weights=None if rows.weights is None else rows.weights[rows.pair_rows[which]],
    )
    earlier = np.full(len(rows.positives), -1, np.int64)
    earlier[which[found >= 0]] = which[found[found >= 0]]
    return earlier


def repeated_negatives(
    rows: NumberedRows,
    leaves: Bool[np.ndarray, " negatives"],
    numbers: Int64[np.ndarray, " texts"] | None = None,
) -> Bool[np.ndarray, " negatives"]:
    """Negatives that stand in their row already, as `gistembed.pairs.faults.repeated_negatives` has it.

    Args:
        rows: The rows.
        leaves: Negatives that don't count.
        numbers: A number for each text; texts with equal numbers are the same text. Their forms by default.
    """
    numbers = rows.book.forms if numbers is None else numbers
    repeated = np.zeros(len(rows.negatives), bool)
    repeated[~leaves] = faults.repeated_negatives(
        numbers[rows.negatives[~leaves]],
        _offsets(rows, ~leaves),
        None if rows.trusted is None else rows.trusted[~leaves],
    )
    return repeated


def _offsets(rows: NumberedRows, stays: Bool[np.ndarray, " negatives"]) -> Int64[np.ndarray, " rows_and_one"]:
    """Where the negatives of each row begin if only these stay."""
    return offsets_of(np.bincount(rows.negative_rows[stays], minlength=len(rows)))


def hubs(rows: NumberedRows) -> list[Finding]:
    """Texts that are the positive of so many pairs that a batch holds them more than once."""
    forms = rows.book.forms
    counts = np.bincount(forms[rows.positives], minlength=1)
    hub_forms = np.flatnonzero(counts >= max(_HUB_PAIRS, _HUB_SHARE * len(rows.positives)))
    in_hub = np.isin(forms[rows.positives], hub_forms)
    if not in_hub.any():
        return []
    examples = []
    for number in hub_forms[np.argsort(-counts[hub_forms], kind="stable")][:EXAMPLES].tolist():
        pair = int(np.argmax(forms[rows.positives] == number))
        examples.append(
            (
                int(rows.pair_rows[pair]),
                f"positive of {counts[number]:,} pairs: {shown(rows.text(int(rows.positives[pair])))}",
            )
        )
    count = int(in_hub.sum())
    return [
        finding(
            "hub",
            graded(count / len(in_hub), warning=0.1),
            count,
            len(in_hub),
            f"pairs share {counted(len(hub_forms), 'positive')}, each that of {_HUB_SHARE:.0%} of all pairs "
            "or more",
            "In a batch such a text is its own negative unless texts are compared by id, as `gistembed fit` "
            "does, and few different positives are left to learn from.",
            rows.examples(examples),
        )
    ]


def ids_with_several_texts(rows: NumberedRows) -> list[Finding]:
    """Ids of the source that name more than one text."""
    names = np.concatenate([rows.positive_names, rows.negative_names])
    named = names >= 0
    if not named.any():
        return []
    ids = np.concatenate([rows.positives, rows.negatives])[named]
    of_rows = np.concatenate([rows.pair_rows, rows.negative_rows])[named]
    names = names[named]
    size = len(rows.book.strings)
    used, first = np.unique(names * size + ids, return_index=True)
    texts_of_name = np.bincount(used // size)
    several = np.flatnonzero(texts_of_name > 1)
    if not len(several):
        return []
    examples = []
    for name in several[:EXAMPLES].tolist():
        one, other = first[used // size == name][:2]
        examples.append(
            (int(of_rows[other]), f"{shown(rows.text(int(ids[one])))} | {shown(rows.text(int(ids[other])))}")
        )
    return [
        finding(
            "id-with-several-texts",
            "warning",
            len(several),
            int((texts_of_name > 0).sum()),
            "ids name more than one text",
            "Either the ids are wrong or a text was changed in one place only.",
            rows.examples(examples),
        )
    ]


def _renamed(rows: NumberedRows) -> Bool[np.ndarray, " negatives"]:
    """Negatives with an id that no positive of the same text in their row has, though that one has an id."""
    forms = rows.book.forms
    size = int(forms.max(initial=0)) + 1
    keys = np.concatenate(
        [
            rows.pair_rows * size + forms[rows.positives],
            rows.negative_rows * size + forms[rows.negatives],
        ]
    )
    names = np.concatenate([rows.positive_names, rows.negative_names])
    _, numbers = np.unique(keys, return_inverse=True)
    pairs = len(rows.positives)
    named = rows.positive_names >= 0
    with_name = numbers * (int(names.max(initial=-1)) + 2) + names
    renamed: Bool[np.ndarray, " negatives"] = (
        (rows.negative_names >= 0)
        & np.isin(numbers[pairs:], numbers[:pairs][named])
        & ~np.isin(with_name[pairs:], with_name[:pairs][named])
    )
    return renamed


def _letter_by_letter(count: int, exact: int) -> list[str]:
    if exact == count:
        return ["letter by letter"]
    return [f"{exact:,} letter by letter, the others {SAME}" if exact else f"all {SAME}"]
