"""Who is eligible, and who stays: the mask of random batches against the loop-written reference."""

import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.loss.loss_batches import loss_batches
from tests.loss.reference import reference

from gistembed.loss.inputs import batch_shape, batch_texts, guide_vectors
from gistembed.mask import BLOCK_SIDES, BatchMask, BatchTexts, MaskPolicy, score_rows


def masks_of(batch, chunk_rows):
    """Kept, masked and excluded candidates by row, as (block, number of the text in its role)."""
    policy = batch["policy"]
    shape = batch_shape(
        batch["anchors"], batch["positives"], batch.get("negatives"), batch.get("negative_mask")
    )
    names = ("anchor_ids", "positive_ids", "negative_ids", "known_ids", "known_offsets")
    texts = batch_texts(
        shape, trusted=batch.get("trusted_negatives"), **{name: batch.get(name) for name in names}
    )
    mask = BatchMask(texts, policy)
    guides = guide_vectors(
        *(batch.get(f"guide_{role}s") for role in ("anchor", "positive", "negative")), shape, policy
    )
    if policy.scorer == "student":
        guides = guide_vectors(
            batch["anchors"], batch["positives"], batch.get("negatives"), shape, MaskPolicy()
        )
    fates = []
    for start in range(0, texts.rows, chunk_rows):
        rows = slice(start, min(start + chunk_rows, texts.rows))
        columns = mask.columns(rows)
        similarities = [
            score_rows(guide, texts, rows, columns, guide.new_empty(rows.stop - start, columns.width))
            for guide in guides
        ]
        decided = mask.decide(rows, columns, similarities)
        kept = decided.keep(columns)
        leaves = torch.zeros_like(kept) if decided.leaves is None else decided.leaves > 0
        assert decided.left.tolist() == kept.sum(1).tolist()
        by_block = [leaves[:, span].sum(1).tolist() for span in columns.spans]
        assert decided.masked.T.tolist() == by_block
        assert mask.eligible(rows).tolist() == [int((kept | leaves)[:, span].sum()) for span in columns.spans]
        for row in range(rows.stop - start):
            named = [set(), set()]
            for block, held, span in zip(columns.blocks, columns.texts, columns.spans, strict=True):
                first = held.start - texts.places(BLOCK_SIDES[block].columns).start
                for fate, found in zip(named, (kept, leaves), strict=True):
                    places = found[row, span].nonzero().flatten()
                    fate |= {(block, first + place) for place in places.tolist()}
            fates.append(named)
    return fates


def named(candidates, batch):
    """The reference's candidates in the same words: negatives are numbered along those that exist."""
    rows = len(batch["anchors"])
    per_row = 0 if "negatives" not in batch else batch["negatives"].shape[1]
    exists = batch.get("negative_mask", torch.ones(rows, per_row, dtype=torch.bool)).flatten()
    numbers = exists.cumsum(0) - 1
    result = set()
    for candidate in candidates:
        role, number = divmod(candidate.target, rows)
        if role > 1:
            number = int(numbers[candidate.target - 2 * rows])
        result.add((candidate.block, number))
    return result


@settings(max_examples=150)
@given(loss_batches(torch.float64), st.data())
def test_masks_equal_the_reference(batch, data):
    batch.pop("rows", None)
    batch.pop("dims", None)
    batch.pop("dim_weights", None)
    expected = reference(**batch)
    assume(expected.closest > 1e-12)
    chunk_rows = data.draw(st.integers(1, len(batch["anchors"])))
    assert masks_of(batch, chunk_rows) == [
        [named(row.kept, batch), named(row.masked, batch)] for row in expected.rows
    ]


def eligible(anchors, positives, negatives=(), negative_rows=(), policy=None, **known):
    """Whom each row could be contrasted with, without a guide."""
    ids = torch.tensor([*positives, *anchors, *negatives])
    texts = BatchTexts(len(anchors), ids, torch.tensor(negative_rows, dtype=torch.int64), **known)
    mask = BatchMask(texts, policy or MaskPolicy(contrast_anchors=False, contrast_positives=False))
    rows = slice(0, len(anchors))
    return mask.decide(rows, mask.columns(rows), []).keep(mask.columns(rows)).tolist()


def test_eligible_by_value():
    """Texts 10 … are anchors. Row 2 has the positive of row 0, and row 0 knows text 21."""
    known = {"known_ids": torch.tensor([21]), "known_offsets": torch.tensor([0, 1, 1, 1])}
    assert eligible([10, 11, 12], [20, 21, 20], [30, 20], [1, 1], **known) == [
        [False, False, False, True, False],
        [True, False, True, True, True],
        [False, True, False, True, False],
    ]


def test_ids_may_be_any_numbers():
    """Hashes of texts are ids too; as indices they would need all the memory there is."""
    large = 2**62
    assert eligible([large, -large], [7, 7]) == [[False, False], [False, False]]
    assert eligible([large, -large], [7, large]) == [[False, False], [True, False]]


def test_a_row_with_its_negatives_alone_meets_no_other_row():
    policy = MaskPolicy(negatives="explicit")
    assert eligible([10, 11], [20, 21], [30, 31, 21], [0, 1, 1], policy) == [
        [False, False, True, False, False],
        [False, False, False, True, False],
    ]
