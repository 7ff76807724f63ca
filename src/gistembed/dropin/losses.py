"""GISTEmbedLoss and CachedGISTEmbedLoss with sentence-transformers' constructors, around our loss."""

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float, Int
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.losses import CachedLossMixin, has_static_embedding_input
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


class _GuidedLoss(nn.Module):
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

    def _context(self, columns: list[Features], labels: object) -> BatchContext:
        """Guide vectors and text ids of a batch, before the student writes into its inputs."""
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

    def _shared_temperature(self) -> float | Tensor:
        """The temperature; one that is learned gets the same gradient in every process."""
        temperature = self.temperature
        if not isinstance(temperature, Tensor) or not temperature.requires_grad:
            return temperature
        together = dist.is_available() and dist.is_initialized()
        return averaged_over_ranks(temperature) if together else temperature

    def _loss(
        self, embeddings: list[Tensor], context: BatchContext, temperature: float | Tensor
    ) -> Float[Tensor, ""]:
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


class GISTEmbedLoss(_GuidedLoss):
    """The guided contrastive loss in the place of sentence-transformers' GISTEmbedLoss.

    The constructor is theirs, so that one changed import is enough; what follows ``gather_across_devices`` is
    ours. What differs by default: texts that are the same (by their tokens, or by themselves with a
    `GuideCollator`) are never each other's negatives; a row's own texts leave by identity, not by
    similarity; any number of negatives is taken; across devices every block is gathered, anchors included;
    the guide is frozen, in evaluation mode and no part of the module. With
    ``compat="sentence-transformers"`` the numbers are theirs.

    A guide that is the student itself guides without a second forward pass.
    """

    def __init__(
        self,
        model: SentenceTransformer,
        guide: SentenceTransformer,
        temperature: float | nn.Parameter = 0.01,
        margin_strategy: MarginStrategy = "absolute",
        margin: AnyMargin = 0.0,
        contrast_anchors: bool = True,
        contrast_positives: bool = True,
        gather_across_devices: bool = False,
        *,
        compat: Compatibility = "default",
        policy: MaskPolicy | None = None,
        hardness_mode: HardnessMode | None = None,
        hardness_strength: float = 0.0,
        kernel: Kernel = "auto",
    ) -> None:
        """Bind student and guide.

        Args:
            model: The student.
            guide: The guide; it is frozen here.
            temperature: τ; a parameter is learned.
            margin_strategy: See `MaskPolicy`.
            margin: See `MaskPolicy`; the steps of a schedule are the batches that this loss was trained on,
                from 0 in every process.
            contrast_anchors: See `MaskPolicy`.
            contrast_positives: See `MaskPolicy`.
            gather_across_devices: Whether the batches of all processes are one batch.
            compat: See `MaskPolicy`.
            policy: All of `MaskPolicy`, in place of the settings above.
            hardness_mode: See `guided_contrastive_loss`.
            hardness_strength: See `guided_contrastive_loss`.
            kernel: See `guided_contrastive_loss`.

        Raises:
            ValueError: If a setting makes no sense.
        """
        super().__init__(
            model,
            guide,
            temperature=temperature,
            policy=_policy(policy, margin, margin_strategy, contrast_anchors, contrast_positives, compat),
            gather_across_devices=gather_across_devices,
            hardness_mode=hardness_mode,
            hardness_strength=hardness_strength,
            kernel=kernel,
            guide_rows_at_once=None,
        )

    def forward(self, sentence_features: Iterable[Features], labels: object = None) -> Float[Tensor, ""]:
        """Loss of one batch.

        Args:
            sentence_features: The student's inputs by column: anchors, positives, any number of negatives.
            labels: What a `GuideCollator` made of the raw texts; anything else is not looked at.
        """
        columns = list(sentence_features)
        context = self._context(columns, labels)
        embeddings = [self.model(features)["sentence_embedding"] for features in columns]
        return self._loss(embeddings, context, self._shared_temperature())


class CachedGISTEmbedLoss(_GuidedLoss):
    """`GISTEmbedLoss` for batches whose activations don't fit into memory, by gradient caching.

    The student embeds mini-batches without gradients, the loss is taken over the whole batch at once, and the
    mini-batches are embedded again, with the same random state, to take the gradients further.

    Source: Gao et al. 2021 (arXiv 2101.06983); the caching itself is sentence-transformers'.
    """

    uses_gradient_cache = True
    """For sentence-transformers' MatryoshkaLoss, which then goes around `calculate_loss`."""

    def __init__(
        self,
        model: SentenceTransformer,
        guide: SentenceTransformer,
        temperature: float | nn.Parameter = 0.01,
        mini_batch_size: int = 32,
        mini_batch_num_tokens: int | None = None,
        show_progress_bar: bool = False,
        margin_strategy: MarginStrategy = "absolute",
        margin: AnyMargin = 0.0,
        contrast_anchors: bool = True,
        contrast_positives: bool = True,
        gather_across_devices: bool = False,
        *,
        compat: Compatibility = "default",
        policy: MaskPolicy | None = None,
        hardness_mode: HardnessMode | None = None,
        hardness_strength: float = 0.0,
        kernel: Kernel = "auto",
    ) -> None:
        """Bind student and guide.

        Args:
            model: The student. A static one has next to no activations, and is embedded once and whole.
            guide: See `GISTEmbedLoss`.
            temperature: See `GISTEmbedLoss`.
            mini_batch_size: Rows that student and guide embed at a time.
            mini_batch_num_tokens: Tokens, padding aside, that the student embeds at a time, in place of rows.
            show_progress_bar: Whether to show the mini-batches go by.
            margin_strategy: See `GISTEmbedLoss`.
            margin: See `GISTEmbedLoss`.
            contrast_anchors: See `GISTEmbedLoss`.
            contrast_positives: See `GISTEmbedLoss`.
            gather_across_devices: See `GISTEmbedLoss`.
            compat: See `GISTEmbedLoss`.
            policy: See `GISTEmbedLoss`.
            hardness_mode: See `GISTEmbedLoss`.
            hardness_strength: See `GISTEmbedLoss`.
            kernel: See `GISTEmbedLoss`.

        Raises:
            ValueError: If a setting makes no sense.
        """
        sizes = {"mini_batch_size": mini_batch_size, "mini_batch_num_tokens": mini_batch_num_tokens}
        for name, size in sizes.items():
            if size is not None and size < 1:
                raise ValueError(f"{name}: expected at least 1, got {size}")
        super().__init__(
            model,
            guide,
            temperature=temperature,
            policy=_policy(policy, margin, margin_strategy, contrast_anchors, contrast_positives, compat),
            gather_across_devices=gather_across_devices,
            hardness_mode=hardness_mode,
            hardness_strength=hardness_strength,
            kernel=kernel,
            guide_rows_at_once=mini_batch_size,
        )
        self.mini_batch_size = mini_batch_size
        self.mini_batch_num_tokens = mini_batch_num_tokens
        self.show_progress_bar = show_progress_bar
        self._is_static = has_static_embedding_input(model)

    def forward(self, sentence_features: Iterable[Features], labels: object = None) -> Float[Tensor, ""]:
        """Loss of one batch; see `GISTEmbedLoss.forward`."""
        columns = list(sentence_features)
        context = self._context(columns, labels)
        if not self._is_static:
            return _Caching(self).loss(columns, context)
        embeddings = [self.model(features)["sentence_embedding"] for features in columns]
        if not torch.is_grad_enabled():
            return self.calculate_loss([[column] for column in embeddings], context)
        leaves = [column.detach().requires_grad_() for column in embeddings]
        loss = self.calculate_loss([[leaf] for leaf in leaves], context, with_backward=True)
        carriers = [_carrier(column, leaf) for column, leaf in zip(embeddings, leaves, strict=True)]
        return loss + torch.stack(carriers).sum()

    def calculate_loss(
        self, reps: list[list[Tensor]], labels: BatchContext, *, with_backward: bool = False
    ) -> Float[Tensor, ""]:
        """The loss over the whole batch, from the embeddings of its mini-batches.

        Args:
            reps: Embeddings by column and mini-batch.
            labels: What the batch is judged by.
            with_backward: Whether to take gradients by the embeddings at once; what is returned then leads
                back to nothing but the temperature.
        """
        embeddings = [torch.cat(column) for column in reps]
        temperature = self._shared_temperature()
        if not with_backward:
            return self._loss(embeddings, labels, temperature)
        if isinstance(temperature, Tensor) and temperature.requires_grad:
            leaf = temperature.detach().requires_grad_()
            loss = self._loss(embeddings, labels, leaf)
            torch.autograd.backward(loss)
            return loss.detach() + _carrier(temperature, leaf)
        loss = self._loss(embeddings, labels, temperature)
        torch.autograd.backward(loss)
        return loss.detach()

    def get_config_dict(self) -> dict[str, Any]:
        """Settings for the model card."""
        return super().get_config_dict() | {
            "mini_batch_size": self.mini_batch_size,
            "mini_batch_num_tokens": self.mini_batch_num_tokens,
        }


class _Caching(CachedLossMixin):
    """One batch's way through sentence-transformers' gradient cache."""

    def __init__(self, loss: CachedGISTEmbedLoss) -> None:
        self.model = loss.model
        self.mini_batch_size = loss.mini_batch_size
        self.mini_batch_num_tokens = loss.mini_batch_num_tokens
        self.show_progress_bar = loss.show_progress_bar
        self._loss = loss
        self._total: Tensor | None = None

    def loss(self, columns: list[Features], context: BatchContext) -> Float[Tensor, ""]:
        """The loss of a batch, whose gradients by the student are taken mini-batch by mini-batch."""
        loss: Tensor = self.forward_cached(columns, context)  # type: ignore[arg-type] # handed through
        assert self._total is not None
        # The cache cuts the loss off from everything but the student.
        return loss + (self._total - self._total.detach()) if self._total.requires_grad else loss

    def calculate_loss(  # type: ignore[override] # what the caching calls labels is handed through as it is
        self, reps: list[list[Tensor]], labels: BatchContext, *, with_backward: bool = False
    ) -> Float[Tensor, ""]:
        self._total = self._loss.calculate_loss(reps, labels, with_backward=with_backward)
        return self._total


def _carrier(tensor: Tensor, leaf: Tensor) -> Float[Tensor, ""]:
    """Adds nothing to a loss, and to its gradient by a tensor what is known by now from a copy of it."""
    assert leaf.grad is not None
    return ((tensor - tensor.detach()) * leaf.grad).sum()


def _policy(
    policy: MaskPolicy | None,
    margin: AnyMargin,
    margin_strategy: MarginStrategy,
    contrast_anchors: bool,
    contrast_positives: bool,
    compat: Compatibility,
) -> MaskPolicy:
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
