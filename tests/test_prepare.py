"""What a run chooses by itself."""

import pytest

from gistembed.prepare import default_batch_size


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
