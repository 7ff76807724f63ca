"""Several processes that hold one batch together, for the tests of gathering.

python -m tests.loss.ranks ROWS FOLDER RANKS [RANKS …]
"""

import datetime
import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from sentence_transformers import SentenceTransformer
from torch.nn.parallel import DistributedDataParallel

from gistembed import CachedGISTEmbedLoss, GISTEmbedLoss, MaskPolicy, guided_contrastive_loss
from gistembed.loss import gather_batch

POLICY = MaskPolicy(margin=0.05, contrast_reverse=True)
TEMPERATURE = 0.05
NAMES = ("anchors", "positives", "negatives")


def batch(rows: int, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """One batch; a third of its texts are shared between rows, some of them of different ranks."""
    generator = torch.Generator().manual_seed(rows)
    ids = torch.randint(0, 3 * rows, (rows, 4), generator=generator)
    student = torch.randn(3 * rows, 8, generator=generator, dtype=torch.float64)
    guide = student[:, :5] + torch.randn(3 * rows, 5, generator=generator, dtype=torch.float64)
    result = {
        "anchor_ids": ids[:, 0],
        "positive_ids": ids[:, 1],
        "negative_ids": ids[:, 2:],
        "negative_mask": torch.rand(rows, 2, generator=generator) < 0.8,
        "weights": torch.rand(rows, generator=generator, dtype=torch.float64) + 0.1,
    }
    for name, one in (("anchors", ids[:, 0]), ("positives", ids[:, 1]), ("negatives", ids[:, 2:])):
        result[name] = student[one]
        result[f"guide_{name}"] = guide[one]
    return {name: value.to(dtype) if value.is_floating_point() else value for name, value in result.items()}


def loss_of(arguments: dict[str, object]) -> torch.Tensor:
    """The loss with the settings of these tests."""
    return guided_contrastive_loss(**arguments, policy=POLICY, temperature=TEMPERATURE).loss


def sizes(ranks: int, rows: int) -> list[int]:
    """Rows of each rank: all alike but the last, which has what is left."""
    each = -(-rows // ranks)
    return [min(each, rows - rank * each) for rank in range(ranks)]


def linear(dtype: torch.dtype) -> SentenceTransformer:
    """A model of one layer."""
    return SentenceTransformer(modules=[_Linear(dtype)], device="cpu")


class _Linear(torch.nn.Module):
    def __init__(self, dtype: torch.dtype) -> None:
        """Weights that are the same in every process."""
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(8, 6, dtype=dtype)

    def forward(self, features: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Embed a column."""
        return {"sentence_embedding": self.layer(features["vectors"])}


def module_loss(kind: str, model: SentenceTransformer) -> torch.nn.Module:
    """A drop-in loss around a bare model, its own guide without a tokenizer; the temperature is learned."""
    temperature = torch.nn.Parameter(torch.tensor(TEMPERATURE, dtype=torch.float64))
    made = {
        "plain": lambda: GISTEmbedLoss(model, model, temperature, gather_across_devices=True, policy=POLICY),
        "cached": lambda: CachedGISTEmbedLoss(
            model, model, temperature, 2, gather_across_devices=True, policy=POLICY
        ),
    }
    loss: torch.nn.Module = made[kind]()
    return loss


def columns(arguments: dict[str, torch.Tensor]) -> list[dict[str, torch.Tensor]]:
    """A batch's student embeddings as the inputs of that model."""
    every = [arguments["anchors"], arguments["positives"], *arguments["negatives"].unbind(1)]
    return [{"vectors": column, "attention_mask": torch.ones(len(column), 1)} for column in every]


def labels(arguments: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Text ids as `GuideCollator` gives them."""
    ids = [arguments["anchor_ids"], arguments["positive_ids"], *arguments["negative_ids"].unbind(1)]
    return {"text_ids": torch.stack(ids, dim=1)}


def _rank(rank: int, ranks: int, rows: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meeting",
        rank=rank,
        world_size=ranks,
        timeout=datetime.timedelta(seconds=60),
    )
    start = sum(sizes(ranks, rows)[:rank])
    mine = slice(start, start + sizes(ranks, rows)[rank])
    result: dict[str, object] = {}
    for dtype in (torch.float64, torch.float32):
        local = {name: value[mine] for name, value in batch(rows, dtype).items()}
        leaves = {name: local[name].clone().requires_grad_() for name in NAMES}
        loss = loss_of(gather_batch(local | leaves))
        loss.backward()
        result[str(dtype)] = [loss.detach(), *(leaf.grad for leaf in leaves.values())]
    local = {name: value[mine] for name, value in batch(rows, torch.float64).items()}
    for kind in ("plain", "cached"):
        model = linear(torch.float64)
        loss_module = module_loss(kind, model)
        # As the trainer does: the loss is made for the bare model, and gets the wrapped one.
        loss_module.model = DistributedDataParallel(model)
        loss = loss_module(columns(local), labels(local))
        loss.backward()
        result[kind] = [loss.detach(), *(one.grad for one in loss_module.parameters())]
    changes: dict[str, dict[str, object]] = {
        "negatives": {"negatives": local["negatives"][:, : 1 + (rank == 0)]},
        "dtype": {"anchors": local["anchors"].to(torch.float64 if rank else torch.float32)},
        "several guides": {"guide_anchors": [local["guide_anchors"]]} if rank else {},
        "known ids": {"known_ids": torch.arange(3)} if rank == 1 else {},
        "no rows": {name: value[: 0 if rank == 1 else None] for name, value in local.items()},
    }
    for name, change in changes.items():
        try:
            gather_batch(local | change)
        except ValueError as error:
            result[name] = str(error)
    torch.save(result, Path(folder) / f"rank-{rank}.pt")
    dist.destroy_process_group()
    # Without destructors: that of a DDP module holds the interpreter's lock while it waits for a thread of
    # Gloo, which may be waiting for the lock.
    os._exit(0)


if __name__ == "__main__":
    total, where = int(sys.argv[1]), Path(sys.argv[2])
    for count in map(int, sys.argv[3:]):
        (where / str(count)).mkdir()
        # Forked, since all that takes time is imported by now, and nothing has been computed yet.
        arguments = (count, total, str(where / str(count)))
        mp.start_processes(_rank, arguments, nprocs=count, start_method="fork")
