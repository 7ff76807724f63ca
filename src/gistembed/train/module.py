"""The pure loss as the module that sentence-transformers' Trainer calls."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn

from gistembed.guide import GuideVectors
from gistembed.loss import gather_rows, guided_contrastive_loss
from gistembed.mask import MaskPolicy
from gistembed.terms import HardnessMode, Kernel, Role
from gistembed.train.encoder import MicroBatchEncoder
from gistembed.train.guards.measures import mean_cosine


class BatchLoss(nn.Module):
    """Embeds the micro-batches of a batch, looks up the guide's vectors by id, and calls the loss.

    The guide is an array on disk or in memory, not a module: it has no parameters to train, to save or to
    synchronise. Metrics gather here until `pop_metrics`; they never touch the loss.

    Attributes:
        step: The optimizer step that scheduled margins are taken at; the trainer sets it.
        encoder: What embeds the micro-batches.
    """

    def __init__(
        self,
        model: nn.Module,
        guides: Sequence[GuideVectors],
        policy: MaskPolicy,
        temperature: float,
        *,
        task_policies: Mapping[int, MaskPolicy] | None = None,
        hardness_mode: HardnessMode | None = None,
        hardness_strength: float = 0.0,
        kernel: Kernel = "auto",
        encoder: MicroBatchEncoder | None = None,
        rank: int = 0,
        ranks: int = 1,
        dims: Sequence[int] | None = None,
        dim_weights: Sequence[float] | None = None,
    ) -> None:
        """Bind a student to its guide.

        Args:
            model: The student; the trainer replaces it by its wrapped form.
            guides: Vectors of all texts by each guide; none for plain InfoNCE over the same blocks, or where
                the policy lets the student score.
            policy: Blocks and rules of the mask.
            temperature: τ.
            task_policies: Policies of tasks that have one of their own, by number of the task; their batches
                hold pairs of one task only.
            hardness_mode: See `guided_contrastive_loss`.
            hardness_strength: See `guided_contrastive_loss`.
            kernel: See `guided_contrastive_loss`.
            encoder: What embeds the micro-batches; by default, one that keeps all graphs.
            rank: Which of the processes that share each batch this is.
            ranks: How many there are. Each embeds some of the texts, and has the loss of some of the rows;
                the losses of all add up to that of the batch.
            dims: See `guided_contrastive_loss`.
            dim_weights: See `guided_contrastive_loss`.
        """
        super().__init__()
        self.model = model
        self._guides = tuple(guides)
        self._policy = policy
        self._temperature = temperature
        self._task_policies = dict(task_policies or {})
        self._hardness_mode = hardness_mode
        self._hardness_strength = hardness_strength
        self._kernel: Kernel = kernel
        self._rank, self._ranks = rank, ranks
        self.encoder = encoder or MicroBatchEncoder(sys.maxsize)
        self._dims, self._dim_weights = dims, dim_weights
        self.step = 0
        self._sums: dict[str, Tensor] = {}
        self._batches = 0
        self._before: tuple[dict[str, Tensor], int] | None = None

    def forward(self, features: list[dict[str, Any]], labels: dict[str, Tensor]) -> Float[Tensor, ""]:
        """Loss of one batch as `gistembed.batches.PairCollator` makes it.

        Args:
            features: Model inputs, one mapping for each micro-batch.
            labels: Units and text ids of the rows.
        """
        self._before = None
        units = self.encoder(self.model, features)
        rows = None
        if self._ranks > 1:
            counts = labels["unit_counts"].tolist()
            units = gather_rows(units[: counts[self._rank]], counts)
            count = len(labels["anchor_units"])
            rows = slice(count * self._rank // self._ranks, count * (self._rank + 1) // self._ranks)
        negative_ids = labels["negative_ids"]
        has_negatives = negative_ids.shape[1] > 0
        output = guided_contrastive_loss(
            units[labels["anchor_units"]],
            units[labels["positive_units"]],
            units[labels["negative_units"]] if has_negatives else None,
            guide_anchors=self._guide_vectors(labels["anchor_texts"], "anchor"),
            guide_positives=self._guide_vectors(labels["positive_texts"], "document"),
            guide_negatives=self._guide_vectors(labels["negative_texts"], "document")
            if has_negatives
            else None,
            anchor_ids=labels["anchor_ids"],
            positive_ids=labels["positive_ids"],
            negative_ids=negative_ids if has_negatives else None,
            negative_mask=negative_ids >= 0 if has_negatives else None,
            known_ids=labels["known_ids"],
            known_offsets=labels["known_offsets"],
            temperature=self._temperature,
            trusted_negatives=labels.get("trusted") if has_negatives else None,
            weights=labels.get("weights"),
            policy=self._policy_of(labels).at_step(self.step),
            hardness_mode=self._hardness_mode,
            hardness_strength=self._hardness_strength,
            kernel=self._kernel,
            rows=rows,
            dims=self._dims,
            dim_weights=self._dim_weights,
        )
        self._before = (dict(self._sums), self._batches)
        for name, value in {**output.metrics, "mean_cosine": mean_cosine(units.detach())}.items():
            self._sums[name] = self._sums.get(name, torch.zeros_like(value)) + value
        self._batches += 1
        return output.loss

    def _policy_of(self, labels: dict[str, Tensor]) -> MaskPolicy:
        if not self._task_policies:
            return self._policy
        return self._task_policies.get(int(labels["tasks"][0]), self._policy)

    def undo(self) -> None:
        """Forget the metrics of the batch that was begun last: its step failed, and is tried again."""
        if self._before is not None:
            self._sums, self._batches = self._before
            self._before = None

    def pop_metrics(self) -> dict[str, float]:
        """Means over the batches since the last call, and over the processes, which all have to call."""
        means = {name: total / self._batches for name, total in self._sums.items()}
        if self._ranks > 1 and means:
            every = torch.stack([*means.values()])
            dist.all_reduce(every)
            means = dict(zip(means, every / self._ranks, strict=True))
        self._sums, self._batches = {}, 0
        return {name: mean.item() for name, mean in means.items()}

    def pending_metrics(self) -> dict[str, Any]:
        """What gathered since `pop_metrics`, for a checkpoint."""
        return {"sums": dict(self._sums), "batches": self._batches}

    def resume_metrics(self, pending: Mapping[str, Any]) -> None:
        """Go on gathering where `pending_metrics` was taken."""
        device = next(self.parameters()).device
        self._sums = {name: total.to(device) for name, total in pending["sums"].items()}
        self._batches = pending["batches"]

    def _guide_vectors(self, ids: Tensor, role: Role) -> list[Tensor] | None:
        if not self._guides:
            return None
        places = ids.cpu().numpy()
        vectors = [guide.of(places, role).astype(np.float32) for guide in self._guides]
        return [torch.from_numpy(values).to(ids.device) for values in vectors]
