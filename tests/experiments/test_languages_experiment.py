"""Titles in several languages: what is read, which share a topic, and what is asked of whom."""

import io

import pytest
from demo.prepare import by_rarest
from experiments.data.languages import (
    Topic,
    Translated,
    across_languages,
    read_translated,
    within_languages,
    without_brackets,
)

ARTICLE = """
<PubmedArticle><MedlineCitation><Article>
  <ArticleTitle>{title}</ArticleTitle><Language>{language}</Language>
  <VernacularTitle>{original}</VernacularTitle>
</Article><MeshHeadingList><MeshHeading>
  <DescriptorName MajorTopicYN="Y">Horses</DescriptorName>
</MeshHeading></MeshHeadingList></MedlineCitation></PubmedArticle>
"""


def german(text: str) -> Translated:
    return Translated("", text, "German", frozenset())


def french(text: str) -> Translated:
    return Translated("", text, "French", frozenset())


TOPICS = [
    Topic(["horse", "foal"], [german("Pferd"), german("Fohlen"), french("cheval")]),
    Topic(["goat"], [french("chèvre")]),
]


def read(*articles: str) -> list[Translated]:
    return list(read_translated(io.BytesIO(f"<all>{''.join(articles)}</all>".encode())))


def test_a_translated_title_stands_beside_its_original():
    article = ARTICLE.format(
        title="[ECG in the foal (author's transl)].", language="ger", original="Das EKG des Fohlens."
    )
    assert read(article) == [
        Translated("ECG in the foal", "Das EKG des Fohlens.", "German", frozenset({"Horses"}))
    ]


@pytest.mark.parametrize(
    ("title", "language", "original"),
    [
        ("ECG in the foal.", "ger", "Das EKG des Fohlens."),  # written in English first
        ("[ECG in the foal].", "fin", "Das EKG des Fohlens."),  # too few in this language
        ("[ECG in the foal].", "ger", "EKG des Fohlens."),  # too short
        ("[ECG in the foal].", "ger", ""),
    ],
)
def test_other_titles_are_left_out(title, language, original):
    assert read(ARTICLE.format(title=title, language=language, original=original)) == []


@pytest.mark.parametrize(
    "title", ["[The foal].", "[The foal]", "[The foal (author's transl)].", "[The foal.]", "The foal"]
)
def test_brackets_and_remarks_go(title):
    assert without_brackets(title).rstrip(".") == "The foal"


def test_a_citation_goes_under_the_rarest_of_its_topics_of_medium_size():
    topics = [frozenset(one) for one in ("ab", "ab", "ac", "a", "bc", "d")]
    assert by_rarest(topics, range(2, 4)) == {"b": [0, 1], "c": [2, 4]}


def test_across_languages_an_english_title_asks_for_all_others_of_its_topic():
    assert across_languages(TOPICS) == [
        {"anchor": "horse", "positive": ["Pferd", "Fohlen", "cheval"]},
        {"anchor": "foal", "positive": ["Pferd", "Fohlen", "cheval"]},
        {"anchor": "goat", "positive": ["chèvre"]},
    ]


def test_within_a_language_a_title_asks_for_those_of_its_own():
    assert within_languages(TOPICS) == [
        {"anchor": "Pferd", "positive": ["Fohlen"]},
        {"anchor": "Fohlen", "positive": ["Pferd"]},
    ]
