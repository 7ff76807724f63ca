"""Measures of rankings by query, by ir-measures."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Float64

Judged = tuple[str, str, int]
"""Query, document, and how well it answers."""

Found = tuple[str, str, float]
"""Query, document, and its score in the ranking."""


def measured(
    names: Mapping[str, str], queries: Sequence[str], judged: Iterable[Judged], found: Iterable[Found]
) -> dict[str, Float64[np.ndarray, " queries"]]:
    """The score of every query under every measure; 0 for a query for which nothing is found.

    Args:
        names: What ir-measures calls each measure, by what it is called here.
        queries: The queries.
        judged: Which documents answer which queries.
        found: The rankings, in any order; of equal scores, the higher name of a document comes first.
    """
    import ir_measures

    measures = {ir_measures.parse_measure(theirs): ours for ours, theirs in names.items()}
    position = {query: row for row, query in enumerate(queries)}
    # Ranks in place of scores: the libraries behind ir-measures each have an order of ties of their own.
    ranked = enumerate(sorted(found, key=lambda document: (document[0], document[2], document[1])))
    scores = {name: np.zeros(len(queries)) for name in names}
    for result in ir_measures.iter_calc(
        list(measures),
        (ir_measures.Qrel(*judgement) for judgement in judged),
        (ir_measures.ScoredDoc(query, document, rank) for rank, (query, document, _) in ranked),
    ):
        scores[measures[result.measure]][position[result.query_id]] = result.value
    return scores
