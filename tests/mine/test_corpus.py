"""Further documents: which texts they are, and where each is said to stand."""

import json

import datasets
import numpy as np
import pytest
from tests.pairs.pairs_samples import WRITERS

from gistembed.errors import UserError
from gistembed.mine import read_corpus
from gistembed.pairs import read_pairs


@pytest.fixture
def pairs():
    return read_pairs(
        datasets.Dataset.from_dict({"query": ["red", "blue"], "positive": ["a rose", "the sky"]})
    )


def documents(corpus):
    return [corpus.documents.texts[text_id] for text_id in corpus.documents.positives]


@pytest.mark.parametrize("name", WRITERS)
def test_one_column_of_texts(tmp_path, pairs, name):
    """A text of the pairs is no new document, one that is only an anchor is; none is there twice."""
    table = {"whatever": ["green", "a rose", "red", "green", "grass"]}
    corpus = read_corpus(WRITERS[name](tmp_path / name, table), pairs)
    assert sorted(documents(corpus)) == ["grass", "green", "red"]
    assert corpus.documents.texts is pairs.texts
    places = dict(zip(documents(corpus), corpus.documents.places.tolist(), strict=True))
    lines = name.endswith(("csv", "tsv"))
    assert places == {"green": 1 + lines, "red": 3 + lines, "grass": 5 + lines}


@pytest.mark.parametrize("name", WRITERS)
def test_rows_that_fill_their_blocks(tmp_path, pairs, name, monkeypatch):
    """After exactly 10,000 rows, or a multiple, JSON Lines end with a block of none: it ended the command."""
    for module in ("text_files", "arrow_tables"):
        monkeypatch.setattr(f"gistembed.pairs.sources.{module}.BLOCK_ROWS", 2)
    source = WRITERS[name](tmp_path / name, {"text": ["green", "grass", "snow", "white"]})
    assert sorted(documents(read_corpus(source, pairs))) == ["grass", "green", "snow", "white"]


def test_a_named_column_with_lists(pairs):
    source = datasets.Dataset.from_dict({"id": ["1", "2"], "texts": [["green", "grass"], ["red", "green"]]})
    assert sorted(documents(read_corpus(source, pairs, column="texts"))) == ["grass", "green", "red"]


def test_other_pairs(pairs):
    """Their anchors are no documents; what they know of an anchor of ours is known."""
    table = {"query": ["green", "red"], "positive": ["grass", "the sky"], "negative": ["snow", None]}
    corpus = read_corpus(datasets.Dataset.from_dict(table), pairs)
    assert sorted(documents(corpus)) == ["grass", "snow"]
    red, sky = (pairs.texts.id_of(text) for text in ("red", "the sky"))
    assert corpus.known.of(red).tolist() == [sky]
    assert corpus.known.of(pairs.texts.id_of("blue")).tolist() == []


def test_nothing_new(pairs):
    assert len(read_corpus(datasets.Dataset.from_dict({"text": ["a rose"]}), pairs).documents) == 0


def test_titles_and_ids_belong_to_the_texts(pairs):
    """A corpus of BEIR gave the bare bodies: a positive came back as another text, without its id."""
    with_titles = read_pairs(
        datasets.Dataset.from_list(
            [{"query": "q", "positive_passages": [{"docid": "1", "title": "T", "text": "body"}]}]
        )
    )
    table = {
        "_id": ["1", "2", "3", ""],
        "title": ["T", "", "Alone", "U"],
        "text": ["body", "bare", "", "nameless"],
    }
    corpus = read_corpus(datasets.Dataset.from_dict(table), with_titles, column="text")
    assert sorted(documents(corpus)) == ["Alone", "U nameless", "bare"]
    names = corpus.documents.names["document"]
    numbers = {name: with_titles.texts[text_id] for name, text_id in names.by_id.items()}
    assert numbers == {"1": "T body", "2": "bare", "3": "Alone"}


def test_what_the_pairs_have_without_its_title_is_no_new_document(pairs):
    """Otherwise a positive would be offered as a negative, for the title before it."""
    table = {"title": ["Flowers", "Weather"], "text": ["a rose", "rain"]}
    corpus = read_corpus(datasets.Dataset.from_dict(table), pairs, column="text")
    assert documents(corpus) == ["Weather rain"]
    # Of the corpus itself, a text with another title is another document.
    table = {"title": ["A", None], "text": ["rain", "rain"]}
    corpus = read_corpus(datasets.Dataset.from_dict(table), pairs, column="text")
    assert sorted(documents(corpus)) == ["A rain", "rain"]


def test_objects_have_titles_and_ids_of_their_own(tmp_path, pairs):
    path = tmp_path / "corpus.jsonl"
    row = {"id": 7, "title": "other", "texts": [{"docid": "d", "title": "T", "text": "x"}, "y"]}
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    corpus = read_corpus(path, pairs, column="texts")
    assert sorted(documents(corpus)) == ["T x", "y"]
    assert corpus.documents.names["document"].ids == ("d",)
    assert np.array_equal(corpus.documents.places, [1, 1])


@pytest.mark.parametrize(
    ("content", "column", "message"),
    [
        ("id,body\n1,a\n", None, "no column is known as that of the texts. The columns are 'id', 'body'; "
         "say which with --corpus-column NAME."),
        ("id,body\n1,a\n", "text", "there is no column 'text'. The columns are 'id', 'body'."),
        ("text\n", None, "there are no rows."),
        ("query,doc,label\na,b,1\n", None, "column 'label' suggests that not every row is a positive pair. "
         "Say which column holds the documents with --corpus-column NAME."),
    ],
    ids=["unknown", "named", "empty", "graded"],
)  # fmt: skip
def test_refused(tmp_path, pairs, content, column, message):
    path = tmp_path / "corpus.csv"
    path.write_text(content)
    with pytest.raises(UserError) as error:
        read_corpus(path, pairs, column=column)
    assert str(error.value) == f"{path}: {message}"


def test_an_empty_text_is_named(tmp_path, pairs):
    path = tmp_path / "corpus.csv"
    path.write_text('text\na\n" "\n')
    with pytest.raises(UserError) as error:
        read_corpus(path, pairs)
    assert str(error.value).startswith(f"{path}:3: column 'text' holds only white space.")
