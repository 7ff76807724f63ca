"""Two and four processes against one: the same loss, and the same gradients, in every block."""

import subprocess
import sys

import pytest
import torch
from tests.loss.ranks import NAMES, batch, columns, labels, linear, loss_of, module_loss, sizes

ROWS = 11


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    command = [sys.executable, "-m", "tests.loss.ranks", str(ROWS), str(folder), "2", "4"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(params=[2, 4], ids=["2 ranks", "4 ranks"])
def ranks(request, runs):
    folder = runs / str(request.param)
    return [torch.load(folder / f"rank-{rank}.pt", weights_only=True) for rank in range(request.param)]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 5e-6)])
def test_shares_of_the_ranks_are_the_whole(ranks, dtype, tolerance):
    """The last rank holds fewer rows; a gradient comes back to the rank that has the text."""
    arguments = batch(ROWS, dtype)
    leaves = {name: arguments[name].clone().requires_grad_() for name in NAMES}
    expected = loss_of(arguments | leaves)
    expected.backward()
    parts = [rank[str(dtype)] for rank in ranks]
    total = sum(part[0] for part in parts)
    assert total.item() == pytest.approx(expected.item(), rel=min(tolerance, 1e-6))
    for number, leaf in enumerate(leaves.values(), start=1):
        gradient = torch.cat([part[number] for part in parts])
        error = (gradient - leaf.grad).norm() / leaf.grad.norm()
        assert error <= tolerance


@pytest.mark.parametrize("kind", ["plain", "cached"])
def test_drop_in_losses_under_distributed_training(ranks, kind):
    """After averaging over the ranks, every rank has the gradient of the one batch."""
    arguments = batch(ROWS, torch.float64)
    loss = module_loss(kind, linear(torch.float64))
    with pytest.warns(UserWarning, match="there is one process"):
        expected = loss(columns(arguments), labels(arguments))
    expected.backward()
    assert sum(rank[kind][0] for rank in ranks).item() / len(ranks) == pytest.approx(expected.item())
    for rank in ranks:
        torch.testing.assert_close(
            rank[kind][1:], [one.grad for one in loss.parameters()], rtol=1e-9, atol=1e-10
        )


def test_batches_of_different_make_are_refused_on_every_rank(ranks):
    different = "ranks 0 and 1 hold batches of different make"
    refused = "rank 1 holds what can't be gathered from several processes"
    for rank, told in enumerate(ranks):
        assert told["negatives"] == f"negatives: {different}"
        assert told["dtype"] == f"anchors: {different}"
        assert told["several guides"] == ("guide_anchors: " if rank else "") + refused
        assert told["known ids"] == ("known_ids: " if rank == 1 else "") + refused
        assert told["no rows"] == "anchors: rank 1 holds no rows"


def test_every_rank_has_rows():
    assert (sizes(2, ROWS), sizes(4, ROWS)) == ([6, 5], [3, 3, 3, 2])
