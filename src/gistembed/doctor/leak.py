"""What gives the answer away: labels inside texts, and evaluation data inside training data."""

import re
from collections import Counter
from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool

from gistembed.doctor.findings import Example, Finding, finding, graded
from gistembed.doctor.near import NearTexts
from gistembed.doctor.numbered import EXAMPLES, NumberedRows, shown
from gistembed.doctor.shape import SAMPLED_ROWS

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
    positives, negatives = np.unique(rows.positives), np.unique(rows.negatives)
    if min(len(positives), len(negatives)) < _FEWEST_TO_SEPARATE:
        return []
    of_positives = _document_frequencies(rows, positives.tolist())
    of_negatives = _document_frequencies(rows, negatives.tolist())
    separating = []
    for word in of_positives.keys() | of_negatives.keys():
        difference = of_positives[word] / len(positives) - of_negatives[word] / len(negatives)
        if abs(difference) >= _SEPARATES:
            separating.append((-abs(difference), word))
    if not separating:
        return []
    # One sign is enough to give the answer away; the strongest one is shown.
    _, word = min(separating)
    in_positives, in_negatives = of_positives[word], of_negatives[word]
    examples = []
    for text_id in rows.positives.tolist()[:1] + rows.negatives.tolist()[:1]:
        examples.append((0, shown(rows.text(text_id))))
    return [
        finding(
            "label-in-text",
            "error",
            max(in_positives, in_negatives),
            len(positives) if in_positives > in_negatives else len(negatives),
            f"{'positives' if in_positives > in_negatives else 'negatives'} {word}, but "
            f"{min(in_positives, in_negatives):,} of "
            f"{len(negatives) if in_positives > in_negatives else len(positives):,} "
            f"{'negatives' if in_positives > in_negatives else 'positives'}",
            "That alone tells them apart, so a student need not read the rest. Take it out, or write it into "
            "both.",
            rows.examples(examples),
        )
    ]


def _document_frequencies(rows: NumberedRows, text_ids: Iterable[int]) -> Counter[str]:
    """In how many texts each word stands, and each last sign."""
    counts: Counter[str] = Counter()
    for text_id in text_ids:
        text = rows.text(text_id).strip()
        counts.update({f"hold the word {shown(word, 30)!r}" for word in text.casefold().split()})
        if not text[-1:].isalnum():
            counts[f"end with {text[-1:]!r}"] += 1
    return counts


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


def _row_examples(rows: NumberedRows, which: Bool[np.ndarray, " rows"]) -> tuple[Example, ...]:
    return rows.examples(
        (row, shown(rows.text(int(rows.anchors[row])))) for row in np.flatnonzero(which)[:EXAMPLES].tolist()
    )
