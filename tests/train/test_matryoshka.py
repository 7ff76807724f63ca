"""Matryoshka: the loss is the sum over embeddings cut to their leading dimensions, each normalised."""

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformerTrainer
from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss
from tests.pairs.pairs_samples import pairs_of
from tests.tiny_models import save_bert, save_static

from gistembed import GISTEmbedLoss, MaskPolicy
from gistembed.batches import PairCollator, TokenCache
from gistembed.guide import embed_now
from gistembed.models import load_model
from gistembed.train.module import BatchLoss

ROWS = [
    ("how do i reset it", "open settings"),
    ("where is the key", "under the mat"),
    ("who wrote this", "nobody knows"),
    ("what is red", "a rose is red"),
    ("when", "on monday"),
]
PAIRS = pairs_of([(*row, []) for row in ROWS])
# So low that the guide masks some candidates and leaves others.
POLICY = MaskPolicy(margin=0.05)
DIMS = (32, 16, 4)


@pytest.fixture(scope="module", params=["static", "bert"])
def student(request):
    student = load_model(str(request.getfixturevalue(f"{request.param}_folder")), option="--student")
    student.model.eval()
    return student.with_settings(option="--student", prompts={"anchor": "", "document": ""})


@pytest.fixture(scope="module")
def guide(student, tmp_path_factory):
    """A model that reads the student's tokens, so that the peer's loss guides by the same texts."""
    save = save_static if student.kind == "static" else save_bert
    return load_model(save(tmp_path_factory.mktemp("guide") / "guide", seed=5), option="--guide")


def inputs(student):
    batch = PairCollator(student, PAIRS, TokenCache.read(student, PAIRS))(range(5))
    return SentenceTransformerTrainer.collect_features(None, batch)


def loss_and_gradients(loss, model, *batch):
    model.zero_grad()
    value = loss(*batch)
    value.backward()
    return value.item(), {
        name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None
    }


def assert_same(ours, theirs):
    assert ours[0] == pytest.approx(theirs[0], rel=1e-5)
    assert ours[1].keys() == theirs[1].keys()
    scale = max(float(gradient.abs().max()) for gradient in theirs[1].values())
    for name, gradient in theirs[1].items():
        torch.testing.assert_close(ours[1][name] / scale, gradient / scale, rtol=0, atol=1e-5)


@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0), (1.0, 0.5, 3.0)], ids=str)
def test_it_is_the_peers_loss_around_ours(student, guide, weights):
    """sentence-transformers' MatryoshkaLoss around the drop-in loss, whose guide runs in every step."""
    module = BatchLoss(student.model, [embed_now(guide, PAIRS)], POLICY, 0.05, dims=DIMS, dim_weights=weights)
    ours = loss_and_gradients(module, student.model, *inputs(student))
    masked = [value for name, value in module.pop_metrics().items() if name.startswith("mask_rate")]
    assert 0 < sum(masked) < len(masked), "the guide has no say, or it alone"
    peer = MatryoshkaLoss(
        student.model,
        GISTEmbedLoss(student.model, guide.model, temperature=0.05, policy=POLICY),
        matryoshka_dims=list(DIMS),
        matryoshka_weights=list(weights),
    )
    columns = [student.model.preprocess([row[column] for row in ROWS]) for column in range(2)]
    assert_same(ours, loss_and_gradients(peer, student.model, columns, None))


def test_it_is_the_sum_of_the_losses_of_students_that_are_cut(student, guide):
    """Each student gives normalised prefixes; the guide and its mask are the same for all of them."""

    class Cut(torch.nn.Module):
        def __init__(self, dim) -> None:
            super().__init__()
            self.dim = dim

        def forward(self, features):
            whole = student.model(dict(features))["sentence_embedding"]
            return {"sentence_embedding": torch.nn.functional.normalize(whole[:, : self.dim], dim=1)}

    vectors = [embed_now(guide, PAIRS)]
    together = BatchLoss(student.model, vectors, POLICY, 0.05, dims=DIMS)(*inputs(student)).item()
    apart = [BatchLoss(Cut(dim), vectors, POLICY, 0.05)(*inputs(student)).item() for dim in DIMS]
    assert together == pytest.approx(sum(apart), rel=1e-5)
    assert len({round(loss, 4) for loss in apart}) == 3, "the dimensions make no difference"


def test_metrics_are_those_of_whole_embeddings(student, guide):
    vectors = [embed_now(guide, PAIRS)]
    modules = [BatchLoss(student.model, vectors, POLICY, 0.05, dims=dims) for dims in (DIMS, None)]
    for module in modules:
        module(*inputs(student))
    cut, whole = (module.pop_metrics() for module in modules)
    assert cut == pytest.approx(whole)
    assert all(np.isfinite(value) for value in cut.values())
