"""GISTEmbedLoss and CachedGISTEmbedLoss with sentence-transformers' constructors, around our loss."""

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.losses import CachedLossMixin, has_static_embedding_input
from torch import Tensor, nn

from gistembed.dropin.guide import Features
from gistembed.dropin.guided import AnyMargin, BatchContext, GuidedLoss, policy_of
from gistembed.mask import MaskPolicy
from gistembed.terms import Compatibility, HardnessMode, Kernel, MarginStrategy


class GISTEmbedLoss(GuidedLoss):
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
            policy=policy_of(policy, margin, margin_strategy, contrast_anchors, contrast_positives, compat),
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
        context = self.context_of(columns, labels)
        embeddings = [self.model(features)["sentence_embedding"] for features in columns]
        return self.loss_of(embeddings, context, self.shared_temperature())


class CachedGISTEmbedLoss(GuidedLoss):
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
            policy=policy_of(policy, margin, margin_strategy, contrast_anchors, contrast_positives, compat),
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
        context = self.context_of(columns, labels)
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
        temperature = self.shared_temperature()
        if not with_backward:
            return self.loss_of(embeddings, labels, temperature)
        if isinstance(temperature, Tensor) and temperature.requires_grad:
            leaf = temperature.detach().requires_grad_()
            loss = self.loss_of(embeddings, labels, leaf)
            torch.autograd.backward(loss)
            return loss.detach() + _carrier(temperature, leaf)
        loss = self.loss_of(embeddings, labels, temperature)
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
