"""The demo's data: what is read from PubMed XML, how it is split, and what goes wrong in words."""

import gzip
import importlib.util
import io
import json
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from zipfile import ZipFile

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from gistembed.errors import UserError

SCRIPT = Path(__file__).parents[2] / "demo" / "prepare.py"


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("demo_prepare", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


prepare = load_script()

ARTICLE = """
<PubmedArticle><MedlineCitation><Article>
  <ArticleTitle>{title}</ArticleTitle>
  <Abstract>
    <AbstractText Label="AIM">{abstract}</AbstractText><AbstractText>The end.</AbstractText>
  </Abstract>
</Article><MeshHeadingList>{headings}</MeshHeadingList></MedlineCitation></PubmedArticle>
"""
MAJOR = '<MeshHeading><DescriptorName MajorTopicYN="Y">{}</DescriptorName></MeshHeading>'
MAJOR_BY_QUALIFIER = (
    '<MeshHeading><DescriptorName MajorTopicYN="N">{}</DescriptorName>'
    '<QualifierName MajorTopicYN="Y">metabolism</QualifierName></MeshHeading>'
)
MINOR = '<MeshHeading><DescriptorName MajorTopicYN="N">{}</DescriptorName></MeshHeading>'


def article(title: str, *headings: str, abstract: str = "An aim.") -> str:
    return ARTICLE.format(title=title, abstract=abstract, headings="".join(headings))


def pubmed(*articles: str) -> io.BytesIO:
    return io.BytesIO(f"<PubmedArticleSet>{''.join(articles)}</PubmedArticleSet>".encode())


def citation(title: str, *topics: str, abstract: str = ""):
    return prepare.Citation(title, abstract, frozenset(topics))


def wheel_of(members: dict[str, bytes]) -> ZipFile:
    buffer = io.BytesIO()
    with ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return ZipFile(buffer)


def test_a_citation_is_its_plain_text_and_its_major_topics():
    xml = pubmed(
        article(
            "Effect of <i>E. coli</i> on\n mice &amp; men.",
            MAJOR.format("Mice"),
            MAJOR_BY_QUALIFIER.format("Zinc"),
            MINOR.format("Male"),
        )
    )
    assert list(prepare.read_citations(xml)) == [
        prepare.Citation("Effect of E. coli on mice & men.", "An aim. The end.", frozenset({"Mice", "Zinc"}))
    ]


def test_translated_and_very_short_titles_are_left_out():
    xml = pubmed(
        article("[A study of the liver]."), article("In memoriam."), article("A study of the heart.")
    )
    assert [found.title for found in prepare.read_citations(xml)] == ["A study of the heart."]


def test_a_title_that_comes_again_in_another_case_is_kept_once():
    citations = [citation("Zinc in the liver.", "A"), citation("Zinc in the Liver", "B"), citation("Other")]
    assert prepare.distinct_titles(citations) == [citations[0], citations[2]]


def test_a_citation_stands_under_its_rarest_medium_topic():
    """`Rare` is below the sizes and `Common` above them, so neither is chosen."""
    citations = [
        citation("1", "Common", "Big", "Small", "Rare"),
        citation("2", "Common", "Big", "Small"),
        citation("3", "Common", "Big"),
        citation("4", "Common"),
    ]
    topics = prepare.titles_by_topic(citations, range(2, 4), 10)
    assert topics == {"Small": ["1", "2"], "Big": ["3"]}


def test_the_topics_with_most_titles_are_kept_and_ties_go_by_name():
    citations = [citation(f"{topic}{i}", topic) for topic in "CBA" for i in range(3)] + [citation("A3", "A")]
    assert list(prepare.titles_by_topic(citations, range(1, 9), 2)) == ["A", "B"]


TOPICS = st.lists(st.integers(4, 12), min_size=1, max_size=6).map(
    lambda sizes: {f"topic {t}": [f"{t}.{i}" for i in range(size)] for t, size in enumerate(sizes)}
)


@given(by_topic=TOPICS, seed=st.integers(0, 99))
def test_no_title_is_on_both_sides_and_none_is_lost(by_topic, seed):
    train, evaluation = prepare.split_titles(by_topic, 1 / 6, random.Random(seed))
    for titles, trained, held_out in zip(by_topic.values(), train, evaluation, strict=True):
        assert sorted(trained + held_out) == sorted(titles)
        assert len(held_out) == 2
        assert len(trained) >= 2


@given(by_topic=TOPICS, seed=st.integers(0, 99))
def test_each_train_title_is_once_an_anchor_and_once_a_positive_of_its_own_topic(by_topic, seed):
    rows = prepare.train_rows(by_topic.values(), random.Random(seed))
    titles = Counter(title for topic in by_topic.values() for title in topic)
    assert Counter(row["anchor"] for row in rows) == titles
    assert Counter(row["positive"] for row in rows) == titles
    for row in rows:
        assert row["anchor"] != row["positive"]
        assert row["anchor"].split(".")[0] == row["positive"].split(".")[0]


def test_a_query_has_all_other_titles_of_its_topic():
    assert prepare.eval_rows([["a", "b", "c"], ["x", "y"]]) == [
        {"anchor": "a", "positive": ["b", "c"]},
        {"anchor": "b", "positive": ["a", "c"]},
        {"anchor": "c", "positive": ["a", "b"]},
        {"anchor": "x", "positive": ["y"]},
        {"anchor": "y", "positive": ["x"]},
    ]


def test_abstract_pairs_hold_each_text_once_and_no_short_abstract():
    long = " ".join(["word"] * prepare.SHORTEST_ABSTRACT_WORDS)
    citations = [
        citation("1", abstract=f"{long} one"),
        citation("2", abstract=f"{long} one"),
        citation("3", abstract="word"),
        citation("4", abstract=f"{long} four"),
    ]
    assert sorted(prepare.abstract_pairs(citations, 9, random.Random(0))) == [
        ("2", f"{long} one"),
        ("4", f"{long} four"),
    ]
    assert len(prepare.abstract_pairs(citations, 1, random.Random(0))) == 1


def test_pubmed_becomes_three_files(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(prepare, "TOPIC_SIZES", range(4, 9))
    articles = [
        article(
            f"The {topic} title number {i}.", MAJOR.format(topic), abstract=f"{topic} {i} " + "word " * 40
        )
        for topic in ("liver", "heart")
        for i in range(6)
    ]
    packed = gzip.compress(pubmed(*articles).getvalue())
    prepare.build_pubmed(wheel_of({"data/small.xml.gz": packed, "data/readme.txt": b""}), tmp_path)

    train, evaluation = (
        [json.loads(line) for line in (tmp_path / "pubmed-topics" / name).read_text().splitlines()]
        for name in ("train.jsonl", "eval.jsonl")
    )
    assert (len(train), len(evaluation)) == (8, 4)
    assert not {row["anchor"] for row in train} & {row["anchor"] for row in evaluation}
    lines = (tmp_path / "pubmed-abstracts" / "pairs.csv").read_text().splitlines()
    assert (lines[0], len(lines)) == ("title,abstract", 13)
    assert (
        "2 topics, 8 titles to train on, 4 to evaluate with; 12 titles with abstract"
        in capsys.readouterr().out
    )


def test_token_vectors_become_a_static_model(tmp_path):
    """A text's embedding is the mean of its tokens' vectors, without the special tokens of the file."""
    tokenizer = Tokenizer(WordLevel({"<s>": 0, "a": 1, "b": 2}, unk_token="<s>"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    vectors = torch.tensor([[100.0, 100.0], [1.0, 0.0], [0.0, 3.0]], dtype=torch.float16)
    wheel = wheel_of(
        {
            "wordllama/weights/l2_supercat_256.safetensors": save({"embedding.weight": vectors}),
            "wordllama/tokenizers/l2_supercat_tokenizer_config.json": tokenizer.to_str().encode(),
        }
    )
    prepare.build_wordllama(wheel, tmp_path)
    model = SentenceTransformer(str(tmp_path / "models/wordllama-256"), device="cpu")
    assert model.encode(["a b", "b"]).tolist() == [[0.5, 1.5], [0.0, 3.0]]


def test_only_files_below_the_prefix_are_unpacked(tmp_path):
    prepare.extract(
        wheel_of({"p/model/a/b.txt": b"yes", "p/model/": b"", "p/other.txt": b"no"}), "p/model", tmp_path
    )
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")] == ["a/b.txt"]


@pytest.mark.parametrize("name", ["p/../../evil.txt", "p/..\\evil.txt"])
def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path, name):
    with pytest.raises(UserError) as caught:
        prepare.extract(wheel_of({name: b"x"}), "p", tmp_path)
    assert str(caught.value).endswith(f"unsafe file name {name!r}; nothing was unpacked from it.")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("stderr", "line"),
    [
        (
            "WARNING: Retrying (NewConnectionError(...))\nERROR: No matching distribution found for x==1",
            "x==1: the package index can't be reached. Check the network and run again.",
        ),
        (
            "ERROR: No matching distribution found for x==1\n",
            "x==1: the package index does not have it. Check `pip config list` and run again.",
        ),
        ("one\nERROR: disk is full\n\n", "x==1: pip can't fetch it: ERROR: disk is full"),
        ("", "x==1: pip can't fetch it: it gave no reason"),
    ],
)
def test_a_failed_download_is_one_line(monkeypatch, tmp_path, stderr, line):
    failed = subprocess.CompletedProcess([], 1, stdout="", stderr=stderr)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(UserError) as caught:
        prepare.download("x==1", tmp_path)
    assert str(caught.value) == line


def fake_download(requirement: str, folder: Path) -> Path:
    path = folder / "x.whl"
    with ZipFile(path, "w") as archive:
        archive.writestr("text.txt", requirement)
    return path


def build_one(wheel: ZipFile, folder: Path) -> None:
    prepare.extract(wheel, ".", folder / "deep/one")


def test_what_is_there_is_not_made_again(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(prepare, "download", fake_download)
    source = prepare.Source("x==1", ("deep/one",), build_one)
    prepare.prepare(tmp_path, [source])
    prepare.prepare(tmp_path, [source])
    assert (tmp_path / "deep/one/text.txt").read_text() == "x==1"
    assert "U.S. National Library of Medicine" in (tmp_path / "SOURCES.md").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["SOURCES.md", "deep"]
    assert capsys.readouterr().out == "deep/one: fetching x==1\ndeep/one: there already\n"


def test_an_interrupted_build_leaves_nothing_under_the_final_name(monkeypatch, tmp_path):
    def fail(wheel: ZipFile, folder: Path) -> None:
        build_one(wheel, folder)
        raise KeyboardInterrupt

    monkeypatch.setattr(prepare, "download", fake_download)
    with pytest.raises(KeyboardInterrupt):
        prepare.prepare(tmp_path, [prepare.Source("x==1", ("deep/one",), fail)])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["SOURCES.md"]


def test_the_script_ends_with_one_line_and_code_2(monkeypatch, tmp_path, capsys):
    def refuse(requirement: str, _: Path) -> Path:
        raise UserError(f"{requirement}: no.")

    monkeypatch.setattr(prepare, "download", refuse)
    monkeypatch.setattr(sys, "argv", ["prepare.py", str(tmp_path)])
    with pytest.raises(SystemExit) as caught:
        prepare.main()
    assert caught.value.code == 2
    assert capsys.readouterr().err == "error: wordllama==0.4.0.post1: no.\n"
