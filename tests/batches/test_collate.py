"""From rows to model inputs: each distinct text once, in its place, in micro-batches of like length."""

from itertools import chain

import pytest
import torch
from hypothesis import given, settings
from tests.pairs.pairs_samples import pairs_of, rows_of_texts
from tests.tiny_models import MAX_LENGTH

from gistembed.batches import PairCollator, TokenCache
from gistembed.batches.collate import MICRO_BATCH_OVERHEAD
from gistembed.models import load_model

_BUDGET = 60

SAME = {"anchor": "", "document": ""}
DIFFERENT = {"anchor": "q: ", "document": ""}


@pytest.fixture(scope="module")
def bert(bert_folder):
    def load(prompts):
        return load_model(str(bert_folder), option="--student", prompts=prompts)

    return {"same": load(SAME), "different": load(DIFFERENT)}


def lengthened(rows):
    """Texts of 1 to 41 letters: a letter is a token, so that the longest is beyond the model's limit."""

    def text(name):
        return chr(ord("a") + int(name)) * (10 * int(name) + 1)

    return pairs_of([(text(a), text(p), [text(n) for n in negatives]) for a, p, negatives in rows])


class Collated:
    """A batch, with the texts that stood behind its inputs."""

    def __init__(self, student, pairs, budget=_BUDGET) -> None:
        """Collate all pairs, watching which features are asked for."""
        self.calls = []
        tokens = TokenCache.read(student, pairs)
        assert tokens.uncached_because is None
        features = TokenCache.features

        def spy(cache, text_ids, role):
            self.calls.append([(student.prompts[role], pairs.texts[i], role) for i in text_ids])
            return features(cache, text_ids, role)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(TokenCache, "features", spy)
            self.batch = PairCollator(student, pairs, tokens, micro_batch_tokens=budget)(range(len(pairs)))
        self.labels = self.batch["label"]
        self.units = [unit for call in self.calls for unit in call]

    def texts(self, role):
        """(prompt, text) of each row in a role, by the units; texts that pad are left out."""
        units, ids = self.labels[f"{role}_units"], self.labels[f"{role}_ids"]
        return [self.units[unit][:2] for unit in units[ids >= 0].tolist()]


@settings(max_examples=40)
@given(rows=rows_of_texts())
@pytest.mark.parametrize("prompts", ["same", "different"])
def test_every_text_of_every_row_is_found_and_none_is_there_twice(bert, prompts, rows):
    student = bert[prompts]
    pairs = lengthened(rows)
    collated = Collated(student, pairs)
    anchor_prompt, document_prompt = student.prompts["anchor"], student.prompts["document"]
    anchors = [(anchor_prompt, pairs.texts[i]) for i in pairs.anchors]
    positives = [(document_prompt, pairs.texts[i]) for i in pairs.positives]
    negatives = [(document_prompt, pairs.texts[i]) for i in pairs.negative_ids]
    assert collated.texts("anchor") == anchors
    assert collated.texts("positive") == positives
    assert collated.texts("negative") == negatives
    assert sorted(unit[:2] for unit in collated.units) == sorted({*anchors, *positives, *negatives})


@settings(max_examples=40)
@given(rows=rows_of_texts(max_size=16))
def test_micro_batches_are_sorted_and_within_the_budget(bert, rows):
    collated = Collated(bert["same"], lengthened(rows))
    lengths = [[min(len(text) + 2, MAX_LENGTH) for _, text, _ in call] for call in collated.calls]
    in_order = [*chain.from_iterable(lengths)]
    assert in_order == sorted(in_order)
    assert all(len(call) * max(call) <= _BUDGET for call in lengths)
    for number, call in enumerate(lengths):
        assert collated.batch[f"micro_{number:05d}_input_ids"].shape == (len(call), max(call))


def test_a_text_longer_than_the_budget_stands_alone(bert):
    collated = Collated(bert["same"], pairs_of([("a" * 20, "c", []), ("b", "d" * 20, [])]), budget=10)
    assert [[text for _, text, _ in call] for call in collated.calls] == [["b", "c"], ["a" * 20], ["d" * 20]]


def test_short_texts_are_not_padded_to_a_long_one_where_that_costs_more_than_a_micro_batch(bert):
    def calls(count):
        texts = [chr(ord("a") + i % 26) * (1 + i // 26) for i in range(2 * count - 1)]
        pairs = pairs_of(
            [(a, p, []) for a, p in zip(texts[::2], [*texts[1::2], "z" * MAX_LENGTH], strict=True)]
        )
        return [len(call) for call in Collated(bert["same"], pairs, budget=100_000).calls]

    longest, shorter = MAX_LENGTH, 4
    fewest = MICRO_BATCH_OVERHEAD // (longest - shorter)
    assert calls(fewest // 2) == [2 * (fewest // 2)]
    assert len(calls(2 * fewest)) == 2
    assert calls(2 * fewest)[-1] == 1


def test_each_role_is_read_for_itself_where_prompts_differ(bert):
    collated = Collated(bert["different"], pairs_of([("a", "b", ["c"]), ("b", "a", [])]))
    assert [sorted(call) for call in collated.calls] == [
        [("q: ", "a", "anchor"), ("q: ", "b", "anchor")],
        [("", "a", "document"), ("", "b", "document"), ("", "c", "document")],
    ]


def test_labels_by_value(bert):
    pairs = pairs_of([("a", "b", []), ("c", "b", ["d", "a"]), ("a", "e", ["b"])])
    collated = Collated(bert["same"], pairs)
    number = {pairs.texts[i]: i for i in range(len(pairs.texts))} | {"-": -1}

    def as_ids(row):
        return [number[text] for text in row]

    labels = collated.labels
    assert labels["anchor_ids"].tolist() == as_ids("aca")
    assert labels["positive_ids"].tolist() == as_ids("bbe")
    assert labels["negative_ids"].tolist() == [as_ids(row) for row in ("--", "da", "b-")]
    assert labels["known_ids"].tolist() == as_ids("bebbe")
    assert labels["known_offsets"].tolist() == [0, 2, 3, 5]
    assert labels["rows"].tolist() == [0, 1, 2]
    assert {tensor.dtype for tensor in labels.values()} == {torch.int64}
    assert labels.keys() == {
        *(f"{role}_units" for role in ("anchor", "positive", "negative")),
        *(f"{role}_ids" for role in ("anchor", "positive", "negative", "known")),
        *(f"{role}_texts" for role in ("anchor", "positive", "negative")),
        "known_offsets",
        "rows",
        "unit_counts",
    }


def test_without_negatives_their_labels_have_no_columns(bert):
    labels = Collated(bert["same"], pairs_of([("a", "b", []), ("c", "d", [])])).labels
    assert labels["negative_ids"].shape == labels["negative_units"].shape == (2, 0)


def test_a_static_model_takes_all_texts_at_once(static_folder):
    student = load_model(str(static_folder), option="--student")
    pairs = pairs_of([("a" * 500, "bc", ["d"]), ("e", "f" * 90, [])])
    assert len(Collated(student, pairs).calls) == 1
