"""Keys, vectors that tell their text, and small stores, for the tests of the guide's store."""

import numpy as np

from gistembed.guide import GuideIdentity, GuideStore, Keys

IDENTITY = GuideIdentity(files="a" * 32, max_length=128, dimensions=4)


def keys_of(*numbers):
    """Keys of the texts ``str(number)``."""
    return Keys.of(map(str, numbers), prompt="")


def vectors_of(*numbers):
    """A vector that tells its text, so that a mix-up shows; numbers below 2048."""
    return np.array([[number, number + 0.25, -number, 1] for number in numbers], np.float16).reshape(-1, 4)


def lengths_of(*numbers):
    """A length that tells its text."""
    return np.array([number + 3 for number in numbers], np.int32)


def filled(root, *numbers, identity=IDENTITY):
    """A store after one append."""
    store = GuideStore(root, identity)
    store.append(keys_of(*numbers), vectors_of(*numbers))
    return store


def held(store, *numbers):
    """Whether the store has each of them."""
    return (store.find(keys_of(*numbers)) >= 0).tolist()


def check(store, *numbers):
    """That the store has all of them, and the right vectors."""
    rows = store.find(keys_of(*numbers))
    assert (rows >= 0).all()
    np.testing.assert_array_equal(store.read(rows), vectors_of(*numbers))


def shards(store):
    """The files of a store."""
    return sorted(store.folder.glob("*.safetensors"))
