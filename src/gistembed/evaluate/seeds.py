"""Means over queries and seeds, with intervals that know of the luck of both."""

import numpy as np
from jaxtyping import Float64

from gistembed.evaluate.bootstrap import CONFIDENCE, mean_interval
from gistembed.record import Interval

_RESAMPLES = 9999
# So many resampled numbers are held at once.
_AT_ONCE = 10_000_000


def seed_interval(values: Float64[np.ndarray, "seeds queries"], *, seed: int = 0) -> Interval:
    """Mean over seeds and queries with its percentile bootstrap interval; of one seed, as `mean_interval`.

    Seeds and queries are resampled with replacement, each on their own:

        mean*  =  1/(S·Q) · Σ_s Σ_q  v_s · w_q · x_sq        v ~ multinomial(S),  w ~ multinomial(Q)

    so that the interval holds what another seed would change as well as what other queries would. It errs to
    the wide side for what seeds and queries do together, and to the narrow side for few seeds, of which two
    hardly tell how far apart others would be.

    Args:
        values: The score, or the difference of two, of each query under each seed.
        seed: Seed of the resampling.

    Source: Owen 2007, The pigeonhole bootstrap (Annals of Applied Statistics 1:2).
    """
    seeds, queries = values.shape
    if seeds == 1 or np.ptp(values) == 0:
        return mean_interval(values.mean(axis=0), seed=seed)
    random = np.random.default_rng(seed)
    block = max(1, _AT_ONCE // queries)
    means = np.empty(_RESAMPLES)
    for start in range(0, _RESAMPLES, block):
        count = min(block, _RESAMPLES - start)
        of_seeds = random.multinomial(seeds, np.full(seeds, 1 / seeds), size=count)
        of_queries = random.multinomial(queries, np.full(queries, 1 / queries), size=count)
        means[start : start + count] = ((of_seeds @ values) * of_queries).sum(axis=1)
    low, high = np.quantile(means / values.size, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(mean=float(values.mean()), low=float(low), high=float(high))
