"""What the drop-in losses share: from the columns of a batch to our loss."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float, Int
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses.matryoshka import ForwardDecorator
from torch import Tensor, nn

from gistembed.dropin.guide import Features, GuideReader
from gistembed.dropin.tokens import hashed_rows
from gistembed.loss import averaged_over_ranks, gather_batch, guided_contrastive_loss
from gistembed.mask import MarginSchedule, MaskPolicy
from gistembed.terms import Block, Compatibility, HardnessMode, Kernel, MarginStrategy

_CITATION = """
@misc{solatorio2024gistembed,
    title={GISTEmbed: Guided In-sample Selection of Training Negatives for Text Embedding Fine-tuning},
    author={Aivin V. Solatorio},
    year={2024},
    eprint={2402.16829},
    archivePrefix={arXiv},
    primaryClass={cs.LG}
}
"""

AnyMargin = int | float | MarginSchedule | Mapping[Block, float | MarginSchedule]


@dataclass(frozen=True)
class BatchContext:
    """What a batch is judged by, besides the student's embeddings.

    Attributes:
        guide: The guide's vectors by column; None where the student guides itself.
        text_ids: Text ids by column; None where nothing tells texts apart.
    """

    guide: list[Float[Tensor, "rows guide_dim"]] | None
    text_ids: list[Int[Tensor, " rows"]] | None


class GuidedLoss(nn.Module):
    """What both losses share: from the columns of a batch to our loss."""

    def __init__(
        self,
        model: SentenceTransformer,
        guide: SentenceTransformer,
        *,
        temperature: float | nn.Parameter,
        policy: MaskPolicy,
        gather_across_devices: bool,
        hardness_mode: HardnessMode | None,
        hardness_strength: float,
        kernel: Kernel,
        guide_rows_at_once: int | None,
    ) -> None:
        """Bind student and guide; see `gistembed.GISTEmbedLoss` for the settings.

        Args:
            model: The student.
            guide: The guide; it is frozen here.
            temperature: τ.
            policy: The rules of the mask.
            gather_across_devices: Whether the batches of all processes are one batch.
            hardness_mode: See `guided_contrastive_loss`.
            hardness_strength: See `guided_contrastive_loss`.
            kernel: See `guided_contrastive_loss`.
            guide_rows_at_once: Rows that the guide reads at a time; None for all.
        """
        super().__init__()
        self.model = model
        self.temperature = temperature
        self.policy = policy
        self.gather_across_devices = gather_across_devices
        self.hardness_mode = hardness_mode
        self.hardness_strength = hardness_strength
        self.kernel: Kernel = kernel
        self.batches_trained = 0
        # In a tuple, so that it is no submodule: not trained, not saved, not wrapped, not synchronised.
        self._guide = (guide,)
        guided = guide is not model and policy.scorer == "guide"
        self._reader = GuideReader(model, guide, guide_rows_at_once) if guided else None
        self._metrics: dict[str, Tensor] = {}
        self._last: tuple[Tensor, BatchContext] | None = None
        self._warned = False

    @property
    def guide(self) -> SentenceTransformer:
        """The guide; no part of this module."""
        return self._guide[0]

    @property
    def metrics(self) -> dict[str, float]:
        """Mask rates, negatives left and in-batch accuracy of the last batch; see `LossOutput`."""
        return {name: value.item() for name, value in self._metrics.items()}

    def get_config_dict(self) -> dict[str, Any]:
        """Settings for the model card."""
        temperature = self.temperature
        return {
            "guide": self.guide,
            "temperature": temperature.item() if isinstance(temperature, Tensor) else temperature,
            **{field.name: getattr(self.policy, field.name) for field in fields(self.policy)},
            "hardness_mode": self.hardness_mode,
            "hardness_strength": self.hardness_strength,
            "gather_across_devices": self.gather_across_devices,
        }

    @property
    def citation(self) -> str:
        """The paper."""
        return _CITATION

    def context_of(self, columns: list[Features], labels: object) -> BatchContext:
        """Guide vectors and text ids of a batch, before the student writes into its inputs.

        Args:
            columns: The student's inputs by column.
            labels: What a `GuideCollator` made of the raw texts; anything else is not looked at.

        Raises:
            ValueError: If there is no column of positives.
        """
        if len(columns) < 2:
            raise ValueError(
                f"{type(self).__name__}: expected columns (anchor, positive, negatives …), got {len(columns)}"
            )
        # MatryoshkaLoss calls once for each dimension, with the same inputs and a model that gives the same
        # embeddings cut shorter: the guide has said what it says.
        repeats = isinstance(vars(self.model).get("forward"), ForwardDecorator)
        # Not the inputs themselves: the student writes into them what holds its whole graph.
        key = next(value for value in columns[0].values() if isinstance(value, Tensor))
        if repeats and self._last is not None and self._last[0] is key:
            return self._last[1]
        given = labels if isinstance(labels, Mapping) else {}
        guide = None if self._reader is None else self._reader.vectors(columns, given)
        context = BatchContext(guide, self._text_ids(columns, given))
        self._last = (key, context) if repeats else None
        if torch.is_grad_enabled():
            self.batches_trained += 1
        return context

    def _text_ids(self, columns: list[Features], given: Mapping[str, Any]) -> list[Tensor] | None:
        if self.policy.own_texts != "id":
            return None
        if "text_ids" in given:
            return list(given["text_ids"].unbind(1))
        hashes = [found for features in columns if (found := hashed_rows(features)) is not None]
        return hashes if len(hashes) == len(columns) else None

    def shared_temperature(self) -> float | Tensor:
        """The temperature; one that is learned gets the same gradient in every process."""
        temperature = self.temperature
        if not isinstance(temperature, Tensor) or not temperature.requires_grad:
            return temperature
        together = dist.is_available() and dist.is_initialized()
        return averaged_over_ranks(temperature) if together else temperature

    def loss_of(
        self, embeddings: list[Tensor], context: BatchContext, temperature: float | Tensor
    ) -> Float[Tensor, ""]:
        """The loss of a batch, or of this process's share of it.

        Args:
            embeddings: The student's embeddings by column.
            context: What they are judged by.
            temperature: From `shared_temperature`.
        """
        guide = context.guide
        if guide is None and self.policy.scorer == "guide":
            guide = [column.detach() for column in embeddings]
        arguments: dict[str, Any] = _arguments("{}s", embeddings)
        if guide is not None:
            arguments |= _arguments("guide_{}s", guide)
        if context.text_ids is not None:
            arguments |= _arguments("{}_ids", context.text_ids)
        ranks = 1
        if self.gather_across_devices:
            if dist.is_available() and dist.is_initialized():
                arguments = gather_batch(arguments)
                ranks = dist.get_world_size()
            elif not self._warned:
                self._warned = True
                warnings.warn("gather_across_devices has no effect: there is one process", stacklevel=2)
        output = guided_contrastive_loss(
            **arguments,
            temperature=temperature,
            policy=self.policy.at_step(max(self.batches_trained - 1, 0)),
            hardness_mode=self.hardness_mode,
            hardness_strength=self.hardness_strength,
            kernel=self.kernel,
        )
        self._metrics = output.metrics
        # Gradients are averaged over the ranks, each of which has its rows' share of the mean over all rows.
        return output.loss * ranks


def policy_of(
    policy: MaskPolicy | None,
    margin: AnyMargin,
    margin_strategy: MarginStrategy,
    contrast_anchors: bool,
    contrast_positives: bool,
    compat: Compatibility,
) -> MaskPolicy:
    """The policy that the losses' arguments stand for: one as a whole, or single settings.

    Raises:
        ValueError: If both are given.
    """
    settings = MaskPolicy(
        margin=margin,
        margin_strategy=margin_strategy,
        contrast_anchors=contrast_anchors,
        contrast_positives=contrast_positives,
        compat=compat,
    )
    if policy is None:
        return settings
    if settings != MaskPolicy():
        raise ValueError("policy: given together with margin, blocks or compat; put them into the policy")
    return policy


def _arguments(pattern: str, columns: list[Tensor]) -> dict[str, Tensor]:
    """Columns as arguments of the loss; those of negatives become one."""
    arguments = {pattern.format("anchor"): columns[0], pattern.format("positive"): columns[1]}
    if len(columns) > 2:
        arguments[pattern.format("negative")] = torch.stack(columns[2:], dim=1)
    return arguments
