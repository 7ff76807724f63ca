"""What a sweep is to do: the rules, the vectors, the rows, and how many of them at a time."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from gistembed.loss.softmax import Hardness
from gistembed.mask import BatchMask
from gistembed.terms import Kernel

# Bytes of one chunk's scores. On a CPU they should stay near the cores; an accelerator has nothing nearer
# than its memory. More rows than the most gain nothing; with fewer than the fewest, each chunk would read
# and write all gradients for too little work.
_CHUNK_BYTES = 64 << 20
_CHUNK_BYTES_ON_ACCELERATOR = 512 << 20
_MOST_CHUNK_ROWS = 1024
_FEWEST_CHUNK_ROWS = 256
# Where a row meets the texts of its own row only, the others of the chunk are placeholders.
_OWN_SCOPE_CHUNK_ROWS = 64


@dataclass(frozen=True)
class SweepPlan:
    """All that a sweep needs besides the embeddings; what belongs to texts is stacked as in `BatchTexts`.

    Attributes:
        mask: The rules, and who is who.
        unit: Student embeddings of all texts at length 1.
        inverse_norms: 1 over the length that they had; 0 for zero vectors.
        guides: Normalised vectors of all texts, by guide; none at all without a guide or where the student
            scores.
        rows: The rows whose loss is wanted; all texts are candidates all the same.
        row_weights: Weights of the batch's rows, summing to 1.
        temperature: τ.
        dims: Leading dimensions that each view of the embeddings keeps, the widest first.
        dim_weights: Weight of each view's loss.
        hardness: Extra weight for hard candidates; None for none.
        chunk_rows: Rows scored at a time; None chooses by memory.
        kernel: What makes the scores; see `gistembed.loss.kernel`.
    """

    mask: BatchMask
    unit: Float[Tensor, "texts dim"]
    inverse_norms: Float[Tensor, "texts 1"]
    guides: tuple[Float[Tensor, "texts _"], ...]
    rows: slice
    row_weights: Float[Tensor, " rows"]
    temperature: float
    dims: tuple[int, ...]
    dim_weights: tuple[float, ...]
    hardness: Hardness | None
    chunk_rows: int | None
    kernel: Kernel

    def chunks(self) -> list[slice]:
        """The rows wanted, as many at a time as memory is meant to hold."""
        first, last = int(self.rows.start), int(self.rows.stop)
        step = self.chunk_rows or self._step()
        return [slice(start, min(start + step, last)) for start in range(first, last, step)]

    def _step(self) -> int:
        if self.mask.policy.negatives == "explicit":
            return _OWN_SCOPE_CHUNK_ROWS
        budget = _CHUNK_BYTES if self.unit.device.type == "cpu" else _CHUNK_BYTES_ON_ACCELERATOR
        fitting = budget // (self.mask.columns(self.rows).width * self.unit.element_size())
        return min(_MOST_CHUNK_ROWS, max(fitting, _FEWEST_CHUNK_ROWS))
