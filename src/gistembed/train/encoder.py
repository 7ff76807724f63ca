"""The texts of a batch through the student: as many graphs kept as fit, the rest replayed."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint

from gistembed.batches import packed_parts, packed_texts
from gistembed.train.sharded import held_here

Features = Mapping[str, Any]


class MicroBatchEncoder:
    """Embeds the micro-batches of a batch within a budget of memory.

    What the backward pass needs of a micro-batch, its *graph*, is kept while the graphs of a batch fit into
    the budget. The others are thrown away and computed again when the backward pass comes to them, one at a
    time and with the same random numbers: gradient caching, with the same result, on a CPU to the last bit,
    for a third more arithmetic in that part of the batch.

    How large graphs are is not guessed: that of the micro-batch with the widest texts, which comes first and
    is kept in any case, is measured as it arises, whatever the device and the model, and the others are taken
    to need as much for each of their tokens. They need less, since attention takes more the wider texts are.

    Attributes:
        budget: Bytes that the graphs of a batch may take.
        pieces: Into how many parts each micro-batch is cut; 1 until memory runs out.
        kept: Micro-batches of the last batch whose graphs were kept.
        replayed: Those that are computed twice.
    """

    def __init__(self, budget: int) -> None:
        """Start with nothing measured.

        Args:
            budget: Bytes that the graphs of a batch may take; that of one micro-batch is kept in any case.
        """
        self.budget = budget
        self.pieces = 1
        self.kept = self.replayed = 0
        self._taken = 0
        self._most_texts = 0
        self._bytes_per_token = 0.0

    def __call__(self, model: nn.Module, micro_batches: Sequence[Features]) -> Float[Tensor, "texts dim"]:
        """Embeddings of all texts, in their order; with gradients, if these are on.

        Args:
            model: The student.
            micro_batches: Its inputs.
        """
        self.kept = self.replayed = self._taken = 0
        self._most_texts = max(map(_texts, micro_batches))
        micro_batches = [part for whole in micro_batches for part in _parts(whole, self.pieces)]
        if not torch.is_grad_enabled():
            return torch.cat([_embeddings(model, micro_batch) for micro_batch in micro_batches])
        sizes = [_size(micro_batch) for micro_batch in micro_batches]
        widest = max(range(len(sizes)), key=lambda number: (sizes[number].width, sizes[number].tokens))
        most = max(size.tokens for size in sizes)
        embeddings = {
            number: self._with_graph(model, micro_batches[number], sizes[number].tokens, most)
            for number in (widest, *(number for number in range(len(sizes)) if number != widest))
        }
        return torch.cat([embeddings[number] for number in range(len(sizes))])

    def lower(self) -> bool:
        """Ask for less memory from now on: first by fewer graphs, then by smaller micro-batches.

        Returns:
            Whether that is possible.
        """
        if self.kept > 1:
            self.budget = min(self.budget, self._taken) // 2
            return True
        self.budget = 0
        self.pieces *= 2
        return self.pieces < 2 * self._most_texts

    def _with_graph(self, model: nn.Module, micro_batch: Features, tokens: int, most: int) -> Tensor:
        # Beside those that are kept, the largest that is replayed must find room.
        needed = self._taken + self._bytes_per_token * (tokens + most)
        if self.kept and needed > self.budget:
            self.replayed += 1
            # With gradients of its inputs neither needed nor there, the reentrant form would lose those of
            # the weights.
            replayed: Tensor = checkpoint(_embeddings, model, micro_batch, use_reentrant=False)
            return replayed
        with _measured(model) as graph:
            embeddings = _embeddings(model, micro_batch)
        if not self.kept:
            self._bytes_per_token = graph.bytes / max(tokens, 1)
        self.kept += 1
        self._taken += graph.bytes
        return embeddings


@dataclass(frozen=True)
class _Size:
    """Tokens of a micro-batch, padding included, and of its longest text."""

    tokens: int
    width: int


class _Graph:
    """What autograd has saved; storages that several tensors share count once."""

    def __init__(self, model: nn.Module) -> None:
        tensors = (*model.parameters(), *model.buffers())
        self._seen = {held_here(tensor).untyped_storage().data_ptr() for tensor in tensors}
        self.bytes = 0

    def pack(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._seen:
            self._seen.add(storage.data_ptr())
            self.bytes += storage.nbytes()
        # Not the tensor itself, which may be the output of the node that saves it: a circle of references
        # that would keep a graph that no backward pass ever frees.
        return tensor.detach()


@contextmanager
def _measured(model: nn.Module) -> Iterator[_Graph]:
    graph = _Graph(model)
    with saved_tensors_hooks(graph.pack, lambda tensor: tensor):
        yield graph


def _embeddings(model: nn.Module, micro_batch: Features) -> Tensor:
    # A copy: modules of sentence-transformers write their results into the mapping that they are given, and
    # a replay must begin with the inputs alone.
    embeddings: Tensor = model(dict(micro_batch))["sentence_embedding"]
    return embeddings


def _texts(micro_batch: Features) -> int:
    packed = packed_texts(micro_batch)
    if packed is not None:
        return packed
    if "offsets" in micro_batch:
        return len(micro_batch["offsets"])
    return next(len(value) for value in micro_batch.values() if isinstance(value, Tensor))


def _size(micro_batch: Features) -> _Size:
    """How large a micro-batch is; the texts of static models count as one token wide."""
    ids = micro_batch.get("input_ids")
    if not isinstance(ids, Tensor):
        return _Size(_texts(micro_batch), 1)
    if packed_texts(micro_batch) is not None:
        return _Size(ids.numel(), micro_batch["max_length_q"])
    return _Size(ids.numel(), ids.shape[1] if ids.ndim > 1 else 1)


def _parts(micro_batch: Features, pieces: int) -> list[Features]:
    """A micro-batch of a transformer in so many parts, or fewer if it has fewer texts."""
    texts = _texts(micro_batch)
    # Texts of static models take next to nothing.
    if pieces == 1 or "offsets" in micro_batch:
        return [micro_batch]
    size = -(-texts // pieces)
    if packed_texts(micro_batch) is not None:
        return list(packed_parts(micro_batch, size))
    return [
        {
            name: value[start : start + size] if isinstance(value, Tensor) else value
            for name, value in micro_batch.items()
        }
        for start in range(0, texts, size)
    ]
