"""What options of several commands stand for."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gistembed.pairs import Grades


def grades_of(min_score: float | None, max_score: float | None) -> "Grades | None":
    """Which graded rows are positives and negatives.

    Args:
        min_score: Rows with at least this score are positive pairs.
        max_score: Rows with at most this score are negatives.

    Raises:
        UserError: If only the second is given, or they overlap.
    """
    from gistembed.errors import UserError
    from gistembed.pairs import Grades

    if min_score is not None:
        return Grades(min_score, max_score)
    if max_score is not None:
        raise UserError("--max-score: tells negatives from positives only with --min-score; give both")
    return None
