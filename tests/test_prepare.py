"""What a run chooses by itself."""

import re

import pytest

from gistembed import MaskPolicy, UserError
from gistembed.config import RunConfig
from gistembed.prepare import _mask_policy, default_batch_size
from tests.pairs.pairs_samples import pairs_of


@pytest.mark.parametrize(
    ("pairs", "size"),
    [
        (2, 2),
        (15, 15),
        (16, 16),
        (300, 16),
        (511, 16),
        (512, 32),
        (1023, 32),
        (1024, 64),
        (2048, 128),
        (10**7, 128),
    ],
)
def test_default_batch_leaves_an_epoch_some_steps(pairs, size):
    """With 128 for everyone, 270 pairs trained for two steps an epoch and learned nothing."""
    assert default_batch_size(pairs) == size


def config(**settings):
    least = {"data": "pairs.csv", "student": "s", "guide": "g", "out": "o"}
    return RunConfig(**least | settings)


TRAIN = pairs_of([("a", "b", ["c", "d"]), ("e", "f", ["g"])])


def test_the_mask_of_a_run():
    settings = {"margin": 0.1, "contrast_anchors": False, "mask": {"max_masked": 3, "strict": False}}
    expected = MaskPolicy(margin=0.1, contrast_anchors=False, max_masked=3, strict=False)
    assert _mask_policy(config(**settings), TRAIN) == expected
    assert _mask_policy(config(mask={"negatives": "explicit"}), TRAIN).negatives == "explicit"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mask": {"margin": 0.1}}, "margin: set `margin` itself instead"),
        ({"mask": {"maxmasked": 3}}, "unknown setting `maxmasked`; did you mean `max_masked`?"),
        ({"mask": {"scorer": "student"}}, "scorer: a run asks its guide; leave it out"),
        ({"mask": {"guide_vote": "all"}}, "guide_vote: a run has one guide; leave it out"),
        (
            {"mask": {"compat": "sentence-transformers"}, "compare_unguided": True},
            "compat: those numbers need a guide; train without one in a run of its own",
        ),
    ],
)
def test_refusals_of_the_mask(settings, message):
    with pytest.raises(UserError, match=f"^{re.escape(f'[mask] {message}')}$"):
        _mask_policy(config(**settings), TRAIN)


def test_explicit_negatives_are_needed_everywhere():
    train = pairs_of([("a", "b", ["c"]), ("e", "f", []), ("g", "h", [])])
    message = "[mask] negatives: 2 of 3 training pairs have no negative of their own"
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        _mask_policy(config(mask={"negatives": "explicit"}), train)
