"""The shape of columns: which way round they are, how long their texts are, whether they say anything."""

import re

import numpy as np
from jaxtyping import Int64

from gistembed.doctor.findings import finding, graded
from gistembed.doctor.numbered import EXAMPLES, NumberedRows, shown
from gistembed.record import Finding

# Shares are estimated from so many rows; that is within one percentage point.
SAMPLED_ROWS = 20_000
_FEWEST_FOR_SHARES = 20

# Fewer rows than this teach a model little and are too few to tell whether they did.
_FEW_PAIRS = 100
_FEWEST_PAIRS = 2

_QUESTION_WORDS = (
    # English, German, French, Spanish, Italian, Portuguese, Dutch. Words that often begin statements as well
    # ("when", "where", "wenn", "como") are left out.
    "what|what's|who|who's|whose|why|how|which"
    "|was|wer|wie|wo|warum|weshalb|welche|welcher|welches|wieviel"
    "|qui|que|quoi|où|pourquoi|comment|combien|quel|quelle|quels|quelles"
    "|qué|quién|cómo|cuándo|dónde|cuál|cuánto|cuántos"
    "|cosa|chi|perché|quando|quale|quanto|quanti"
    "|quem|qual|quais|quantos|wat|wie|waarom|hoe|welk|hoeveel"
)
_STARTS_AS_QUESTION = re.compile(rf"(?:{_QUESTION_WORDS})\s", re.IGNORECASE)
_ENDS_AS_QUESTION = ("?", "？", "؟", "か。", "吗", "呢")
_ENDS_AS_STATEMENT = (".", "!", "。", ":", "।")

# What is left in text when a missing value was turned into a string.
_PLACEHOLDERS = {"nan", "null", "none", "n/a", "na", "#n/a", "undefined", "nil", "<na>", "nat", "[]", "{}"}


def reversed_columns(rows: NumberedRows) -> list[Finding]:
    """Signs that anchors and positives stand in each other's place."""
    looked = rows.sample(SAMPLED_ROWS)
    pairs = len(looked.positives)
    if pairs < _FEWEST_FOR_SHARES:
        return []
    lengths = looked.book.lengths
    ratio = float(np.median(lengths[looked.pair_anchors]) / np.median(lengths[looked.positives]))
    asking_anchors = np.array([is_question(looked.text(text_id)) for text_id in looked.pair_anchors.tolist()])
    asking = np.array([is_question(looked.text(text_id)) for text_id in looked.positives.tolist()])
    turned = asking & ~asking_anchors
    ask = turned.mean() >= 0.5 and asking_anchors.mean() <= 0.1
    if not ask and ratio < 4:
        return []
    what = [f"the median anchor has {ratio:.1f} times as many characters as the median positive"]
    if ask:
        what.insert(0, "pairs have a question as the positive but none as the anchor")
    return [
        finding(
            "reversed-columns",
            "error" if ask and ratio > 1 else "warning",
            int(turned.sum()) if ask else pairs,
            pairs,
            "; ".join(what) if ask else f"pairs: {what[0]}",
            "If the columns are the wrong way round, say so: --columns anchor=NAME,positive=NAME.",
            looked.pair_examples(turned if ask else np.ones(pairs, bool)),
        )
    ]


def is_question(text: str) -> bool:
    """Whether a text looks like a question, by its last sign or its first word."""
    text = text.strip()
    if text.endswith(_ENDS_AS_QUESTION):
        return True
    return not text.endswith(_ENDS_AS_STATEMENT) and _STARTS_AS_QUESTION.match(text) is not None


def extreme_texts(rows: NumberedRows) -> list[Finding]:
    """Texts that say nothing, and texts far longer than the others of their column."""
    return [*_empty_words(rows), *_far_longer(rows)]


def _empty_words(rows: NumberedRows) -> list[Finding]:
    strings, lengths = rows.book.strings, rows.book.lengths
    short = lengths <= max(map(len, _PLACEHOLDERS)) + 2
    says_nothing = np.zeros(len(strings), bool)
    for text_id in np.flatnonzero(short).tolist():
        text = strings[text_id].strip().casefold()
        says_nothing[text_id] = text in _PLACEHOLDERS or not any(sign.isalnum() for sign in text)
    found = [
        *((row, "anchor", text_id) for row, text_id in _holding(rows.anchors, says_nothing)),
        *(
            (int(rows.pair_rows[pair]), "positive", text_id)
            for pair, text_id in _holding(rows.positives, says_nothing)
        ),
    ]
    if not found:
        return []
    of = len(rows.anchors) + len(rows.positives)
    return [
        finding(
            "placeholder",
            graded(len(found) / of, warning=0.001, error=0.05),
            len(found),
            of,
            "anchors or positives hold no letter or digit, or what a missing value leaves ('nan', 'null')",
            "Drop these rows, or fill them from the original.",
            rows.examples((row, f"{role}: {shown(rows.text(text_id))}") for row, role, text_id in found),
        )
    ]


def _holding(ids: Int64[np.ndarray, " texts"], wanted: np.ndarray) -> list[tuple[int, int]]:
    positions = np.flatnonzero(wanted[ids])
    return list(zip(positions.tolist(), ids[positions].tolist(), strict=True))


def _far_longer(rows: NumberedRows) -> list[Finding]:
    findings = []
    for role, ids, of_rows in rows.by_role():
        if len(ids) < _FEWEST_FOR_SHARES:
            continue
        lengths = rows.book.lengths[ids]
        usual = float(np.quantile(lengths, 0.95))
        limit = max(20 * usual, 2_000)
        longer = lengths > limit
        if not longer.any():
            continue
        longest_first = np.flatnonzero(longer)[np.argsort(-lengths[longer], kind="stable")]
        findings.append(
            finding(
                f"{role}-far-longer",
                "note",
                int(longer.sum()),
                len(ids),
                f"{role}s are longer than {limit:,.0f} characters, while 95 % have at most {usual:,.0f}",
                "Look whether something ran together, such as a quote that was never closed.",
                rows.examples(
                    (
                        int(of_rows[place]),
                        f"{lengths[place]:,} characters: {shown(rows.text(int(ids[place])))}",
                    )
                    for place in longest_first[:EXAMPLES].tolist()
                ),
            )
        )
    return findings


def constant_columns(rows: NumberedRows) -> list[Finding]:
    """Columns in which one text stands nearly everywhere."""
    findings = []
    for role, ids, of_rows in rows.by_role():
        if len(ids) < _FEWEST_FOR_SHARES:
            continue
        forms = rows.book.forms[ids]
        counts = np.bincount(forms)
        number = int(counts.argmax())
        count = int(counts[number])
        if count < 0.5 * len(ids):
            continue
        first = int(np.argmax(forms == number))
        findings.append(
            finding(
                f"constant-{role}",
                "warning" if role == "negative" else graded(count / len(ids), error=0.9),
                count,
                len(ids),
                f"{role}s are one and the same text",
                f"Look whether the right column was taken as the {role}.",
                rows.examples([(int(of_rows[first]), shown(rows.text(int(ids[first]))))]),
            )
        )
    return findings


def few_pairs(rows: NumberedRows) -> list[Finding]:
    """Too few pairs to learn from."""
    pairs = len(rows.positives)
    if pairs >= _FEW_PAIRS:
        return []
    return [
        finding(
            "few-pairs",
            "error" if pairs < _FEWEST_PAIRS else "warning",
            pairs,
            max(pairs, 1),
            "pairs are all there is",
            f"Every other pair of a batch is a negative, so at least {_FEWEST_PAIRS} are needed; "
            f"below {_FEW_PAIRS}, no difference that training makes can be told from chance.",
        )
    ]


def unreadable_rows(rows: NumberedRows, *, evaluation: bool = False) -> list[Finding]:
    """Rows that are no pair: empty or missing texts, numbers, lists of other things.

    Args:
        rows: The rows.
        evaluation: Whether these are the rows to evaluate on, which nobody mends.
    """
    if not rows.unreadable:
        return []
    remedy = "." if evaluation else ", or leave them out: `gistembed data doctor --fix`."
    return [
        finding(
            "evaluation-unreadable-row" if evaluation else "unreadable-row",
            "error",
            rows.unreadable,
            rows.unreadable + len(rows),
            f"{'evaluation ' if evaluation else ''}rows can't be read",
            f"`gistembed fit` refuses the file at the first of them. Mend them in the original{remedy}",
            rows.problem_examples(),
            fixable=not evaluation,
        )
    ]
