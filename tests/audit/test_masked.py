"""The audit against a batch worked out by hand, and against what the loss says of the same batches."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.pairs.pairs_samples import pairs_of, rows_of_texts

from gistembed.audit import audit_masks
from gistembed.batches import BatchPlan, batch_ids
from gistembed.guide import GuideVectors
from gistembed.loss import guided_contrastive_loss
from gistembed.mask import MaskPolicy, score_rows

# In the plane, by angle in degrees; the guide cosine of two texts is the cosine of the angle between them.
ANGLES = {"a0": 0, "p0": 40, "a1": 30, "p1": 59, "a2": 180, "p2": 190, "n0": 10, "n2": 80}
ROWS = [("a0", "p0", ["n0"]), ("a1", "p1", []), ("a2", "p2", ["n2"])]


def guide_of(pairs, angles):
    degrees = np.radians([angles[pairs.texts[i]] for i in range(len(pairs.texts))])
    every = np.arange(len(pairs.texts))
    matrix = np.stack([np.cos(degrees), np.sin(degrees)], axis=1).astype(np.float16)
    return GuideVectors(matrix, {"anchor": every, "document": every})


def audit_of(rows, angles, policy=None, batch_size=None):
    pairs = pairs_of(rows)
    plan = BatchPlan(len(pairs), batch_size or len(pairs), seed=0)
    return audit_masks(pairs, [guide_of(pairs, angles)], policy or MaskPolicy(), plan)


def cosine(degrees):
    return pytest.approx(np.cos(np.radians(degrees)), abs=2e-3)


def seen(examples):
    return [(e.block, e.anchor, e.positive, e.candidate) for e in examples]


def test_a_batch_by_hand():
    """Angles to beat: a0-p0 40°, a1-p1 29°, a2-p2 10°.

    ap: a1-p0 10° masked; a0-p1 59°, a2-p1 121°, a2-p0 140°, a1-p2 160°, a0-p2 170° stay.
    aa: a0-a1 30° masked for row 0, not for row 1; the others are 150° and more.
    pp: p0-p1 19° masked for rows 0 and 1; the others are 131° and more.
    an: a0-n0 10° and a1-n0 20° masked; a1-n2 50°, a0-n2 80°, a2-n2 100°, a2-n0 170° stay.
    """
    record = audit_of(ROWS, ANGLES)
    assert (record.batches, record.rows) == (1, 3)
    assert record.mask_rate == {"ap": 1 / 6, "aa": 1 / 6, "pp": 2 / 6, "an": 2 / 6}
    assert record.known_rate == pytest.approx({"ap": 1 / 3, "aa": 1 / 3, "pp": 1 / 3, "an": 0})
    # Row 0 loses a1, p1 (pp), n0; row 1 loses p0 (ap), p0 (pp), n0; row 2 nothing.
    assert record.masked_edges == [0, 1, 4]
    assert record.rows_by_masked == [1, 2]
    # The two rows of block pp see each other alike; either may be the one that is shown.
    either = [("pp", "a0", "p0", "p1"), ("pp", "a1", "p1", "p0")]
    ap, aa, an, pp = seen(record.examples)
    assert [ap, aa, an] == [("ap", "a1", "p1", "p0"), ("aa", "a0", "p0", "a1"), ("an", "a0", "p0", "n0")]
    assert pp in either
    by_block = {example.block: example for example in record.examples}
    assert (by_block["ap"].guide_candidate, by_block["ap"].guide_positive) == (cosine(10), cosine(29))
    assert (by_block["aa"].guide_candidate, by_block["aa"].guide_positive) == (cosine(30), cosine(40))
    assert by_block["pp"].guide_candidate == cosine(19)
    assert (by_block["an"].guide_candidate, by_block["an"].guide_positive) == (cosine(10), cosine(40))
    assert by_block["ap"].place == "test:2"
    assert by_block["an"].place == "test:1"


@pytest.mark.parametrize(
    ("vote", "rates"),
    [
        ("any", {"ap": 2 / 6, "aa": 1 / 6, "pp": 2 / 6, "an": 2 / 6}),
        ("all", {"ap": 0, "aa": 1 / 6, "pp": 0, "an": 1 / 6}),
    ],
)
def test_two_guides_vote(vote, rates):
    """The first masks what stands above; the second has a0-p0 60° and a1-p1 19° to beat.

    It masks a0-p1 59° in ap, a0-a1 40° in aa for row 0, nothing in pp, and a0-n0 10° in an.
    """
    other = ANGLES | {"p0": -60, "a1": 40}
    pairs = pairs_of(ROWS)
    plan = BatchPlan(3, 3, seed=0)
    guides = [guide_of(pairs, ANGLES), guide_of(pairs, other)]
    assert audit_masks(pairs, guides, MaskPolicy(guide_vote=vote), plan).mask_rate == pytest.approx(rates)


def test_two_guides_by_the_mean_of_their_cosines():
    """a0-p0 is (cos 40° + cos 60°) / 2 = 0.633; a1 lies at (cos 30° + cos 40°) / 2 = 0.816 from a0."""
    pairs = pairs_of(ROWS)
    guides = [guide_of(pairs, ANGLES), guide_of(pairs, ANGLES | {"p0": -60, "a1": 40})]
    record = audit_masks(pairs, guides, MaskPolicy(), BatchPlan(3, 3, seed=0))
    masked = next(example for example in record.examples if example.block == "aa")
    assert (masked.anchor, masked.candidate) == ("a0", "a1")
    assert masked.guide_positive == pytest.approx(0.633, abs=2e-3)
    assert masked.guide_candidate == pytest.approx(0.816, abs=2e-3)


def test_the_closest_calls_stayed():
    record = audit_of(ROWS, ANGLES)
    ap, aa, *an, pp = seen(record.kept_examples)
    assert [ap, aa] == [("ap", "a0", "p0", "p1"), ("aa", "a1", "p1", "a0")]
    assert pp in [("pp", "a2", "p2", "p1"), ("pp", "a1", "p1", "p2")]
    assert an == [("an", "a1", "p1", "n2"), ("an", "a2", "p2", "n0")]
    by_block = {example.block: example for example in reversed(record.kept_examples)}
    assert (by_block["ap"].guide_candidate, by_block["ap"].guide_positive) == (cosine(59), cosine(40))
    assert (by_block["aa"].guide_candidate, by_block["aa"].guide_positive) == (cosine(30), cosine(29))
    assert by_block["pp"].guide_candidate == cosine(131)
    assert (by_block["an"].guide_candidate, by_block["an"].guide_positive) == (cosine(50), cosine(29))


def test_known_texts_are_counted_apart():
    """Both rows ask 'q': the other's positive is known, and so is the own anchor in both places."""
    rows = [("q", "p", []), ("q", "r", [])]
    record = audit_of(rows, {"q": 0, "p": 40, "r": 10})
    assert record.known_rate == {"ap": 1.0, "aa": 1.0, "pp": 1.0}
    assert record.mask_rate == {"ap": 0, "aa": 0, "pp": 0}
    assert (record.masked_edges, record.rows_by_masked) == ([0, 1], [2])
    assert record.examples == record.kept_examples == []


def test_blocks_and_margins_follow_the_policy():
    policy = MaskPolicy(margin={"ap": -2.0}, contrast_anchors=False, contrast_positives=False)
    record = audit_of(ROWS, ANGLES, policy)
    assert record.mask_rate == {"ap": 0, "an": 2 / 6}
    everything = audit_of(ROWS, ANGLES, MaskPolicy(margin=3.0))
    assert set(everything.mask_rate.values()) == {1}
    assert everything.kept_examples == []


@pytest.mark.parametrize("chunk_rows", [1, 2, 512])
def test_explicit_negatives_are_each_row_s_own(monkeypatch, chunk_rows):
    """Row 0 knows n0 as a positive of q; angles to beat: q-p0 40°, a1-p1 29°, q-n0 10°.

    an: row 0 meets n0 (known), n1 35° masked, n2 80°; row 1 meets n1 5° masked; row 2 meets n2 80°.
    Counted with the other rows' negatives there would be 15 candidates, and 11 of them left out.
    """
    monkeypatch.setattr("gistembed.audit.masked._CHUNK_ROWS", chunk_rows)
    rows = [("q", "p0", ["n0", "n1", "n2"]), ("a1", "p1", ["n1"]), ("q", "n0", ["n2"])]
    angles = {"q": 0, "p0": 40, "a1": 30, "p1": 59, "n0": 10, "n1": 35, "n2": 80}
    record = audit_of(rows, angles, MaskPolicy(negatives="explicit"))
    assert record.known_rate == pytest.approx({"an": 1 / 5})
    assert record.mask_rate == pytest.approx({"an": 2 / 4})
    assert (record.masked_edges, record.rows_by_masked) == ([0, 1, 2], [1, 2])
    # No text is shown twice: n1 and n2 each stand in two rows.
    assert seen(record.examples) == [("an", "a1", "p1", "n1")]
    assert [e.candidate for e in record.kept_examples] == ["n2"]


def test_histogram_edges_widen():
    """One of ten rows loses the nine others' positives, the rest lose none: bins 0, 1-3, 4-9."""
    rows = [(f"a{i}", f"p{i}", []) for i in range(10)]
    angles = dict.fromkeys([f"{role}{i}" for role in "ap" for i in range(10)], 150) | {"a0": 0, "p0": 180}
    policy = MaskPolicy(contrast_anchors=False, contrast_positives=False)
    record = audit_of(rows, angles, policy)
    assert record.masked_edges == [0, 1, 4, 10]
    assert record.rows_by_masked == [9, 0, 1]
    assert record.mask_rate == {"ap": 9 / 90}


def test_at_most_eight_examples_of_a_block():
    """Rows around a circle: each finds the positive of the fourth row before it at 4°, its own at 40°."""
    rows = [(f"a{i}", f"p{i}", []) for i in range(40)]
    angles = {f"a{i}": 9 * i for i in range(40)} | {f"p{i}": 9 * i + 40 for i in range(40)}
    record = audit_of(rows, angles)
    assert [e.block for e in record.examples] == ["ap"] * 8 + ["aa"] * 8 + ["pp"] * 8
    for start in (0, 8, 16):
        found = [e.guide_candidate for e in record.examples[start : start + 8]]
        assert found == sorted(found, reverse=True)


def test_only_so_many_rows_are_looked_at(monkeypatch):
    monkeypatch.setattr("gistembed.audit.masked._ROWS", 5)
    rows = [(f"a{i}", f"p{i}", []) for i in range(12)]
    angles = {text: number for number, text in enumerate(text for row in rows for text in row[:2])}
    record = audit_of(rows, angles, batch_size=2)
    assert (record.batches, record.rows) == (2, 4)


def random_guide(pairs, seed, dimensions=16):
    vectors = np.random.default_rng(seed).standard_normal((len(pairs.texts), dimensions))
    every = np.arange(len(pairs.texts))
    return GuideVectors(vectors.astype(np.float16), {"anchor": every, "document": every})


def test_of_one_larger_batch_the_first_rows_are_looked_at(monkeypatch):
    """Five of twelve rows, each against all twelve positives, not against the five."""
    monkeypatch.setattr("gistembed.audit.masked._ROWS", 5)
    monkeypatch.setattr("gistembed.audit.masked._CHUNK_ROWS", 2)
    pairs = pairs_of([(f"a{i}", f"p{i}", []) for i in range(12)])
    guide, plan = random_guide(pairs, seed=0), BatchPlan(12, 12, seed=0)
    record = audit_masks(pairs, [guide], MaskPolicy(contrast_anchors=False, contrast_positives=False), plan)
    rows = plan.epoch(0)[0]
    anchors, positives = (
        x / np.linalg.norm(x, axis=1, keepdims=True)
        for x in (guide.source[ids[rows]].astype(np.float64) for ids in (pairs.anchors, pairs.positives))
    )
    scores = (anchors @ positives.T)[:5]
    masked = (scores > np.diagonal(scores)[:, None]).sum(axis=1)
    assert (record.batches, record.rows, sum(record.rows_by_masked)) == (1, 5, 5)
    assert record.known_rate == {"ap": pytest.approx(5 / 60)}
    assert record.mask_rate == {"ap": pytest.approx(masked.sum() / 55)}


@settings(max_examples=40)
@given(rows_of_texts(texts=9, max_size=10), st.integers(0, 99), st.integers(1, 12))
def test_chunks_do_not_show(rows, seed, chunk_rows):
    """Whatever the rows that are scored at a time, the record is that of the batch as a whole."""
    pairs = pairs_of(rows * 2)
    guide, plan = random_guide(pairs, seed), BatchPlan(len(pairs), len(pairs), seed=0)
    whole = audit_masks(pairs, [guide], MaskPolicy(), plan)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gistembed.audit.masked._CHUNK_ROWS", chunk_rows)
        chunked = audit_masks(pairs, [guide], MaskPolicy(), plan)
    assert chunked.mask_rate == whole.mask_rate
    assert chunked.known_rate == whole.known_rate
    assert (chunked.rows_by_masked, chunked.masked_edges) == (whole.rows_by_masked, whole.masked_edges)
    # Of equal similarities either text may be shown, and then others after it; the first is as similar.
    for name in ("examples", "kept_examples"):
        first, expected = (
            {e.block: e.guide_candidate for e in reversed(getattr(record, name))}
            for record in (chunked, whole)
        )
        assert first == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("negatives", "rows"),
    [
        # At most a million scores: 333 rows of 3,000 candidates, 166 rows of 3,000 and 3,000 hard negatives.
        (0, [333, 333, 333, 1]),
        (3, [166] * 6 + [4]),
    ],
)
def test_the_scores_held_at_a_time_are_few_however_large_the_batch(monkeypatch, negatives, rows):
    seen_rows = []

    def watch(vectors, texts, chunk, columns, out):
        seen_rows.append(len(out))
        assert out.numel() <= 1_000_000
        return score_rows(vectors, texts, chunk, columns, out)

    monkeypatch.setattr("gistembed.audit.masked.score_rows", watch)
    pairs = pairs_of([(f"a{i}", f"p{i}", [f"n{i}.{k}" for k in range(negatives)]) for i in range(1000)])
    record = audit_masks(pairs, [random_guide(pairs, seed=0)], MaskPolicy(), BatchPlan(1000, 1000, seed=0))
    assert seen_rows == rows
    assert record.rows == 1000


def loss_metrics(pairs, guide, policy, rows):
    ids = batch_ids(pairs, pairs.known_positives(), rows)
    vectors = [
        torch.from_numpy(guide.of(text_ids, role).astype(np.float32))
        for text_ids, role in (
            (ids.anchors, "anchor"),
            (ids.positives, "document"),
            (ids.negatives, "document"),
        )
    ]
    # The student has no say in what is masked.
    students = [torch.ones(*x.shape[:-1], 3) for x in vectors]
    hard = ids.negatives.shape[1] > 0
    return guided_contrastive_loss(
        students[0],
        students[1],
        students[2] if hard else None,
        guide_anchors=vectors[0],
        guide_positives=vectors[1],
        guide_negatives=vectors[2] if hard else None,
        anchor_ids=torch.from_numpy(ids.anchors),
        positive_ids=torch.from_numpy(ids.positives),
        negative_ids=torch.from_numpy(ids.negatives) if hard else None,
        negative_mask=torch.from_numpy(ids.negatives >= 0) if hard else None,
        known_ids=torch.from_numpy(ids.known),
        known_offsets=torch.from_numpy(ids.known_offsets),
        policy=policy,
    ).metrics


@settings(max_examples=60)
@given(rows_of_texts(texts=7), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.1, -0.05]))
def test_mask_rates_are_those_of_the_loss(rows, seed, margin):
    """One batch of all rows, guide vectors of which some are equal: the same rates to the last candidate."""
    pairs = pairs_of(rows * 2)
    random = np.random.default_rng(seed)
    matrix = random.standard_normal((3, 16)).astype(np.float16)[random.integers(3, size=len(pairs.texts))]
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    every = np.arange(len(pairs.texts))
    guide = GuideVectors(matrix, {"anchor": every, "document": every})
    policy = MaskPolicy(margin=margin, margin_strategy="relative")
    plan = BatchPlan(len(pairs), len(pairs), seed=0)
    record = audit_masks(pairs, [guide], policy, plan)
    metrics = loss_metrics(pairs, guide, policy, plan.epoch(0)[0])
    assert record.mask_rate == pytest.approx(
        {name.removeprefix("mask_rate/"): float(value) for name, value in metrics.items() if "/" in name}
    )
    candidates = len(pairs) * np.array([len(pairs)] * 3 + [len(pairs.negative_ids)])
    left = sum(
        count * (1 - record.known_rate[block]) * (1 - record.mask_rate[block])
        for block, count in zip(("ap", "aa", "pp", "an"), candidates, strict=True)
        if block in record.mask_rate
    )
    assert left / len(pairs) == pytest.approx(float(metrics["negatives_per_row"]))


def test_a_paraphrase_with_the_positives_own_vector_stays():
    """Ties stay, so an equal vector must give an equal number, in the audit as in the loss."""
    random = np.random.default_rng(0)
    rows = [(f"a{i}", f"p{i}", []) for i in range(64)]
    pairs = pairs_of(rows)
    matrix = random.standard_normal((128, 384)).astype(np.float16)
    matrix[pairs.positives] = matrix[pairs.positives[0]]
    every = np.arange(128)
    guide = GuideVectors(matrix, {"anchor": every, "document": every})
    policy = MaskPolicy(contrast_anchors=False, contrast_positives=False)
    record = audit_masks(pairs, [guide], policy, BatchPlan(64, 64, seed=0))
    assert record.mask_rate == {"ap": 0}
    metrics = loss_metrics(pairs, guide, policy, np.arange(64))
    assert float(metrics["mask_rate/ap"]) == 0
