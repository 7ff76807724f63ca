"""Numbers and terms, by value."""

from typing import get_args

import pytest
from example import rich_record

from gistembed.report import figures, words
from gistembed.terms import Block


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (words.score(0.61249), "0.612"),
        (words.score(0.0), "0.000"),
        (words.score(-0.5), "−0.500"),
        (words.score(0.00021), "0.00021"),
        (words.signed(0.043), "+0.043"),
        (words.signed(-0.002), "−0.002"),
        (words.signed(0.0), "0.000"),
        (words.signed(-0.0), "0.000"),
        (words.signed(-0.0002), "−0.00020"),
        (words.percent(0.0), "0 %"),
        (words.percent(0.413), "41 %"),
        (words.percent(0.0932), "9.3 %"),
        (words.percent(0.00042), "0.042 %"),
        (words.percent(1.0), "100 %"),
        (words.count(12_345), "12,345"),
        (words.plural(1, "row"), "1 row"),
        (words.plural(2_000, "row"), "2,000 rows"),
        (words.plural(2, "query", "queries"), "2 queries"),
        (words.large(22_713_216), "22.7 million"),
        (words.large(1_500), "1.5 thousand"),
        (words.large(7_000_000_000), "7 billion"),
        (words.large(12), "12"),
        (words.duration(0.84), "0.8 s"),
        (words.duration(42.4), "42 s"),
        (words.duration(59.7), "1 min 0 s"),
        (words.duration(185.0), "3 min 5 s"),
        (words.duration(7_815.0), "2 h 10 min"),
        (words.moment("2025-11-03T06:46:12+00:00"), "3 November 2025, 06:46 UTC"),
        (words.moment("2025-11-03T06:46:12"), "3 November 2025, 06:46"),
        (words.metric_meaning("unheard-of@3"), ""),
    ],
)
def test_said(said: str, expected: str):
    assert said == expected


@pytest.mark.parametrize("name", ["nDCG@10", "ndcg_at_10", "cosine_ndcg@10", "NDCG"])
def test_metric_meaning_knows_the_spellings_of_libraries(name: str):
    assert words.metric_meaning(name) == words.METRICS["ndcg"]


@pytest.mark.parametrize("table", [words.BLOCKS, words.BLOCK_MEANINGS, figures.DASHES])
def test_every_block_has_its_words_in_the_order_of_the_blocks(table: dict[str, str]):
    """Block pa once had none, and a run with it failed at its report."""
    assert tuple(table) == get_args(Block)
    assert len(set(table.values())) == len(table)


def test_bin_labels_name_whole_counts():
    assert words.bin_labels([0, 1, 2, 4, 8]) == ["0", "1", "2–3", "4+"]


def test_flat_names_nested_settings_with_dots():
    settings = {"seed": 0, "train": {"blocks": ["ap"], "mask": {"margin": 0.1}}, "empty": {}, "data": "a.csv"}
    assert words.flat(settings) == {
        "seed": "0",
        "train.blocks": '["ap"]',
        "train.mask.margin": "0.1",
        "empty": "{}",
        "data": "a.csv",
    }


def guide_record(**changes):
    guide = rich_record().guides[0]
    kind = changes.pop("kind", guide.model.kind)
    model = guide.model.model_copy(update={"kind": kind})
    return guide.model_copy(
        update={"model": model, "texts": 1200, "encoded": 1200, "seconds": 61.3} | changes
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "1,200 texts in 1 min 1 s"),
        ({"encoded": 7}, "7 of 1,200 texts in 1 min 1 s; the others were stored already"),
        ({"encoded": 0}, "none: the vectors of 1,200 texts were stored already"),
        ({"encoded": 0, "kind": "given vectors"}, "none: the vectors of 1,200 texts were given"),
    ],
)
def test_what_a_guide_had_to_encode(changes, said):
    assert words.encoded(guide_record(**changes)) == said


def test_guides_by_name():
    one, itself = guide_record(), guide_record(store=None)
    assert (words.guide_name(one), words.guide_name(itself)) == ("all-MiniLM-L6-v2", "itself")
    assert words.guides([one]) == "a frozen guide model"
    assert words.guides([itself]) == "itself as a guide"
    assert words.guides([one, one]) == "a committee of 2 frozen guide models"
