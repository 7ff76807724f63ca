"""Further documents: which texts they are, and where each is said to stand."""

import datasets
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
    return [corpus.texts[text_id] for text_id in corpus.positives]


@pytest.mark.parametrize("name", WRITERS)
def test_one_column_of_texts(tmp_path, pairs, name):
    """A text of the pairs is no new document, one that is only an anchor is; none is there twice."""
    table = {"whatever": ["green", "a rose", "red", "green", "grass"]}
    corpus = read_corpus(WRITERS[name](tmp_path / name, table), pairs)
    assert sorted(documents(corpus)) == ["grass", "green", "red"]
    assert corpus.texts is pairs.texts
    places = dict(zip(documents(corpus), corpus.places.tolist(), strict=True))
    lines = name.endswith(("csv", "tsv"))
    assert places == {"green": 1 + lines, "red": 3 + lines, "grass": 5 + lines}


def test_a_named_column_with_lists(pairs):
    source = datasets.Dataset.from_dict({"id": ["1", "2"], "texts": [["green", "grass"], ["red", "green"]]})
    assert sorted(documents(read_corpus(source, pairs, column="texts"))) == ["grass", "green", "red"]


def test_other_pairs(pairs):
    """Their anchors are no documents, and say nothing of ours."""
    table = {"query": ["green", "red"], "positive": ["grass", "the sky"], "negative": ["snow", None]}
    corpus = read_corpus(datasets.Dataset.from_dict(table), pairs)
    assert sorted(documents(corpus)) == ["grass", "snow"]


def test_nothing_new(pairs):
    assert len(read_corpus(datasets.Dataset.from_dict({"text": ["a rose"]}), pairs)) == 0


@pytest.mark.parametrize(
    ("content", "column", "message"),
    [
        ("id,body\n1,a\n", None, "no column is known as that of the texts. The columns are 'id', 'body'; "
         "say which with --corpus-column NAME."),
        ("id,body\n1,a\n", "text", "there is no column 'text'. The columns are 'id', 'body'."),
        ("text\n", None, "there are no rows."),
    ],
    ids=["unknown", "named", "empty"],
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
