"""Texts that are longer than a model reads: what is beyond the limit is cut off without a word."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from gistembed.doctor.findings import finding, graded
from gistembed.doctor.numbered import EXAMPLES, NumberedRows, shown
from gistembed.models import EmbeddingModel
from gistembed.record import Finding
from gistembed.terms import Role

COUNTED_TEXTS = 50_000
"""Texts of each role whose tokens are counted, at most: the share is right within half a percentage point."""


@dataclass(frozen=True, eq=False)
class TokenCounts:
    """Tokens of some texts as a model reads them, and how many it reads at most.

    Attributes:
        who: The model in the run: ``student`` or ``guide``.
        limit: Longest input in tokens.
        ids: Text ids; a text may stand here once for each role.
        tokens: Tokens of each, nothing cut off.
    """

    who: str
    limit: int
    ids: Int64[np.ndarray, " texts"]
    tokens: Int64[np.ndarray, " texts"]


def count_tokens(
    rows: NumberedRows, model: EmbeddingModel, who: str, on_progress: Callable[[int], None]
) -> TokenCounts | None:
    """Count the tokens of the rows' texts with a model's prompts; None for a model that cuts nothing off.

    Args:
        rows: The rows.
        model: The model.
        who: What the model is in the run: ``student`` or ``guide``.
        on_progress: Called with the number of texts counted since the call before.
    """
    if model.max_length is None:
        return None
    ids, tokens = [], []
    for role, distinct in texts_by_role(rows).items():
        drawn = np.sort(np.random.default_rng(0).permutation(distinct)[:COUNTED_TEXTS])
        lengths = model.input_lengths([rows.text(text_id) for text_id in drawn.tolist()], role, on_progress)
        if lengths is None:
            return None
        ids.append(drawn)
        tokens.append(lengths.astype(np.int64))
    return TokenCounts(who, model.max_length, np.concatenate(ids), np.concatenate(tokens))


def texts_by_role(rows: NumberedRows) -> dict[Role, Int64[np.ndarray, " distinct"]]:
    """Ids of the distinct texts in each role.

    Args:
        rows: The rows.
    """
    return {
        "anchor": np.unique(rows.anchors),
        "document": np.unique(np.concatenate([rows.positives, rows.negatives])),
    }


def cut_texts(rows: NumberedRows, counts: TokenCounts) -> list[Finding]:
    """Texts that a model doesn't read to their end.

    Args:
        rows: The rows that the texts are from.
        counts: Their tokens.
    """
    longer = counts.tokens > counts.limit
    count = int(longer.sum())
    if not count:
        return []
    first_rows = rows.first_rows()
    worst = np.flatnonzero(longer)[np.argsort(-counts.tokens[longer], kind="stable")][:EXAMPLES]
    return [
        finding(
            f"cut-by-{counts.who}",
            graded(count / len(longer), warning=0.1),
            count,
            len(longer),
            f"texts are longer than the {counts.limit:,} tokens that the {counts.who} reads; the longest has "
            f"{int(counts.tokens.max()):,}",
            "What is beyond is never seen. Split long texts, or choose a model or a maximum length that "
            "holds them.",
            rows.examples(
                (
                    int(first_rows[counts.ids[which]]),
                    f"{counts.tokens[which]:,} tokens: {shown(rows.text(int(counts.ids[which])))}",
                )
                for which in worst.tolist()
            ),
        )
    ]
