"""How much of a gain is the luck of having chosen the best of many by the very queries that measure it."""

import numpy as np
from jaxtyping import Float64

from gistembed.search.record import Gain

_HALVES = 500


def gain_of_best(scores: Float64[np.ndarray, "trials queries"], *, seed: int = 0) -> Gain:
    """What the best trial gained over the first one, on the queries that chose it and on others.

    seen    =  max_t mean_q s_tq  −  mean_q s_0q
    unseen  =  mean over random halves A, B of the queries:  mean_B s_t*q − mean_B s_0q
               where t* = argmax_t mean_A s_tq

    The first is too good, the more so the more trials there are and the fewer queries; the second is not, but
    chooses by half of the queries only, and so errs to the other side.

    Args:
        scores: The metric of each query under each trial; the first trial is the one compared with.
        seed: Seed of the halves.
    """
    means = scores.mean(axis=1)
    queries = scores.shape[1]
    if queries < 2:
        return Gain(seen=float(means.max() - means[0]), unseen=0.0)
    random = np.random.default_rng(seed)
    gains = np.empty(_HALVES)
    for i in range(_HALVES):
        order = random.permutation(queries)
        chosen_by, measured_on = order[: queries // 2], order[queries // 2 :]
        best = scores[:, chosen_by].mean(axis=1).argmax()
        gains[i] = (scores[best, measured_on] - scores[0, measured_on]).mean()
    return Gain(seen=float(means.max() - means[0]), unseen=float(gains.mean()))
