"""How long texts are in tokens, and runs of texts that are sorted by length."""

from itertools import chain, combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.pairs.pairs_samples import pairs_of

from gistembed.batches import text_lengths
from gistembed.batches.lengths import packed_runs, padded_runs, thrifty_runs
from gistembed.models import load_model

SAME = {"anchor": "", "document": ""}
DIFFERENT = {"anchor": "q: ", "document": ""}


@pytest.fixture(scope="module")
def bert(bert_folder):
    def load(prompts):
        return load_model(str(bert_folder), option="--student", prompts=prompts)

    return {"same": load(SAME), "different": load(DIFFERENT)}


def test_lengths_are_those_of_the_tokenizer_uncut(bert):
    pairs = pairs_of([("a" * 50, "bc", [])])
    lengths = text_lengths(bert["same"], pairs)
    assert [lengths[pairs.anchors[0]], lengths[pairs.positives[0]]] == [52, 4]


@pytest.mark.parametrize(
    ("prompts", "tokens"),
    [
        ({"anchor": "", "document": ""}, 0),
        ({"anchor": "q: ", "document": ""}, 2),
        ({"anchor": "q: ", "document": "text: "}, 5),
    ],
)
def test_the_longest_prompt_counts_once_whatever_the_role(bert_folder, prompts, tokens):
    """A letter or sign is a token; the prompt's own special tokens are not counted again."""
    student = load_model(str(bert_folder), option="--student", prompts=prompts)
    pairs = pairs_of([("abc", "de", ["f"])])
    lengths = text_lengths(student, pairs)
    assert lengths[pairs.anchors[0]] == 3 + tokens + 2
    assert lengths[pairs.positives[0]] == 2 + tokens + 2
    assert lengths[pairs.negative_ids[0]] == 1 + tokens + 2
    for role, text_ids in (("anchor", pairs.anchors), ("document", pairs.positives)):
        features = student.model.preprocess([pairs.texts[text_ids[0]]], prompt=prompts[role])
        assert features["input_ids"].shape[1] <= lengths[text_ids[0]]


def test_only_texts_of_the_pairs_have_a_length(bert):
    pairs = pairs_of([("a", "b", []), ("c", "d", [])]).take(np.array([1]))
    assert text_lengths(bert["different"], pairs).tolist() == [0, 5, 0, 5], "a, c, b, d"


def test_a_static_model_has_no_lengths(static_folder):
    pairs = pairs_of([("a" * 500, "bc", ["d"])])
    assert text_lengths(load_model(str(static_folder), option="--student"), pairs).tolist() == [0, 0, 0]


@given(st.lists(st.integers(0, 30)).map(sorted), st.integers(1, 60))
def test_runs_are_as_large_as_the_budget_allows(lengths, budget):
    runs = [lengths[run] for run in padded_runs(np.array(lengths, np.int64), budget)]
    assert [*chain.from_iterable(runs)] == lengths
    assert all(len(run) == 1 or len(run) * run[-1] <= budget for run in runs)
    assert all((len(run) + 1) * following[0] > budget for run, following in pairwise(runs))


@given(st.lists(st.integers(0, 30)), st.integers(1, 60))
def test_packed_runs_stay_within_the_budget(lengths, budget):
    runs = [lengths[run] for run in packed_runs(np.array(lengths, np.int64), budget)]
    assert [*chain.from_iterable(runs)] == lengths
    assert all(len(run) == 1 or sum(run) <= budget for run in runs)


@given(st.lists(st.integers(1, 30), min_size=1).map(sorted), st.integers(60, 300))
def test_packed_runs_are_few_and_of_about_equal_size(lengths, budget):
    """None is a leftover, and none more is needed than texts at the edges of runs make room for."""
    sizes = [sum(lengths[run]) for run in packed_runs(np.array(lengths, np.int64), budget)]
    assert max(sizes) - min(sizes) <= 2 * max(lengths)
    assert len(sizes) <= 1 + sum(lengths) / (budget - max(lengths))


def cost(lengths, runs, overhead):
    return sum(len(lengths[run]) * lengths[run][-1] + overhead for run in runs)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=9).map(sorted), st.integers(0, 100))
def test_thrifty_runs_cost_the_least_of_all_cuts(lengths, overhead):
    """Against all 2**(texts - 1) cuts."""
    every = (
        [slice(start, stop) for start, stop in pairwise([0, *cuts, len(lengths)])]
        for count in range(len(lengths))
        for cuts in combinations(range(1, len(lengths)), count)
    )
    found = list(thrifty_runs(np.array(lengths, np.int64), 10**6, overhead))
    assert cost(lengths, found, overhead) == min(cost(lengths, runs, overhead) for runs in every)


@given(st.lists(st.integers(0, 3000), max_size=40).map(sorted), st.integers(1, 20_000), st.integers(0, 1000))
def test_thrifty_runs_are_all_texts_within_the_budget(lengths, budget, overhead):
    runs = [lengths[run] for run in thrifty_runs(np.array(lengths, np.int64), budget, overhead)]
    assert [*chain.from_iterable(runs)] == lengths
    assert all(len(run) == 1 or len(run) * run[-1] <= budget for run in runs)
