"""A shard says what was written, or that it is damaged; it never says anything else."""

import random
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file
from tests.guide.store_samples import IDENTITY, keys_of, lengths_of, vectors_of

from gistembed.guide import GuideIdentity, Keys
from gistembed.guide.store.shard import BLOCK_ROWS, DamagedError, Shard, write_shard


def written(path, *numbers, identity=IDENTITY):
    keys = keys_of(*numbers)
    order = keys.distinct()
    vectors = vectors_of(*numbers)[order]
    blocks = (vectors[start : start + BLOCK_ROWS] for start in range(0, len(order), BLOCK_ROWS))
    write_shard(path, identity, keys.at(order), lengths_of(*numbers)[order], blocks)
    return path


def test_anything_that_reads_safetensors_reads_it(tmp_path):
    tensors = load_file(written(tmp_path / "shard.safetensors", 1, 2, 3))
    keys = Keys(tensors["keys_high"], tensors["keys_low"])
    assert keys.to_bytes() == sorted(keys_of(1, 2, 3).to_bytes())
    assert sorted(tensors["vectors"][:, 0].tolist()) == [1, 2, 3]
    assert tensors["lengths"].dtype == np.int32
    np.testing.assert_array_equal(tensors["lengths"], lengths_of(*tensors["vectors"][:, 0].astype(int)))


@pytest.mark.parametrize("dtype", ["float16", "float32", "int8"])
def test_vectors_are_stored_as_the_guide_says(tmp_path, dtype):
    identity = GuideIdentity(files="a" * 32, max_length=128, dimensions=4, dtype=dtype)
    shard = Shard(written(tmp_path / "shard.safetensors", 1, identity=identity), identity)
    assert shard.vectors.dtype == dtype
    np.testing.assert_array_equal(shard.vectors, vectors_of(1).astype(dtype))


@settings(max_examples=30)
@given(data=st.data())
def test_keys_that_share_their_first_half_are_told_apart(tmp_path_factory, data):
    halves = st.tuples(st.integers(0, 3), st.integers(0, 5))
    held = sorted(data.draw(st.sets(halves, min_size=1)))
    asked = data.draw(st.lists(halves))
    path = tmp_path_factory.mktemp("shard") / "shard.safetensors"
    identity = GuideIdentity(files="a" * 32, max_length=None, dimensions=1)
    vectors = np.arange(1, len(held) + 1, dtype=np.float16).reshape(-1, 1)
    lengths = np.zeros(len(held), np.int32)
    write_shard(path, identity, Keys(*np.array(held, np.uint64).T), lengths, [vectors])
    high, low = np.array(asked, np.uint64).reshape(-1, 2).T
    expected = [held.index(pair) if pair in held else -1 for pair in asked]
    assert Shard(path, identity).find(Keys(high, low)).tolist() == expected


NUMBERS = range(2 * BLOCK_ROWS - 50)


def check_damage(path, content):
    """What a damaged file still gives is what was written."""
    path.write_bytes(content)
    with suppress(DamagedError):
        shard = Shard(path, IDENTITY)
        places = shard.find(keys_of(*NUMBERS))
        found = np.flatnonzero(places >= 0)
        assert len(found) < len(NUMBERS), "nothing was noticed"
        np.testing.assert_array_equal(shard.vectors[places[found]], vectors_of(*found.tolist()))
        np.testing.assert_array_equal(shard.lengths[places[found]], lengths_of(*found.tolist()))
        return len(found)
    return 0


def check_flipped_bits(path, count):
    content = bytearray(written(path, *NUMBERS).read_bytes())
    generator = random.Random(0)
    left = []
    for _ in range(count):
        bit = generator.randrange(8 * len(content))
        content[bit // 8] ^= 1 << bit % 8
        left.append(check_damage(path, content))
        content[bit // 8] ^= 1 << bit % 8
    # One block is lost where a vector is hit, and everything where it is a key.
    assert set(left) == {0, BLOCK_ROWS, len(NUMBERS) - BLOCK_ROWS}


def test_a_flipped_bit_is_never_used(tmp_path):
    check_flipped_bits(tmp_path / "shard.safetensors", 300)


@pytest.mark.torture
def test_ten_thousand_flipped_bits(tmp_path):
    check_flipped_bits(tmp_path / "shard.safetensors", 10_000)


@pytest.mark.parametrize("row", [0, 1, 2])
@pytest.mark.parametrize("bit", [0, 17, 31])
def test_a_flipped_bit_of_a_length_is_noticed(tmp_path, row, bit):
    """The keys go with it: no text is found in that file any more."""
    path = written(tmp_path / "shard.safetensors", 1, 2, 3)
    content = bytearray(path.read_bytes())
    lengths = len(content) - 3 * (4 + 4 * 2)
    content[lengths + 4 * row + bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    shard = Shard(path, IDENTITY)
    assert not shard.keys_intact()
    assert shard.find(keys_of(1, 2, 3)).tolist() == [-1, -1, -1]


def test_every_bit_of_the_header_counts(tmp_path):
    path = written(tmp_path / "shard.safetensors", 1, 2)
    content = path.read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    for bit in range(8 * header):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        with pytest.raises(DamagedError):
            Shard(path, IDENTITY)


def test_a_file_that_is_cut_off_or_longer_is_not_used(tmp_path):
    path = written(tmp_path / "shard.safetensors", *NUMBERS)
    content = path.read_bytes()
    lengths = [0, 1, 7, 8, 9, 100, *range(4096, len(content), 4096), len(content) - 1]
    for length in lengths:
        path.write_bytes(content[:length])
        with pytest.raises(DamagedError):
            Shard(path, IDENTITY)
    path.write_bytes(content + b"\0")
    with pytest.raises(DamagedError, match=r"^it is cut off or too long$"):
        Shard(path, IDENTITY)


def test_a_shard_of_another_guide_is_none_of_this_one(tmp_path):
    other = GuideIdentity(files="b" * 32, max_length=128, dimensions=4)
    path = written(tmp_path / "shard.safetensors", 1, identity=other)
    with pytest.raises(DamagedError, match=r"^it belongs to another guide, or its header is damaged$"):
        Shard(path, IDENTITY)


def test_a_shard_without_vectors(tmp_path):
    shard = Shard(written(tmp_path / "shard.safetensors"), IDENTITY)
    assert len(shard) == 0
    assert shard.find(keys_of(1)).tolist() == [-1]
