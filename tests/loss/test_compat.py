"""Compatibility by value: with sentence-transformers' own losses, and with the paper's rule."""

import math

import pytest
import torch
from sentence_transformers import SentenceTransformer
from tests.peer import cached_peer_loss, peer_loss, ranking_loss
from tests.tiny_models import save_bert

from gistembed import MaskPolicy, guided_contrastive_loss

PEER = "sentence-transformers"


@pytest.fixture(scope="module")
def tokenizing(tmp_path_factory):
    return SentenceTransformer(str(save_bert(tmp_path_factory.mktemp("bert"))), device="cpu")


def columns(seed, rows=9, negatives=1):
    """Random student and guide embeddings; some texts of the guide are alike, so that much is masked."""
    generator = torch.Generator().manual_seed(seed)
    counts = 2 + negatives
    student = torch.randn(counts, rows, 7, generator=generator, dtype=torch.float64)
    shared = torch.randn(rows, 5, generator=generator, dtype=torch.float64)
    guide = shared + torch.randn(counts, rows, 5, generator=generator, dtype=torch.float64)
    return student, guide


def ours(student, guide, policy, temperature, **options):
    return guided_contrastive_loss(
        student[0],
        student[1],
        student[2:].transpose(0, 1) if len(student) > 2 else None,
        guide_anchors=None if guide is None else guide[0],
        guide_positives=None if guide is None else guide[1],
        guide_negatives=guide[2:].transpose(0, 1) if guide is not None and len(guide) > 2 else None,
        temperature=temperature,
        policy=policy,
        **options,
    ).loss


def assert_same(student, first, second):
    leaf = student.clone().requires_grad_()
    losses = [first(leaf), second(leaf)]
    gradients = [torch.autograd.grad(loss, leaf)[0] for loss in losses]
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("negatives", [0, 1])
@pytest.mark.parametrize("margin", [-0.1, 0.0, 0.1])
@pytest.mark.parametrize("strategy", ["absolute", "relative"])
@pytest.mark.parametrize("blocks", [(True, True), (True, False), (False, True), (False, False)])
def test_the_peers_numbers(tokenizing, negatives, margin, strategy, blocks):
    student, guide = columns(seed=negatives, negatives=negatives)
    options = {
        "margin": margin,
        "margin_strategy": strategy,
        "contrast_anchors": blocks[0],
        "contrast_positives": blocks[1],
    }
    assert_same(
        student,
        lambda leaf: ours(leaf, guide, MaskPolicy(compat=PEER, **options), 0.05),
        lambda leaf: peer_loss(tokenizing, leaf, guide, temperature=0.05, **options),
    )


@pytest.mark.parametrize("negatives", [0, 1, 4])
def test_the_cached_peers_numbers(tokenizing, negatives):
    student, guide = columns(seed=7, negatives=negatives)
    assert_same(
        student,
        lambda leaf: ours(leaf, guide, MaskPolicy(compat=PEER, margin=0.05), 0.02, chunk_rows=2),
        lambda leaf: cached_peer_loss(
            tokenizing, leaf, guide, temperature=0.02, margin=0.05, mini_batch_size=4
        ),
    )


@pytest.mark.parametrize("mode", ["in_batch_negatives", "hard_negatives", "all_negatives"])
@pytest.mark.parametrize("negatives", [0, 2])
def test_hardness_is_that_of_the_peers_ranking_loss(tokenizing, mode, negatives):
    student, _ = columns(seed=3, negatives=negatives)
    policy = MaskPolicy(contrast_anchors=False, contrast_positives=False)
    hardness = {"hardness_mode": mode, "hardness_strength": 9.0}
    assert_same(
        student,
        lambda leaf: ours(leaf, None, policy, 0.05, **hardness),
        lambda leaf: ranking_loss(tokenizing, leaf, scale=20.0, **hardness),
    )


def test_without_a_guide_it_is_the_peers_ranking_loss_over_the_same_blocks(tokenizing):
    student, _ = columns(seed=4, negatives=0)
    directions = ("query_to_doc", "query_to_query", "doc_to_doc")
    assert_same(
        student,
        lambda leaf: ours(leaf, None, MaskPolicy(), 0.05),
        lambda leaf: ranking_loss(tokenizing, leaf, scale=20.0, directions=directions),
    )


def duplicates(compat, *, same_text=False, margin=0.0):
    """Two rows that share their positive; every student cosine is 0, so the loss counts the candidates.

    Anchors stand at 0° and 90° for the guide, the positive at 45°, or all at 0° if the texts are the same.
    """
    angles = torch.tensor([[0.0, 0.0], [0.0, 0.0]] if same_text else [[0.0, 90.0], [45.0, 45.0]]).double()
    radians = angles.deg2rad()
    guide = torch.stack([radians.cos(), radians.sin()], dim=-1)
    student = torch.eye(4, dtype=torch.float64).reshape(2, 2, 4)
    return guided_contrastive_loss(
        student[0],
        student[1],
        guide_anchors=guide[0],
        guide_positives=guide[1],
        anchor_ids=torch.tensor([0, 1]),
        positive_ids=torch.tensor([2, 2]),
        policy=MaskPolicy(compat=compat) if compat == "paper" else MaskPolicy(compat=compat, margin=margin),
    ).metrics["negatives_per_row"]


def test_a_duplicate_of_the_positive():
    """Left in each row: the other anchor (90° > 45°), and, unless told by id, the positive's duplicate.

    In block ap the duplicate ties with the positive and stays; in pp it is more similar than the limit.
    """
    assert duplicates("default") == 1
    assert duplicates("paper") == 2
    assert duplicates("sentence-transformers") == 2


def test_a_row_meets_its_own_texts_only_where_nothing_but_similarity_tells_them():
    """With a margin of −0.5 the limit is 1.2: the guide masks nothing, not even a text against itself."""
    assert duplicates("default", margin=-0.5) == 1
    # The positive's duplicate in ap; both anchors in aa; both positives in pp.
    assert duplicates("sentence-transformers", margin=-0.5) == 5


def test_a_perfect_student_pays_for_texts_that_are_their_own_positives():
    """Where anchor and positive are one text, the limit is 1 and nothing is above it: the floor is ln 3."""
    vectors = torch.eye(2, dtype=torch.float64)

    def loss(compat):
        return guided_contrastive_loss(
            vectors,
            vectors,
            guide_anchors=vectors,
            guide_positives=vectors,
            policy=MaskPolicy(compat=compat),
        ).loss.item()

    assert loss("sentence-transformers") == pytest.approx(math.log(3), abs=1e-12)
    assert loss("default") == loss("paper") == pytest.approx(0, abs=1e-12)
