"""Runs with several seeds on the same split: `split_seed`."""

import pytest
from tests.pairs.pairs_samples import pairs_of

from gistembed.config import RunConfig
from gistembed.prepare.dev import choose_dev
from gistembed.prepare.pairs import split_pairs


@pytest.fixture
def held_out():
    """Texts that a run holds out, for the verdict and for dev."""
    pairs = pairs_of([(f"q{i}", f"d{i}", []) for i in range(60)])

    def call(**settings):
        config = RunConfig(data="d", student="s", guide="g", out="o", keep_best="nDCG@10", **settings)
        _, train, test, _, record = split_pairs(config, pairs)
        _, dev, _ = choose_dev(config, train, record)
        return [sorted(one.texts.of(one.anchors)) for one in (test, dev.pairs)]

    return call


def test_the_split_follows_its_own_seed(held_out):
    assert held_out(seed=1, split_seed=7) == held_out(seed=2, split_seed=7) == held_out(seed=7)


def test_by_default_it_follows_the_seed(held_out):
    first, second = held_out(seed=1), held_out(seed=2)
    assert first[0] != second[0]
    assert first[1] != second[1]
