"""How a vector is stored: what is left of it, by value."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gistembed.guide import GuideIdentity


def stored(dtype, *vectors):
    rows = np.array(vectors, np.float32)
    return GuideIdentity("a" * 32, None, rows.shape[1], dtype).stored(rows)


def test_int8_by_value():
    """The largest number of each vector is 127, whatever its length; halves go to the even number."""
    found = stored(
        "int8", [0.5, -1, 0.25, 0], [10, 20, -30, 40], [1e-30, 0, 0, -1e-32], [3e38, -1e38, 0, 3e36]
    )
    assert found.dtype == np.int8
    assert found.tolist() == [[64, -127, 32, 0], [32, 64, -95, 127], [127, 0, 0, -1], [127, -42, 0, 1]]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
def test_what_is_not_finite_becomes_zeros_in_int8(value):
    assert stored("int8", [1, value, 2], [0, 0, 0], [1, 2, -4]).tolist() == [
        [0, 0, 0],
        [0, 0, 0],
        [32, 64, -127],
    ]


def test_floats_keep_their_sign_of_what_is_not_finite():
    found = stored("float16", [1, np.nan], [1, 1e6], [0.1, -2])
    assert found.dtype == np.float16
    assert np.isfinite(found).all(axis=1).tolist() == [False, False, True]
    assert found[2].tolist() == [np.float16(0.1), -2]
    assert stored("float32", [0.1, -2]).tolist() == [[np.float32(0.1), -2]]


@given(arrays(np.float32, (3, 5), elements=st.floats(-1, 1, width=32, allow_subnormal=False)))
def test_int8_keeps_the_direction(vectors):
    """Each number is off by half a step at most, and a step is the largest number over 127."""
    found = stored("int8", *vectors)
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    assert np.abs(found * (largest / 127) - vectors).max() <= largest.max() / 127 * 0.501
    assert (np.abs(found).max(axis=1) == np.where(largest[:, 0] > 0, 127, 0)).all()
