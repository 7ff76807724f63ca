"""The mask of a chunk of rows: text ids, guide similarities and a policy in, who stays out."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Int32
from torch import Tensor

from gistembed.mask.columns import BatchTexts, Columns
from gistembed.mask.keep import leaves_by_guide, spare_least_similar, tally_votes
from gistembed.mask.own import OwnTexts, Positions
from gistembed.mask.policy import BLOCK_SIDES, MaskPolicy
from gistembed.terms import Block


@dataclass(frozen=True)
class ChunkMask:
    """What becomes of every candidate of a chunk of rows.

    Attributes:
        excluded: Candidates that are no negatives of their row, its own positive among them.
        leaves: 1 where the guide's rule takes a candidate out, 0 where it stays; 0 for those excluded. None
            without a guide.
        excess: For ``soften``, how far above its limit each leaving candidate is; None otherwise.
        masked: How many candidates the guide's rule takes out, by row and block.
        left: How many candidates stay, by row.
    """

    excluded: Positions
    leaves: Float[Tensor, "rows candidates"] | None
    excess: Float[Tensor, "rows candidates"] | None
    masked: Float[Tensor, "rows blocks"]
    left: Float[Tensor, " rows"]

    def keep(self, columns: Columns) -> Bool[Tensor, "rows candidates"]:
        """True where a candidate stays in its row's softmax as a negative.

        Args:
            columns: The candidates.
        """
        shape = (len(self.left), columns.width)
        stays = self.left.new_ones(shape).bool() if self.leaves is None else self.leaves == 0
        stays[self.excluded.rows, self.excluded.columns] = False
        return stays


class BatchMask:
    """Decides, chunk by chunk, which candidates of a batch stay in the softmax.

    This is the one place where the rules of `MaskPolicy` meet: the loss, the audit and the tests ask here.
    The Triton kernel, which has the plain rule built in, is tested against it.
    """

    def __init__(self, texts: BatchTexts, policy: MaskPolicy) -> None:
        """Prepare what all chunks share.

        Args:
            texts: Who is who in the batch.
            policy: The rules.

        Raises:
            ValueError: If the policy wants explicit negatives and the batch has none.
        """
        self.texts = texts
        self.policy = policy
        self.blocks: tuple[Block, ...] = policy.blocks(negatives=len(texts.negative_rows) > 0)
        if policy.negatives == "explicit" and "an" not in self.blocks:
            raise ValueError("negatives: the policy wants 'explicit' ones, and the batch has none")
        whole = tuple(texts.places(BLOCK_SIDES[block].columns) for block in self.blocks)
        self._all_columns = Columns.of(self.blocks, whole, own_scope=policy.negatives == "explicit")
        self._own = OwnTexts(texts, policy.own_texts, self._all_columns)
        self._eligible = self._own.eligible_by_row()

    def columns(self, rows: slice) -> Columns:
        """The candidates of a chunk of rows.

        Args:
            rows: The rows of the chunk.
        """
        if not self._all_columns.own_scope:
            return self._all_columns
        bounds = self.texts.negative_rows.new_tensor([rows.start, rows.stop])
        first, last = torch.searchsorted(self.texts.negative_rows, bounds).tolist()
        start = self.texts.places("negatives").start
        return Columns.of(self.blocks, (rows, slice(start + first, start + last)), own_scope=True)

    def eligible(self, rows: slice) -> Int[Tensor, " blocks"]:
        """How many candidates of each block the guide could take out, over some rows.

        Args:
            rows: The rows.
        """
        return self._own.eligible_by_block(rows)

    def own_codes(self, most: int) -> tuple[Int32[Tensor, "rows known"], Int32[Tensor, " texts"]] | None:
        """Codes of each row's own texts, and of each text in the stack; see `OwnTexts.codes`.

        Args:
            most: How many own texts a row may have; None is returned if one has more.
        """
        return self._own.codes(most)

    def eligible_by_row(self, rows: slice) -> Int[Tensor, " rows"]:
        """How many negatives each of some rows could have.

        Args:
            rows: The rows.
        """
        return self._eligible[rows]

    def own_diagonal(self, rows: slice) -> int:
        """Which diagonal of a chunk of rows holds each row's own positive, in the first block, ap.

        Args:
            rows: The rows of the chunk.
        """
        return 0 if self._all_columns.own_scope else rows.start

    def own_negatives(self, rows: slice, columns: Columns) -> Positions:
        """Where each row's own hard negatives stand.

        Args:
            rows: The rows of the chunk.
            columns: Their candidates, block an among them.
        """
        return self._own.negatives(rows, columns)

    def decide(
        self,
        rows: slice,
        columns: Columns,
        similarities: Sequence[Float[Tensor, "chunk candidates"]],
        *,
        overwrite: bool = False,
    ) -> ChunkMask:
        """Apply the rules to a chunk of rows.

        Args:
            rows: The rows of the chunk.
            columns: Their candidates.
            similarities: Similarity of each candidate with its row's text (that of its block), by guide; none
                at all without a guide.
            overwrite: Whether the mask may take the place of the first similarities.
        """
        policy = self.policy
        excluded = self._own.excluded(rows, columns)
        eligible = self.eligible_by_row(rows).to(similarities[0].dtype if similarities else torch.float32)
        if not similarities:
            return ChunkMask(
                excluded, None, None, eligible.new_zeros(len(eligible), len(self.blocks)), eligible
            )

        own = self.own_diagonal(rows)
        thresholds = [similarity.diagonal(own).clone() for similarity in similarities]
        reads_order = (
            policy.action == "soften"
            or policy.max_masked is not None
            or policy.starved == "keep_least_similar"
        )
        in_place = overwrite and not reads_order and policy.guide_vote == "mean"
        leaves = similarities[0] if in_place else torch.empty_like(similarities[0])
        alike = self._alike(columns)
        for block, span in alike:
            votes = [
                leaves_by_guide(
                    similarity[:, span],
                    policy.limits(block, threshold),
                    strict=policy.strict,
                    out=leaves[:, span] if len(similarities) == 1 else None,
                )
                for similarity, threshold in zip(similarities, thresholds, strict=True)
            ]
            if len(votes) > 1:
                leaves[:, span] = tally_votes(votes, policy.guide_vote)
        leaves[excluded.rows, excluded.columns] = 0
        trusted = self._trusted(rows, columns)
        if trusted is not None:
            leaves[trusted.rows, trusted.columns] = 0

        order = similarities[0]
        if len(similarities) > 1 and reads_order:
            order = torch.stack(tuple(similarities)).mean(0)
        if policy.max_masked is not None:
            self._cap(leaves, order, columns, excluded)
        if policy.starved == "keep_least_similar":
            missing = policy.min_negatives - (eligible - leaves.sum(1))
            leaves = spare_least_similar(leaves, order, missing.clamp(min=0).long())
        masked = torch.stack([leaves[:, span].sum(1) for span in columns.spans], dim=1)
        excess = None
        if policy.action == "soften":
            excess = torch.empty_like(leaves)
            for block, span in alike:
                limits = policy.limits(block, thresholds[0]).unsqueeze(1)
                torch.sub(order[:, span], limits, out=excess[:, span])
            excess = excess.clamp_(min=0).mul_(leaves)
        return ChunkMask(excluded, leaves, excess, masked, eligible - masked.sum(1))

    def _alike(self, columns: Columns) -> list[tuple[Block, slice]]:
        """Blocks and their columns, neighbours of equal margin as one."""
        groups: list[tuple[Block, slice]] = []
        for block, span in zip(columns.blocks, columns.spans, strict=True):
            if groups and self.policy.margin_of(groups[-1][0]) == self.policy.margin_of(block):
                block, first = groups.pop()
                span = slice(first.start, span.stop)
            groups.append((block, span))
        return groups

    def _trusted(self, rows: slice, columns: Columns) -> Positions | None:
        if "an" not in columns.blocks:
            return None
        if self.policy.trust_negatives:
            return self._own.negatives(rows, columns)
        return None if self.texts.trusted is None else self._own.negatives(rows, columns, trusted=True)

    def _cap(self, leaves: Tensor, order: Tensor, columns: Columns, excluded: Positions) -> None:
        """Let no more leave than `max_masked` allows, block by block; the mask changes in place."""
        most = self.policy.max_masked
        assert most is not None
        for span in columns.spans:
            allowed = torch.full_like(leaves[:, 0], most)
            if 0 < most < 1:
                here = (excluded.columns >= span.start) & (excluded.columns < span.stop)
                own = excluded.rows[here].bincount(minlength=len(leaves))
                allowed = ((span.stop - span.start - own) * most).floor().to(leaves.dtype)
            too_many = (leaves[:, span].sum(1) - allowed).clamp(min=0).long()
            leaves[:, span] = spare_least_similar(leaves[:, span], order[:, span], too_many)
