"""A guess at script and language: scripts by Unicode blocks, Latin script by a vote of frequent words."""

import re
from collections import Counter

import numpy as np

from gistembed.doctor.findings import finding
from gistembed.doctor.numbered import NumberedRows, shown
from gistembed.doctor.shape import SAMPLED_ROWS
from gistembed.record import Finding

# Of a long text, the beginning tells.
_READ = 1_000

_SCRIPTS = {
    "Latin": "A-Za-zªºÀ-ÖØ-öø-ɏḀ-ỿ",
    "Greek": "Ͱ-Ͽἀ-῾",
    "Cyrillic": "Ѐ-ԯ",
    "Hebrew": "א-ת",
    "Arabic": "ء-ۿݐ-ݿ",
    "Devanagari": "ऀ-ॿ",
    "Bengali": "ঀ-৿",
    "Tamil": "஀-௿",
    "Thai": "ก-๛",
    "kana": "ぁ-ヿ",
    "Hangul": "ᄀ-ᇿ가-힣",
    "Han": "㐀-䶿一-鿿",
}
_LETTERS = {script: re.compile(f"[{letters}]") for script, letters in _SCRIPTS.items()}

# The most frequent words of each language; one that several share counts for each of them.
_FREQUENT = {
    "English": "the of and to in a is that it for was with as be by on are this which from or an at have has "
    "not you what how does can do there who when where why",
    "German": "der die das und ist nicht ein eine einer einen mit von zu den dem des auf für sich im auch "
    "werden wird bei sind wie oder aus nach was wer wo war ich es",
    "French": "le la les des et est une dans que qui pour du pas sur par avec au ce il sont plus ne aux "
    "cette ou être comme mais quel quelle comment je nous vous",
    "Spanish": "el la los las de y que en es un una por con para del se no su al lo como más pero son qué "
    "cómo cuál está entre fue",
    "Italian": "il la di e che è un una per non in del della sono con gli le nel alla dei si come da più "
    "anche ma cosa quale questo degli",
    "Portuguese": "o a os as de e que em um uma para com não do da dos das no na por se ao mais como foi "
    "são qual é pelo pela",
    "Dutch": "de het een en van is dat niet op te zijn voor met die aan er om ook als maar bij wat hoe wordt "
    "naar uit werd deze",
    "Swedish": "och att det som en på är av för med den till inte om ett har jag kan var eller från vad hur "
    "ska när",
    "Polish": "i w na nie się z do to jest że o jak po co od za przez są czy ale dla oraz jego który która "
    "być",
    "Turkish": "ve bir bu için ile da de ne olarak daha olan çok gibi en kadar sonra var nasıl değil mi",
}
_WORDS = {language: frozenset(words.split()) for language, words in _FREQUENT.items()}
_WORD = re.compile(r"[^\W\d_]+")
# So many different frequent words, and so many times those of the second: below that, nothing is guessed.
_FEWEST_VOTES, _LEAD = 3, 1.5

_FEWEST_GUESSED = 50


def guess(text: str) -> str | None:
    """The language of a text in Latin script, the script of any other; None where it isn't clear.

    Args:
        text: The text.
    """
    beginning = text[:_READ]
    if beginning.isascii():
        return _vote(beginning)
    counts = {script: len(letters.findall(beginning)) for script, letters in _LETTERS.items()}
    # Japanese writes both, and Chinese no kana at all.
    if counts["kana"] and counts["kana"] >= 0.1 * counts["Han"]:
        counts["kana"] += counts.pop("Han")
    script = max(counts, key=counts.__getitem__)
    if counts[script] <= 0.6 * sum(counts.values()):
        return None
    if script == "Latin":
        return _vote(beginning)
    return {"kana": "Japanese", "Han": "Chinese", "Hangul": "Korean"}.get(script, f"{script} script")


def languages(rows: NumberedRows) -> list[Finding]:
    """Pairs whose two texts seem to be in different languages, and languages that few texts are in."""
    looked = rows.sample(SAMPLED_ROWS)
    ids = np.unique(np.concatenate([looked.anchors, looked.positives]))
    guesses = {text_id: guess(looked.text(text_id)) for text_id in ids.tolist()}
    return [*_crossing(looked, guesses), *_minority(looked, guesses)]


def _crossing(rows: NumberedRows, guesses: dict[int, str | None]) -> list[Finding]:
    compared, crossing = 0, []
    kinds: Counter[tuple[str, str]] = Counter()
    for pair, (anchor, positive) in enumerate(
        zip(rows.pair_anchors.tolist(), rows.positives.tolist(), strict=True)
    ):
        one, other = guesses[anchor], guesses[positive]
        if one is None or other is None:
            continue
        compared += 1
        if one != other:
            crossing.append(pair)
            kinds[one, other] += 1
    share = len(crossing) / max(compared, 1)
    if compared < _FEWEST_GUESSED or share < 0.02:
        return []
    (one, other), _ = kinds.most_common(1)[0]
    which = np.zeros(len(rows.positives), bool)
    which[crossing] = True
    return [
        finding(
            "pair-in-two-languages",
            # Where most pairs do, somebody meant them to.
            "note" if share >= 0.5 else "warning",
            len(crossing),
            compared,
            f"pairs seem to be in two languages, most often {one} → {other} (script/language guess)",
            "Right for search across languages, with a student and a guide that read both; otherwise look "
            "how the columns came together.",
            rows.pair_examples(which),
        )
    ]


def _minority(rows: NumberedRows, guesses: dict[int, str | None]) -> list[Finding]:
    counts = Counter(language for language in guesses.values() if language is not None)
    guessed = counts.total()
    if guessed < _FEWEST_GUESSED or len(counts) < 2:
        return []
    (main, most), *_ = counts.most_common(1)
    others = [
        (language, count) for language, count in counts.most_common()[1:] if count >= max(10, 0.02 * guessed)
    ]
    if not others:
        return []
    listed = ", ".join(f"{language} {count / guessed:.0%}" for language, count in others[:5])
    first_rows = rows.first_rows()
    names = [language for language, _ in others]
    examples = (
        (int(first_rows[text_id]), f"{language}: {shown(rows.text(text_id))}")
        for text_id, language in guesses.items()
        if language in names
    )
    return [
        finding(
            "several-languages",
            "note",
            guessed - most,
            guessed,
            f"texts seem not to be in {main}: {listed} (script/language guess)",
            "Fine if it is meant so and both models read them; see that evaluation data has the same mix.",
            rows.examples(examples),
        )
    ]


def _vote(text: str) -> str | None:
    words = frozenset(_WORD.findall(text.casefold()))
    votes = sorted((len(words & frequent), language) for language, frequent in _WORDS.items())
    (second, _), (most, language) = votes[-2:]
    return language if most >= _FEWEST_VOTES and most >= _LEAD * second else None
