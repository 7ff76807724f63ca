"""A Triton kernel for the plain rule: student scores, guide scores, mask and softmax sums in one pass.

The plain path writes the student's and the guide's scores, reads both to mask, and reads the result twice
more for the softmax. Here a tile of both is computed, compared and written once, with the tile's highest
score and its sum of exponentials; these few numbers give every row's softmax.

Importing this needs Triton. Whether it is used, `gistembed.loss.kernel` decides by trying it.
"""

from typing import NamedTuple

import triton
import triton.language as tl
from jaxtyping import Float, Int32
from torch import Tensor

# Of a tile: rows, candidates, and dimensions taken at a time.
_TILE_ROWS, _TILE_COLUMNS, _TILE_DIMS = 64, 64, 32
_SLOPE_COLUMNS = 1024
_FAR = 1e30


class FusedScores(NamedTuple):
    """What the kernel finds for a chunk of rows and one block.

    Attributes:
        peaks: Highest score of a negative in each tile, by row.
        sums: Σ e^(score - peak) over the negatives of each tile, by row.
        masked: Candidates that the guide takes out, by row.
        own_scores: Score of the row's own positive; 0 in blocks that don't hold it.
    """

    peaks: Float[Tensor, "rows tiles"]
    sums: Float[Tensor, "rows tiles"]
    masked: Float[Tensor, " rows"]
    own_scores: Float[Tensor, " rows"]


def masked_scores(
    unit: tuple[Float[Tensor, "rows dim"], Float[Tensor, "candidates dim"]],
    guide: tuple[Float[Tensor, "rows guide_dim"], Float[Tensor, "candidates guide_dim"]],
    row_codes: Int32[Tensor, "rows known"],
    codes: Int32[Tensor, " candidates"],
    limits: Float[Tensor, " rows"],
    out: Float[Tensor, "rows candidates"],
    *,
    own: int | None,
    scale: float,
    strict: bool,
    tf32: bool,
) -> FusedScores:
    """Scores of one block after the mask, and what the softmax needs of them.

    Args:
        unit: Student's unit vectors of the rows' texts, and of the candidates.
        guide: The guide's, likewise.
        row_codes: Codes of each row's own texts; -1 pads.
        codes: Code of each candidate, ≥ 0; equal codes mean equal texts.
        limits: Guide similarity above which a candidate leaves, by row.
        out: Where the scores go; what leaves or is excluded is far below all others. Its columns are
            neighbours in memory, its rows need not be.
        own: Candidate that is the own positive of the first row, the next being that of the second; None in
            blocks that hold none.
        scale: 1/τ.
        strict: Whether a candidate exactly at the limit stays.
        tf32: Whether the student's scores may keep fewer digits.
    """
    rows, candidates = out.shape
    tiles = triton.cdiv(candidates, _TILE_COLUMNS)
    peaks, sums, masked = (out.new_empty(rows, tiles) for _ in range(3))
    own_scores = out.new_zeros(rows)
    grid = (triton.cdiv(rows, _TILE_ROWS), tiles)
    _masked_scores_kernel[grid](
        unit[0],
        unit[1],
        guide[0],
        guide[1],
        row_codes,
        codes,
        limits,
        out,
        peaks,
        sums,
        masked,
        own_scores,
        rows,
        candidates,
        tiles,
        unit[0].stride(0),
        unit[1].stride(0),
        guide[0].stride(0),
        guide[1].stride(0),
        row_codes.stride(0),
        out.stride(0),
        -1 if own is None else own,
        scale,
        DIM=unit[0].shape[1],
        GUIDE_DIM=guide[0].shape[1],
        KNOWN=row_codes.shape[1],
        STRICT=strict,
        HOLDS_OWN=own is not None,
        PRECISION="tf32" if tf32 else "ieee",
        # Decisions keep their digits.
        GUIDE_PRECISION="tf32x3" if tf32 else "ieee",
        TILE_ROWS=_TILE_ROWS,
        TILE_COLUMNS=_TILE_COLUMNS,
        TILE_DIMS=_TILE_DIMS,
        FAR=_FAR,
        enable_fp_fusion=True,
    )
    return FusedScores(peaks, sums, masked.sum(1), own_scores)


def slopes_from_scores(
    scores: Float[Tensor, "rows candidates"],
    log_all: Float[Tensor, " rows"],
    factors: Float[Tensor, " rows"],
    *,
    own: int,
) -> None:
    """Turn scores into slopes in place: factor · (e^(score - log_all) - [own positive]).

    Args:
        scores: Scores of all blocks, after the mask.
        log_all: Logarithm of each row's softmax denominator.
        factors: What each row's slopes are multiplied by.
        own: Column of the first row's own positive, the next being that of the second.
    """
    rows, candidates = scores.shape
    grid = (rows, triton.cdiv(candidates, _SLOPE_COLUMNS))
    _slopes_kernel[grid](
        scores,
        log_all,
        factors,
        candidates,
        scores.stride(0),
        own,
        TILE_COLUMNS=_SLOPE_COLUMNS,
        enable_fp_fusion=True,
    )


@triton.jit
def _masked_scores_kernel(
    row_unit,
    column_unit,
    row_guide,
    column_guide,
    row_codes,
    codes,
    limits,
    out,
    peaks,
    sums,
    masked,
    own_scores,
    rows,
    candidates,
    tiles,
    row_unit_stride,
    column_unit_stride,
    row_guide_stride,
    column_guide_stride,
    row_codes_stride,
    out_stride,
    own,
    scale,
    DIM: tl.constexpr,
    GUIDE_DIM: tl.constexpr,
    KNOWN: tl.constexpr,
    STRICT: tl.constexpr,
    HOLDS_OWN: tl.constexpr,
    PRECISION: tl.constexpr,
    GUIDE_PRECISION: tl.constexpr,
    TILE_ROWS: tl.constexpr,
    TILE_COLUMNS: tl.constexpr,
    TILE_DIMS: tl.constexpr,
    FAR: tl.constexpr,
):
    """One tile of rows × candidates."""
    tile = tl.program_id(1)
    row = tl.program_id(0) * TILE_ROWS + tl.arange(0, TILE_ROWS)
    column = tile * TILE_COLUMNS + tl.arange(0, TILE_COLUMNS)
    row_there, column_there = row < rows, column < candidates
    score = tl.zeros((TILE_ROWS, TILE_COLUMNS), tl.float32)
    for start in range(0, DIM, TILE_DIMS):
        dim = start + tl.arange(0, TILE_DIMS)
        left = tl.load(
            row_unit + row[:, None].to(tl.int64) * row_unit_stride + dim[None, :],
            mask=row_there[:, None] & (dim[None, :] < DIM),
            other=0.0,
        )
        right = tl.load(
            column_unit + column[None, :].to(tl.int64) * column_unit_stride + dim[:, None],
            mask=column_there[None, :] & (dim[:, None] < DIM),
            other=0.0,
        )
        score = tl.dot(left, right, score, input_precision=PRECISION)
    similarity = tl.zeros((TILE_ROWS, TILE_COLUMNS), tl.float32)
    for start in range(0, GUIDE_DIM, TILE_DIMS):
        dim = start + tl.arange(0, TILE_DIMS)
        left = tl.load(
            row_guide + row[:, None].to(tl.int64) * row_guide_stride + dim[None, :],
            mask=row_there[:, None] & (dim[None, :] < GUIDE_DIM),
            other=0.0,
        )
        right = tl.load(
            column_guide + column[None, :].to(tl.int64) * column_guide_stride + dim[:, None],
            mask=column_there[None, :] & (dim[:, None] < GUIDE_DIM),
            other=0.0,
        )
        similarity = tl.dot(left, right, similarity, input_precision=GUIDE_PRECISION)

    score = score * scale
    code = tl.load(codes + column, mask=column_there, other=-2)
    excluded = row[:, None] < 0
    for number in tl.static_range(KNOWN):
        known = tl.load(row_codes + row * row_codes_stride + number, mask=row_there, other=-1)
        excluded = excluded | (code[None, :] == known[:, None])
    limit = tl.load(limits + row, mask=row_there, other=0.0)
    leaves = (similarity > limit[:, None]) if STRICT else (similarity >= limit[:, None])
    if HOLDS_OWN:
        is_own = column[None, :] == (row[:, None] + own)
        own_score = tl.sum(tl.where(is_own, score, 0.0), axis=1)
        holds = row_there & (row + own >= tile * TILE_COLUMNS) & (row + own < (tile + 1) * TILE_COLUMNS)
        tl.store(own_scores + row, own_score, mask=holds)
        excluded = excluded | is_own
    there = row_there[:, None] & column_there[None, :]
    leaves = leaves & (excluded == 0) & there
    count = tl.sum(leaves.to(tl.float32), axis=1)
    negative = tl.where(excluded | leaves, -FAR, score)
    written = tl.where(is_own, score, negative) if HOLDS_OWN else negative
    places = out + row[:, None].to(tl.int64) * out_stride + column[None, :]
    tl.store(places, written, mask=there)
    negative = tl.where(there, negative, -FAR)
    peak = tl.max(negative, axis=1)
    total = tl.sum(tl.where(negative > -FAR, tl.exp(negative - peak[:, None]), 0.0), axis=1)
    tl.store(peaks + row * tiles + tile, peak, mask=row_there)
    tl.store(sums + row * tiles + tile, total, mask=row_there)
    tl.store(masked + row * tiles + tile, count, mask=row_there)


@triton.jit
def _slopes_kernel(
    scores,
    log_all,
    factors,
    candidates,
    stride,
    own,
    TILE_COLUMNS: tl.constexpr,
):
    """A run of one row's columns."""
    row = tl.program_id(0)
    column = tl.program_id(1) * TILE_COLUMNS + tl.arange(0, TILE_COLUMNS)
    place = scores + row.to(tl.int64) * stride + column
    there = column < candidates
    # Beside the scores: nothing, and not the exponential of a denominator that may be very small.
    share = tl.exp(tl.load(place, mask=there, other=float("-inf")) - tl.load(log_all + row))
    slope = tl.where(column == row + own, share - 1.0, share) * tl.load(factors + row)
    tl.store(place, slope, mask=there)
