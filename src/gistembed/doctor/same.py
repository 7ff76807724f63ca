"""Texts that stand where the same text stands already: repeats, contradictions, and hubs."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64, UInt64

from gistembed.doctor.findings import finding, graded
from gistembed.doctor.numbered import EXAMPLES, NumberedRows, shown
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
    size = int(numbers.max(initial=0)) + 1
    anchors, positives, negatives = numbers[rows.anchors], numbers[rows.positives], numbers[rows.negatives]
    anchor = anchors[rows.negative_rows] == negatives
    positive = np.isin(rows.negative_rows * size + negatives, rows.pair_rows * size + positives) & ~anchor
    known = np.isin(
        anchors[rows.negative_rows] * size + negatives, anchors[rows.pair_rows] * size + positives
    )
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
    """For each pair, the first pair with the same anchor, positive and negatives; -1 if it is the first.

    The order of negatives doesn't matter. Pairs are compared by 64-bit sums of scattered numbers.

    Args:
        rows: The rows.
        numbers: A number for each text; texts with equal numbers are the same text.
        pairs: The pairs to look at; all by default. The others get -1.
        negatives: The negatives to look at; all by default.
    """
    scattered = _scatter(numbers)
    weights = scattered[rows.negatives]
    if negatives is not None:
        weights = np.where(negatives, weights, np.uint64(0))
    # Sums may run over: differences of running sums are right modulo 2^64.
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(weights, dtype=np.uint64)])
    of_rows = sums[rows.negative_offsets[1:]] - sums[rows.negative_offsets[:-1]]
    keys = (
        scattered[rows.pair_anchors]
        + _scatter(scattered[rows.positives])
        + _scatter(of_rows + np.uint64(1))[rows.pair_rows]
    )
    which = np.arange(len(keys)) if pairs is None else np.flatnonzero(pairs)
    _, first, inverse = np.unique(keys[which], return_index=True, return_inverse=True)
    earlier = np.full(len(keys), -1, np.int64)
    first_of = which[first[inverse]]
    earlier[which] = np.where(first_of < which, first_of, -1)
    return earlier


def repeated_negatives(
    rows: NumberedRows, leaves: Bool[np.ndarray, " negatives"]
) -> Bool[np.ndarray, " negatives"]:
    """Negatives whose text stands as a negative in their row already.

    Args:
        rows: The rows.
        leaves: Negatives that don't count.
    """
    forms = rows.book.forms
    stays = np.flatnonzero(~leaves)
    keys = rows.negative_rows * (int(forms.max(initial=0)) + 1) + forms[rows.negatives]
    _, first = np.unique(keys[stays], return_index=True)
    repeated = ~leaves
    repeated[stays[first]] = False
    return repeated


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
            f"pairs share {len(hub_forms):,} positives, each of them with "
            f"{_HUB_SHARE:.0%} of all pairs or more",
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


def _scatter(
    numbers: Int64[np.ndarray, " numbers"] | UInt64[np.ndarray, " numbers"],
) -> UInt64[np.ndarray, " numbers"]:
    """Numbers spread over 64 bits so that sums of them tell sets apart (the finaliser of splitmix64)."""
    mixed = numbers.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
