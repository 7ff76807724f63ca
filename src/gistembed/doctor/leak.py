"""What gives the answer away: labels inside texts, and evaluation data inside training data."""

import re
from collections import Counter
from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool

from gistembed.doctor.findings import finding, graded
from gistembed.doctor.near import NearTexts
from gistembed.doctor.numbered import EXAMPLES, NumberedRows, shown
from gistembed.doctor.shape import SAMPLED_ROWS
from gistembed.record import Finding, FindingExample

# A shorter text stands inside another by chance.
_SHORTEST_COPY = 15
_FEWEST_TO_SEPARATE = 50
_SEPARATES = 0.9
_LABEL = re.compile(r"\s*(\S{1,20}(?: \S{1,20}){0,2}:)\s")


def contained_texts(rows: NumberedRows) -> list[Finding]:
    """Pairs in which one text holds the other letter by letter."""
    inside = np.zeros((2, len(rows.positives)), bool)
    strings = rows.book.strings
    for pair, (anchor, positive) in enumerate(
        zip(rows.pair_anchors.tolist(), rows.positives.tolist(), strict=True)
    ):
        one, other = strings[anchor], strings[positive]
        if len(one) < len(other):
            inside[0, pair] = len(one) >= _SHORTEST_COPY and one in other
        elif len(other) < len(one):
            inside[1, pair] = len(other) >= _SHORTEST_COPY and other in one
    findings = []
    for which, code, what in zip(
        inside,
        ("anchor-in-positive", "positive-in-anchor"),
        ("positives hold their anchor letter by letter", "anchors hold their positive letter by letter"),
        strict=True,
    ):
        count = int(which.sum())
        if count < 0.1 * len(which) or not count:
            continue
        findings.append(
            finding(
                code,
                graded(count / len(which), warning=0.3),
                count,
                len(which),
                what,
                "A student can learn to look for the same letters instead of the meaning. Take the copy out "
                "(often a title), unless texts will look so in use.",
                rows.pair_examples(which),
            )
        )
    return findings


def labels(rows: NumberedRows) -> list[Finding]:
    """Words that alone tell positives from negatives, and labels that nearly all texts begin with."""
    looked = rows.sample(SAMPLED_ROWS)
    return [*_separating_words(looked), *_leading_labels(looked)]


def _separating_words(rows: NumberedRows) -> list[Finding]:
    sides = {"positives": np.unique(rows.positives).tolist(), "negatives": np.unique(rows.negatives).tolist()}
    if min(map(len, sides.values())) < _FEWEST_TO_SEPARATE:
        return []
    signs = {side: _signs(rows, text_ids) for side, text_ids in sides.items()}
    shares = {
        sign: {side: signs[side][sign] / len(text_ids) for side, text_ids in sides.items()}
        for sign in signs["positives"].keys() | signs["negatives"].keys()
    }
    # One sign is enough to give the answer away; the strongest one is shown.
    sign = min(shares, key=lambda sign: (-abs(shares[sign]["positives"] - shares[sign]["negatives"]), sign))
    side, other = sorted(sides, key=lambda side: -shares[sign][side])
    if shares[sign][side] - shares[sign][other] < _SEPARATES:
        return []
    where, text = sign
    told = f"hold the word {shown(text, 30)!r}" if where == "word" else f"end with {text!r}"
    first_rows = rows.first_rows()
    return [
        finding(
            "label-in-text",
            "error",
            signs[side][sign],
            len(sides[side]),
            f"{side} {told}, but only {signs[other][sign]:,} of {len(sides[other]):,} {other} do",
            "That alone tells them apart, so a student need not read the rest. Take it out, or write it into "
            "both.",
            rows.examples(
                (int(first_rows[sides[name][0]]), f"{name}: {shown(rows.text(sides[name][0]))}")
                for name in sides
            ),
        )
    ]


def _signs(rows: NumberedRows, text_ids: Iterable[int]) -> Counter[tuple[str, str]]:
    """In how many texts each word stands, and each last character that is no letter or digit."""
    words: Counter[str] = Counter()
    ends: Counter[str] = Counter()
    for text_id in text_ids:
        text = rows.text(text_id).strip()
        words.update(set(text.casefold().split()))
        ends[text[-1:]] += 1
    return Counter(
        {("word", word): count for word, count in words.items()}
        | {("end", end): count for end, count in ends.items() if not end.isalnum()}
    )


def _leading_labels(rows: NumberedRows) -> list[Finding]:
    findings = []
    for role, ids in (("anchor", rows.anchors), ("positive", rows.positives)):
        distinct = np.unique(ids)
        if len(distinct) < _FEWEST_TO_SEPARATE:
            continue
        starts = Counter(
            match[1] for text_id in distinct.tolist() if (match := _LABEL.match(rows.text(text_id)))
        )
        label, count = starts.most_common(1)[0] if starts else ("", 0)
        if count < 0.9 * len(distinct):
            continue
        findings.append(
            finding(
                f"label-before-{role}",
                "note",
                count,
                len(distinct),
                f"{role}s begin with {shown(label, 60)!r}",
                "If that is a prompt, take it out of the texts and give it as the model's prompt, so that "
                "student and guide each read their own.",
            )
        )
    return findings


def overlap(rows: NumberedRows, evaluation: NumberedRows, near: NearTexts | None) -> list[Finding]:
    """Texts of the evaluation data that stand in the training data too.

    Args:
        rows: The rows to train on.
        evaluation: The rows to evaluate on, in the same book.
        near: Texts that are nearly the same, if they were looked for.
    """
    if not len(evaluation):
        return []
    forms = rows.book.forms
    in_training = np.isin(forms[evaluation.anchors], forms[rows.anchors])
    size = int(forms.max(initial=0)) + 1
    same_pair = np.isin(
        forms[evaluation.pair_anchors] * size + forms[evaluation.positives],
        forms[rows.pair_anchors] * size + forms[rows.positives],
    )
    positives = np.isin(forms[evaluation.positives], forms[rows.positives])
    findings = []
    if count := int(in_training.sum()):
        rows_with_pair = len(np.unique(evaluation.pair_rows[same_pair]))
        findings.append(
            finding(
                "evaluation-anchor-in-training",
                graded(count / len(in_training), error=0.01),
                count,
                len(in_training),
                f"evaluation anchors are anchors of the training data too ({rows_with_pair:,} with a "
                "positive in common)",
                "Scores on them measure memory. Leave them out of one of the two; `gistembed fit --eval` "
                "leaves them out of training.",
                _row_examples(evaluation, in_training),
            )
        )
    if near is not None and (count := int((close := _near_anchors(rows, evaluation, near)).sum())):
        findings.append(
            finding(
                "evaluation-anchor-near-training",
                graded(count / len(close), warning=0.01),
                count,
                len(close),
                "evaluation anchors are nearly the same text as an anchor of the training data",
                "Scores on them measure memory. Leave them out of one of the two.",
                _row_examples(evaluation, close),
            )
        )
    if count := int(positives.sum()):
        findings.append(
            finding(
                "evaluation-positive-in-training",
                "note",
                count,
                len(positives),
                "evaluation positives are positives of the training data too",
                "That is usual where both search the same documents; scores say less about documents that "
                "are new.",
                evaluation.pair_examples(positives),
            )
        )
    return findings


def _near_anchors(rows: NumberedRows, evaluation: NumberedRows, near: NearTexts) -> Bool[np.ndarray, " rows"]:
    forms, groups = rows.book.forms, near.groups
    of_training = groups[rows.anchors]
    close = np.isin(groups[evaluation.anchors], of_training[of_training >= 0])
    not_same: Bool[np.ndarray, " rows"] = close & ~np.isin(forms[evaluation.anchors], forms[rows.anchors])
    return not_same


def _row_examples(rows: NumberedRows, which: Bool[np.ndarray, " rows"]) -> tuple[FindingExample, ...]:
    return rows.examples(
        (row, shown(rows.text(int(rows.anchors[row])))) for row in np.flatnonzero(which)[:EXAMPLES].tolist()
    )
