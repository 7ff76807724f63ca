"""How much of a gain is luck, where it is known."""

import numpy as np

from gistembed.search.luck import gain_of_best


def test_trials_that_differ_by_chance_alone_gain_nothing_unseen():
    """Twenty trials of equal worth on 100 queries: the best of them looks 0.05 better than the first."""
    gains = [gain_of_best(np.random.default_rng(seed).random((20, 100))) for seed in range(30)]
    assert np.mean([gain.seen for gain in gains]) > 0.04
    assert abs(np.mean([gain.unseen for gain in gains])) < 0.01


def test_a_gain_on_every_query_is_no_luck():
    scores = np.stack([np.linspace(0, 0.5, 30), np.linspace(0, 0.5, 30) + 0.25])
    gain = gain_of_best(scores)
    np.testing.assert_allclose([gain.seen, gain.unseen], 0.25)


def test_one_query_proves_nothing():
    gain = gain_of_best(np.array([[0.25], [0.75]]))
    assert (gain.seen, gain.unseen) == (0.5, 0.0)
