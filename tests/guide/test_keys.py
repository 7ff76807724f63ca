"""Keys tell texts, prompts and branches apart to the byte, and outlive versions of the program."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gistembed.guide import Keys

COMBINATIONS = st.tuples(st.text(), st.sampled_from(["", "query", "document"]), st.text())


@given(st.lists(COMBINATIONS, unique=True))
def test_keys_tell_prompt_text_and_task_apart(combinations):
    """Prompt 'a' with text 'bc' is not prompt 'ab' with text 'c'."""
    keys = [Keys.of([text], prompt=prompt, task=task) for prompt, task, text in combinations]
    assert len({key.to_bytes()[0] for key in keys}) == len(combinations)


def test_keys_are_of_the_bytes():
    texts = ["café", "cafe\u0301", "Café", "café ", "日本語", "🔥", "\0", "", "שלום", "x" * 100_000]
    assert len(Keys.of(texts, prompt="").distinct()) == len(texts)


def test_keys_do_not_change_between_versions():
    (key,) = Keys.of(["text"], prompt="query: ", task="query").to_bytes()
    assert key.hex() == "63549581e93df0308b425b5cb598f673"


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3))))
def test_the_first_of_equal_keys_counts(halves):
    high, low = np.array(halves, np.uint64).reshape(-1, 2).T
    keys = Keys(high, low)
    expected = [halves.index(pair) for pair in sorted(set(halves))]
    assert keys.distinct().tolist() == expected
    assert keys.at(keys.distinct()).to_bytes() == sorted(set(keys.to_bytes()))


@pytest.mark.parametrize("count", [1, 3])
def test_joined(count):
    parts = [Keys.of([str(number), "x"], prompt="") for number in range(count)]
    assert Keys.joined(parts).to_bytes() == [key for part in parts for key in part.to_bytes()]
