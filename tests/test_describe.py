"""The records of data, models and machine, by value."""

import numpy as np
import pytest
import torch

from gistembed.batches import text_lengths
from gistembed.describe import data_record, machine, model_record, versions
from gistembed.models import load_model
from gistembed.record import PairSample
from tests.pairs.pairs_samples import pairs_of
from tests.tiny_models import DIMENSIONS, MAX_LENGTH


def test_data_record():
    rows = [("q", f"p{i}", ["n", "q2"][: i % 3]) for i in range(7)]
    pairs = pairs_of(rows)
    record = data_record(pairs)
    assert (record.source, record.digest, record.dropped) == ("test", pairs.digest(), {})
    assert record.columns == {"anchor": ["anchor"], "positive": ["positive"], "negative": ["negative"]}
    assert record.ignored_columns == []
    assert (record.rows_read, record.pairs, record.negatives, record.distinct_texts) == (7, 7, 6, 10)
    assert len(record.samples) == 5
    assert record.samples[2] == PairSample(place="test:3", anchor="q", positive="p2", negatives=["n", "q2"])


def test_distinct_texts_are_those_of_the_pairs_and_not_of_the_table():
    pairs = pairs_of([("a", "b", []), ("c", "d", [])]).take(np.array([1]))
    assert data_record(pairs).distinct_texts == 2


def test_record_of_a_transformer(bert_folder):
    """With the query prompt of 6 tokens, two of four texts are longer than the limit of 24."""
    model = load_model(str(bert_folder), option="--student")
    pairs = pairs_of([("a", "b " * (MAX_LENGTH - 2), []), ("c", "d " * (MAX_LENGTH - 1), [])])
    record = model_record(model, text_lengths(model, pairs))
    assert (record.name, record.identity, record.kind) == (str(bert_folder), model.identity, "transformer")
    assert (record.parameters, record.dimensions, record.max_length) == (
        model.parameters,
        DIMENSIONS,
        MAX_LENGTH,
    )
    assert record.prompts == {"anchor": "query: ", "document": ""}
    assert record.truncated_share == 2 / 4


def test_record_of_a_static_model(static_folder):
    model = load_model(str(static_folder), option="--student")
    record = model_record(model, text_lengths(model, pairs_of([("a", "b", [])])))
    assert (record.kind, record.max_length, record.truncated_share) == ("static", None, None)


def test_versions_and_machine():
    found = versions()
    assert found["torch"] == torch.__version__
    assert {"python", "gistembed", "sentence-transformers", "transformers"} <= found.keys()
    assert machine()["threads"] == str(torch.get_num_threads())
    assert set(machine()) >= {"system", "processor", "cores"}


@pytest.mark.parametrize("available", [False, True])
def test_an_accelerator_is_named(monkeypatch, available):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "some card")
    assert machine().get("accelerator") == ("some card" if available else None)
