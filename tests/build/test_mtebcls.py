"""Triplets from labelled texts: which are written, which are left out, and what a guide is asked."""

import numpy as np
import pytest
from tests.build.reference import draw_by_loops

from gistembed.build import DrawSettings, class_triplets, read_labelled, texts_to_encode
from gistembed.console import Console
from gistembed.errors import UserError
from gistembed.guide import GuideSettings, GuideVectors, do_work, prepare_work
from gistembed.pairs import Passage, Row, Texts


def labelled(tmp_path, rows, name="bank", texts=None):
    path = tmp_path / f"{name}.csv"
    path.write_text("\n".join(["text,label", *(f"{text},{label}" for text, label in rows)]))
    return read_labelled(path, task=name, texts=texts)


def vectors_of(texts, seed=0):
    source = np.random.default_rng(seed).standard_normal((len(texts), 5)).astype(np.float16)
    return GuideVectors(source, {"document": np.arange(len(texts))})


def test_rows_are_those_that_loops_draw(tmp_path):
    generator = np.random.default_rng(0)
    rows = [(f"t{number}", int(generator.integers(4))) for number in range(40)] + [("alone", 9)]
    read = labelled(tmp_path, rows)
    vectors = vectors_of(read.texts)
    found = class_triplets(read, vectors, DrawSettings(seed=7, topk=3, temperature=0.5))
    drawn = draw_by_loops(vectors.source, read.labels.tolist(), 7, 3, 0.5)
    expected = [
        Row(Passage(text), (Passage(rows[positive][0]),), (Passage(rows[negative][0]),), task="bank")
        for (text, _), (positive, negative) in zip(rows, drawn, strict=True)
        if positive is not None
    ]
    assert list(found.rows()) == expected
    assert (len(found), found.alone, found.same_text) == (40, 1, 0)


def test_a_text_that_would_meet_itself_is_left_out_and_counted(tmp_path):
    """'a' twice in its class: its likest is itself; 'c' in both classes: its only negative is itself."""
    read = labelled(tmp_path, [("a", 1), ("a", 1), ("b", 1), ("b ", 1), ("c", 1), ("c", 2), ("c", 2)])
    found = class_triplets(read, vectors_of(read.texts), DrawSettings(topk=1))
    rows = list(found.rows())
    assert {row.anchor.text for row in rows} == {"b", "b "}
    assert {row.negatives for row in rows} == {(Passage("c"),)}
    assert (len(found), found.alone, found.same_text) == (2, 0, 5)


def test_a_guide_reads_each_distinct_text_of_all_tasks_once(tmp_path, bert_folder):
    texts = Texts()
    first = labelled(tmp_path, [("red", 1), ("blue", 2), ("red", 1)], "first", texts)
    second = labelled(tmp_path, [("blue", 1), ("green", 1), ("grey", 2)], "second", texts)
    asked = texts_to_encode([first, second])
    places = [asked.place_of(text_id) for text_id in range(4)]
    assert places == [
        f"{tmp_path / name}" for name in ("first.csv:2", "first.csv:3", "second.csv:3", "second.csv:4")
    ]
    work = prepare_work(GuideSettings(str(bert_folder)), tmp_path / "store", asked)
    assert (work.plan.distinct, len(work.missing)) == (4, 4)
    vectors = do_work(work, Console(quiet=True))
    # The model has a prompt for queries alone: as documents, texts are read as they are.
    assert set(vectors.rows) == {"document"}
    again = prepare_work(GuideSettings(str(bert_folder)), tmp_path / "store", asked)
    assert len(again.missing) == 0
    found = [
        class_triplets(one, do_work(again, Console(quiet=True)), DrawSettings()) for one in (first, second)
    ]
    assert [row.task for one in found for row in one.rows()] == ["second", "second"]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"seed": -1}, "--seed -1: choose a whole number from 0 on"),
        ({"topk": 0}, "--topk 0: choose 1 or more"),
        ({"temperature": 0.0}, "--temperature 0.0: choose a number above 0"),
        ({"temperature": float("nan")}, "--temperature nan: choose a number above 0"),
    ],
)
def test_settings_that_draw_nothing(settings, problem):
    with pytest.raises(UserError) as error:
        DrawSettings(**settings)
    assert str(error.value) == problem
