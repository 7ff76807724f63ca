"""Two models that guide each other: which round is kept, and what it says."""

from experiments.two_models import kept_round


def test_the_best_round_by_dev_is_kept_and_reported_by_test():
    rounds = [
        {"dev": [0.1, 0.1], "test": [0.9]},
        {"dev": [0.3, 0.5], "test": [0.2]},
        {"dev": [0.4, 0.4], "test": [0.8]},
    ]
    kept = kept_round(rounds)
    assert kept.dev.by_query.tolist() == [0.3, 0.5]
    assert kept.tests["test"].by_query.tolist() == [0.2]
