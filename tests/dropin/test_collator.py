"""What the collator makes of raw texts."""

import pytest
import torch
from sentence_transformers import SentenceTransformer
from tests.tiny_models import save_bert, save_static

from gistembed import GuideCollator

ROWS = [
    {"anchor": "How?", "positive": "So.", "negative": "No"},
    {"anchor": "Why?", "positive": "So.", "negative": "How?"},
]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    folders = {
        "student": save_bert(root / "student"),
        "guide": save_static(root / "guide"),
        "prompted": save_static(root / "prompted", prompts={"query": "q: ", "document": "d: "}),
    }
    return {name: SentenceTransformer(str(folder), device="cpu") for name, folder in folders.items()}


def calls_of(monkeypatch, guide):
    calls = []
    preprocess = guide.preprocess

    def watch(texts, prompt=None, task=None):
        calls.append((list(texts), prompt, task))
        return preprocess(texts, prompt=prompt, task=task)

    monkeypatch.setattr(guide, "preprocess", watch)
    return calls


def test_equal_texts_have_equal_ids(models):
    ids = GuideCollator(models["student"], None)(ROWS)["label"]["text_ids"]
    assert ids.dtype == torch.int64
    assert ids[0, 1] == ids[1, 1]
    assert ids[0, 0] == ids[1, 2]
    assert len(set(ids.flatten().tolist())) == 4


def test_case_tells_texts_apart_even_where_the_student_does_not(models):
    rows = [{"anchor": "A", "positive": "a"}]
    assert GuideCollator(models["student"], None)(rows)["label"]["text_ids"].unique().numel() == 2


def test_the_guide_reads_each_distinct_text_once_as_it_stands(monkeypatch, models):
    guide = models["guide"]
    calls = calls_of(monkeypatch, guide)
    label = GuideCollator(models["student"], guide)(ROWS)["label"]
    assert calls == [(["No", "So.", "How?", "Why?"], "", "document")]
    assert label["guide_units"].tolist() == [[2, 1, 0], [3, 1, 2]]
    assert len(label["guide_batches"]) == 1


def test_the_guide_reads_behind_its_own_prompts(monkeypatch, models):
    guide = models["prompted"]
    calls = calls_of(monkeypatch, guide)
    label = GuideCollator(models["student"], guide)(ROWS)["label"]
    assert calls == [(["How?", "Why?"], "q: ", "query"), (["No", "So.", "How?"], "d: ", "document")]
    assert label["guide_units"].tolist() == [[0, 3, 2], [1, 3, 4]]
    calls.clear()
    GuideCollator(models["student"], guide, guide_prompts={"anchor": "Q "})(ROWS)
    assert [prompt for _, prompt, _ in calls] == ["Q ", "d: "]


def test_many_texts_are_read_in_parts_of_like_length(monkeypatch, models):
    guide = models["guide"]
    calls = calls_of(monkeypatch, guide)
    rows = [{"anchor": "a" * (i % 90 + 1), "positive": "b" * (i % 70 + 1)} for i in range(100)]
    label = GuideCollator(models["student"], guide)(rows)["label"]
    lengths = [[len(text) for text in texts] for texts, _, _ in calls]
    assert [len(part) for part in lengths] == [64, 64, 32]
    read = [text for texts, _, _ in calls for text in texts]
    assert read == sorted(read, key=len)
    assert [[read[unit] for unit in row] for row in label["guide_units"].tolist()] == [
        [row["anchor"], row["positive"]] for row in rows
    ]


def test_the_student_gets_what_it_always_gets(models):
    batch = GuideCollator(models["student"], None, prompts={"anchor": "abc"})(ROWS)
    assert batch["anchor_input_ids"].shape[1] > batch["positive_input_ids"].shape[1]
    assert {"anchor_input_ids", "positive_input_ids", "negative_input_ids"} <= batch.keys()
    assert GuideCollator(models["student"], None)([]) == {}


def test_columns_of_something_else_are_refused(models):
    message = (
        r"^GuideCollator: column 'score' holds float, not text; "
        "keep only the columns of anchors, positives and negatives$"
    )
    with pytest.raises(ValueError, match=message):
        GuideCollator(models["student"], None)([{"anchor": "a", "positive": "b", "score": 0.5}])
