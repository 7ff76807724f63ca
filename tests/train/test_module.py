"""The loss as the trainer calls it: ids and micro-batches in, the pure loss of the rows out."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformerTrainer
from tests.pairs.pairs_samples import pairs_of

from gistembed import MarginSchedule, MaskPolicy, guided_contrastive_loss
from gistembed.batches import PairCollator, TokenCache
from gistembed.guide import GuideVectors, embed_now
from gistembed.models import load_model
from gistembed.train.module import BatchLoss

PAIRS = pairs_of(
    [
        ("who", "someone", ["nobody", "who"]),
        ("what", "something", []),
        ("who", "anyone", ["something"]),
        ("where", "someone", ["there"]),
        ("when", "when", []),
    ]
)
POLICY = MaskPolicy(margin=-0.2, contrast_anchors=False)


@pytest.fixture(scope="module", params=["static", "bert"])
def student(request):
    """A student in inference mode: no dropout."""
    student = load_model(str(request.getfixturevalue(f"{request.param}_folder")), option="--student")
    student.model.eval()
    return student


@pytest.fixture(scope="module")
def guide():
    """Another vector for each text in each role."""
    count = len(PAIRS.texts)
    vectors = np.random.default_rng(0).standard_normal((2 * count, 3)).astype(np.float16)
    return GuideVectors(vectors, {"anchor": np.arange(count), "document": np.arange(count, 2 * count)})


def inputs(student, rows):
    """What the trainer makes of a batch of rows."""
    collator = PairCollator(student, PAIRS, TokenCache.read(student, PAIRS), micro_batch_tokens=24)
    batch = collator(rows)
    return SentenceTransformerTrainer.collect_features(None, batch)


def pure_loss(student, guide, rows):
    """The loss function on the embeddings that the student gives row by row."""
    anchors, positives = PAIRS.anchors[rows], PAIRS.positives[rows]
    most = max(len(PAIRS.negatives(row)) for row in rows)
    negatives = np.full((len(rows), most), -1)
    for number, row in enumerate(rows):
        negatives[number, : len(PAIRS.negatives(row))] = PAIRS.negatives(row)

    def embedded(ids, role):
        texts = [PAIRS.texts[i] if i >= 0 else "padding" for i in ids.ravel()]
        return torch.from_numpy(student.embed(texts, role)).reshape(*ids.shape, -1)

    def guided(ids, role):
        return torch.from_numpy(guide.source[guide.rows[role][ids]].astype(np.float32))

    known = [PAIRS.known_positives().of(anchor) for anchor in anchors]
    arguments = {
        "anchor_ids": torch.from_numpy(anchors),
        "positive_ids": torch.from_numpy(positives),
        "known_ids": torch.from_numpy(np.concatenate(known)),
        "known_offsets": torch.tensor([0, *np.cumsum([len(ids) for ids in known])]),
        "temperature": 0.05,
        "policy": POLICY,
    }
    if guide:
        arguments["guide_anchors"] = guided(anchors, "anchor")
        arguments["guide_positives"] = guided(positives, "document")
    if most:
        arguments["negatives"] = embedded(negatives, "document")
        arguments["negative_ids"] = torch.from_numpy(negatives)
        arguments["negative_mask"] = torch.from_numpy(negatives >= 0)
        if guide:
            arguments["guide_negatives"] = guided(negatives, "document")
    return guided_contrastive_loss(embedded(anchors, "anchor"), embedded(positives, "document"), **arguments)


@pytest.mark.parametrize("with_guide", [True, False], ids=["guided", "unguided"])
@pytest.mark.parametrize("rows", [[0, 1, 2, 3, 4], [4, 1], [3, 0, 1]], ids=str)
def test_it_is_the_pure_loss_of_the_rows(student, guide, rows, with_guide):
    module = BatchLoss(student.model, [guide] if with_guide else [], POLICY, temperature=0.05)
    expected = pure_loss(student, guide if with_guide else None, rows)
    assert module(*inputs(student, rows)).item() == pytest.approx(expected.loss.item(), rel=1e-5, abs=1e-5)
    metrics = {name: value.item() for name, value in expected.metrics.items()}
    features, _ = inputs(student, rows)
    units = torch.cat([student.model(dict(micro_batch))["sentence_embedding"] for micro_batch in features])
    metrics["mean_cosine"] = off_diagonal_mean(torch.nn.functional.normalize(units.double()))
    assert module.pop_metrics() == pytest.approx(metrics)


def off_diagonal_mean(unit):
    cosines = unit @ unit.T
    return cosines[~torch.eye(len(unit), dtype=torch.bool)].mean().item()


def test_metrics_are_means_since_they_were_last_asked_for(student, guide):
    module = BatchLoss(student.model, [guide], POLICY, temperature=0.05)
    batches = [[0, 1, 2, 3, 4], [4, 1]]
    each = []
    for rows in batches:
        module(*inputs(student, rows))
        each.append(module.pop_metrics())
    for rows in batches:
        module(*inputs(student, rows))
    assert module.pop_metrics() == pytest.approx(
        {name: (first + each[1].get(name, 0)) / 2 for name, first in each[0].items()}
    )
    assert module.pop_metrics() == {}


def test_metrics_do_not_touch_the_loss(student, guide):
    """The loss of a batch is the same the second time, and what is kept holds on to no graph."""
    module = BatchLoss(student.model, [guide], POLICY, temperature=0.05)
    first, second = (module(*inputs(student, [0, 1, 2])) for _ in range(2))
    assert first == second
    assert first.requires_grad
    assert not any(total.requires_grad for total in module._sums.values())


def test_only_the_students_parameters_are_trained_and_saved(student, guide):
    module = BatchLoss(student.model, [guide], POLICY, temperature=0.05)
    names = {f"model.{name}" for name, _ in student.model.named_parameters()}
    assert {name for name, _ in module.named_parameters()} == names
    assert {name.split(".")[0] for name in module.state_dict()} == {"model"}


def test_every_parameter_of_the_student_learns(student, guide):
    module = BatchLoss(student.model, [guide], POLICY, temperature=0.05)
    module.zero_grad()
    module(*inputs(student, [0, 1, 2, 3, 4])).backward()
    silent = [name for name, p in module.named_parameters() if p.grad is None or not p.grad.any()]
    assert [name for name in silent if "pooler" not in name] == []


def test_a_scheduled_margin_follows_the_step(student, guide):
    """At −3 nothing is masked, at 3 everything that could be."""
    policy = MaskPolicy(margin=MarginSchedule(-3.0, 3.0, steps=10))
    module = BatchLoss(student.model, [guide], policy, temperature=0.05)
    rates = []
    for step in (0, 10):
        module.step = step
        module(*inputs(student, [0, 1, 2, 3, 4]))
        rates.append(module.pop_metrics()["mask_rate/ap"])
    assert rates == [0, 1]


def test_guides_that_agree_mask_as_each_of_them(student, guide):
    """Three of the same: their mean is theirs, and so is every vote."""
    batch = inputs(student, [0, 1, 2, 3, 4])
    alone = BatchLoss(student.model, [guide], POLICY, temperature=0.05)(*batch)
    for vote in ("mean", "majority", "any", "all"):
        policy = replace(POLICY, guide_vote=vote)
        together = BatchLoss(student.model, [guide] * 3, policy, temperature=0.05)(*batch)
        assert together.item() == pytest.approx(alone.item(), rel=1e-5)


def test_a_student_that_scores_needs_no_guide(student):
    """Its own vectors as a guide's give the same loss."""
    batch, policy = inputs(student, [0, 1, 2, 3, 4]), replace(POLICY, margin=0.1)
    own = embed_now(student, PAIRS)
    by_guide = BatchLoss(student.model, [own], policy, temperature=0.05)(*batch)
    by_student = BatchLoss(student.model, [], replace(policy, scorer="student"), temperature=0.05)(*batch)
    assert by_student.item() == pytest.approx(by_guide.item(), rel=1e-5)
    unguided = BatchLoss(student.model, [], POLICY, temperature=0.05)(*batch)
    assert by_student < unguided, "it masks nothing"


def test_extra_weight_is_handed_on(student, guide):
    options = {"hardness_mode": "in_batch_negatives", "hardness_strength": 9.0}
    module = BatchLoss(student.model, [guide], POLICY, temperature=0.05, **options)
    plain = BatchLoss(student.model, [guide], POLICY, temperature=0.05)
    assert module(*inputs(student, [0, 1, 2])) > plain(*inputs(student, [0, 1, 2]))


def test_the_kernel_is_handed_on(student, guide, monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    module = BatchLoss(student.model, [guide], POLICY, temperature=0.05, kernel="triton")
    with pytest.raises(ValueError, match=r"^kernel: 'triton' can't be used: "):
        module(*inputs(student, [0, 1, 2]))
