"""That several workers with a real model leave the store that one process leaves."""

import numpy as np
from tests.pairs.pairs_samples import pairs_of

from gistembed.guide import GuideIdentity, GuideSettings, GuideStore, compact, open_guide, plan_encoding
from gistembed.guide.encoding.encode import encode_run
from gistembed.guide.encoding.vectors import longest_first
from gistembed.guide.encoding.workers import WorkerSettings
from gistembed.guide.store.writer import StoreWriter


def check_same_store(model, root, encode):
    """Encode 40 texts here and by `encode(settings, runs)`, and compare what is kept."""
    settings = GuideSettings(str(model))
    guide = open_guide(settings)
    identity = GuideIdentity(guide.identity, guide.max_length, guide.dimensions)
    pairs = pairs_of([(f"{'long ' * (number % 5)}{number}", f"text {number}", []) for number in range(20)])
    stores = [GuideStore(root / name, identity) for name in ("one", "several")]
    plan = plan_encoding(guide, pairs)
    runs = longest_first(guide, plan, plan.missing(stores[0]), pairs)
    for run in runs:
        encode_run(guide, StoreWriter(stores[0]), run)
    encode(WorkerSettings(settings, root / "several", identity, "bert"), runs)
    for store in stores:
        compact(store)
    ((one,), (several,)) = (store.reopened().shards for store in stores)
    assert several.keys.to_bytes() == one.keys.to_bytes()
    assert len(one) == 40
    np.testing.assert_array_equal(several.lengths, one.lengths)
    np.testing.assert_allclose(several.vectors, one.vectors, atol=1e-3)
