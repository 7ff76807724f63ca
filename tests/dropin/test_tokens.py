"""Which rows are the same text, going by the student's tokens alone."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.utils.rnn import pad_sequence

from gistembed.dropin.tokens import hashed_rows

ROWS = st.lists(st.lists(st.integers(0, 3), max_size=4), min_size=1, max_size=6)


def padded(rows, side="right"):
    sequences = [torch.tensor(row, dtype=torch.int64) for row in rows]
    ids = pad_sequence(sequences, batch_first=True, padding_value=7, padding_side=side)
    mask = pad_sequence(
        [torch.ones_like(row) for row in sequences], batch_first=True, padding_value=0, padding_side=side
    )
    return {"input_ids": ids, "attention_mask": mask}


def offsets_of(rows):
    return torch.tensor([0, *[len(row) for row in rows]]).cumsum(0)


@settings(max_examples=200)
@given(ROWS)
def test_equal_hashes_mean_equal_tokens(rows):
    hashes = hashed_rows(padded(rows)).tolist()
    for i, first in enumerate(rows):
        assert [first == other for other in rows] == [hashes[i] == one for one in hashes]


@given(ROWS)
def test_the_way_of_padding_does_not_show(rows):
    tokens = torch.tensor([token for row in rows for token in row], dtype=torch.int64)
    offsets = offsets_of(rows)
    expected = hashed_rows(padded(rows)).tolist()
    assert hashed_rows(padded(rows, "left")).tolist() == expected
    assert hashed_rows({"input_ids": tokens, "offsets": offsets[:-1]}).tolist() == expected
    flat = {"input_ids": tokens.unsqueeze(0), "cu_seq_lens_q": offsets}
    assert hashed_rows(flat).tolist() == expected


def test_long_texts_that_differ_in_one_token_differ():
    rows = torch.randint(0, 30_000, (512,), generator=torch.Generator().manual_seed(0)).repeat(513, 1)
    rows[range(512), range(512)] += 1
    assert len(set(hashed_rows({"input_ids": rows}).tolist())) == 513


def test_inputs_without_tokens_tell_nothing():
    assert hashed_rows({"pixel_values": torch.zeros(2, 3)}) is None
