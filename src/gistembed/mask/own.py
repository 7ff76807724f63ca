"""Which candidates are a row's own texts, and which of the hard negatives are its own."""

import itertools
from typing import NamedTuple

import torch
from jaxtyping import Int, Int32
from torch import Tensor

from gistembed.mask.columns import BatchTexts, Columns
from gistembed.mask.policy import OwnTextRule


class Positions(NamedTuple):
    """Places in a chunk of rows × columns, none of them twice.

    Attributes:
        rows: Rows, from the first of the chunk.
        columns: Columns.
    """

    rows: Int[Tensor, " places"]
    columns: Int[Tensor, " places"]


class OwnTexts:
    """Finds, in any chunk of rows, the candidates that belong to a row itself and so are no negatives of it.

    Each row's own positive, in block ap, is always among them.
    """

    def __init__(self, texts: BatchTexts, rule: OwnTextRule, columns: Columns) -> None:
        """Prepare the look-ups that all chunks share.

        Args:
            texts: Who is who in the batch.
            rule: How a row tells its own texts.
            columns: The candidates of all rows.
        """
        self._texts = texts
        self._rule = "position" if rule == "id" and texts.distinct else rule
        self._columns = columns
        self._every_row = torch.arange(texts.rows, device=texts.ids.device)
        # Block an is the one whose columns are not the rows' own.
        self._in_place = [
            number
            for number, block in enumerate(columns.blocks)
            if block == "ap" or (block != "an" and self._rule == "position")
        ]
        if self._rule == "id":
            self._prepare_ids()

    def _prepare_ids(self) -> None:
        texts, rows = self._texts, self._every_row
        owners, own_ids = [rows, rows], [texts.ids[: 2 * texts.rows]]
        if texts.known_ids is not None:
            assert texts.known_offsets is not None, "known ids come with their offsets"
            owners.append(torch.repeat_interleave(rows, texts.known_offsets.diff()))
            own_ids.append(texts.known_ids)
        # Ids may be any numbers; as small codes they index tables.
        every, codes = torch.unique(torch.cat([texts.ids, *own_ids]), return_inverse=True)
        codes, own_codes = codes[: len(texts.ids)], codes[len(texts.ids) :]
        self._codes = codes
        keys = torch.unique(torch.cat(owners) * len(every) + own_codes)
        self._owners, self._own_codes = keys // len(every), keys % len(every)
        bounds = torch.arange(texts.rows + 1, device=keys.device)
        self._own_starts: list[int] = torch.searchsorted(self._owners, bounds).tolist()
        if self._columns.own_scope:
            negatives = codes[texts.places("negatives")]
            self._own_negatives = torch.isin(texts.negative_rows * len(every) + negatives, keys)
            return
        # The columns that hold a code form one run of this order; the runs follow the blocks.
        held = torch.cat([codes[texts_] for texts_ in self._columns.texts])
        self._order = held.argsort(stable=True)
        self._counts = torch.stack(
            [codes[texts_].bincount(minlength=len(every)) for texts_ in self._columns.texts]
        )
        self._runs = self._counts.sum(0)
        self._run_starts = self._runs.cumsum(0) - self._runs

    def codes(self, most: int) -> tuple[Int32[Tensor, "rows known"], Int32[Tensor, " texts"]] | None:
        """Small numbers that tell a row's own texts: those of each row, where -1 pads, and that of each text.

        Args:
            most: How many own texts a row may have; None is returned if one has more.
        """
        assert self._rule != "none", "a row that knows no text of its own has no codes"
        rows = self._every_row
        if self._rule == "position":
            # As they stand in the stack: positives first, then anchors.
            places = torch.arange(len(self._texts.ids), device=rows.device)
            return torch.stack([rows, rows + self._texts.rows], dim=1).int(), places.int()
        if max(stop - start for start, stop in itertools.pairwise(self._own_starts)) > most:
            return None
        own = torch.full((len(rows), most), -1, dtype=torch.int32, device=rows.device)
        starts = torch.tensor(self._own_starts, device=rows.device)
        in_row = torch.arange(len(self._owners), device=rows.device) - starts[self._owners]
        own[self._owners, in_row] = self._own_codes.int()
        return own, self._codes.int()

    def eligible_by_row(self) -> Int[Tensor, " rows"]:
        """How many negatives each row could have."""
        if self._columns.own_scope:
            counted = self._texts.negative_rows
            if self._rule == "id":
                counted = counted[~self._own_negatives]
            return counted.bincount(minlength=self._texts.rows)
        own = torch.full_like(self._every_row, len(self._in_place))
        if self._rule == "id":
            own = torch.zeros_like(own).index_add_(0, self._owners, self._runs[self._own_codes])
        return self._columns.width - own

    def eligible_by_block(self, rows: slice) -> Int[Tensor, " blocks"]:
        """How many negatives some rows could have in each block, all of these rows together."""
        if self._columns.own_scope:
            own_negatives = self.eligible_by_row()[rows].sum()
            return torch.stack([torch.zeros_like(own_negatives), own_negatives])
        count = rows.stop - rows.start
        whole = [(span.stop - span.start) * count for span in self._columns.spans]
        if self._rule == "id":
            own = self._counts[:, self._own_codes[self._entries(rows)]].sum(1)
            return self._every_row.new_tensor(whole) - own
        for number in self._in_place:
            whole[number] -= count
        return self._every_row.new_tensor(whole)

    def excluded(self, rows: slice, columns: Columns) -> Positions:
        """Where candidates stand that are no negatives of their row.

        Args:
            rows: The rows of the chunk.
            columns: Their candidates.
        """
        if columns.own_scope:
            return self._excluded_in_own_scope(rows, columns)
        if self._rule == "id":
            return self._with_own_ids(rows)
        chunk = self._every_row[: rows.stop - rows.start]
        starts = self._every_row.new_tensor([columns.spans[number].start for number in self._in_place])
        places = starts.unsqueeze(1) + self._every_row[rows]
        return Positions(chunk.expand_as(places).flatten(), places.flatten())

    def negatives(self, rows: slice, columns: Columns, *, trusted: bool = False) -> Positions:
        """Where each row's own hard negatives stand.

        Args:
            rows: The rows of the chunk.
            columns: Their candidates, block an among them.
            trusted: Whether only trusted ones count.
        """
        here = (self._texts.negative_rows >= rows.start) & (self._texts.negative_rows < rows.stop)
        if trusted:
            assert self._texts.trusted is not None
            here = here & self._texts.trusted
        found = here.nonzero().squeeze(1)
        number = columns.blocks.index("an")
        first = columns.texts[number].start - self._texts.places("negatives").start
        return Positions(
            self._texts.negative_rows[found] - rows.start, found + (columns.spans[number].start - first)
        )

    def _entries(self, rows: slice) -> slice:
        return slice(self._own_starts[rows.start], self._own_starts[rows.stop])

    def _with_own_ids(self, rows: slice) -> Positions:
        entries = self._entries(rows)
        codes = self._own_codes[entries]
        runs = self._runs[codes]
        first = self._run_starts[codes] - (runs.cumsum(0) - runs)
        places = torch.repeat_interleave(first, runs)
        places = places + torch.arange(len(places), device=places.device)
        owners = torch.repeat_interleave(self._owners[entries] - rows.start, runs)
        return Positions(owners, self._order[places])

    def _excluded_in_own_scope(self, rows: slice, columns: Columns) -> Positions:
        """All of block ap, and of block an what belongs to other rows or is a text of the own row."""
        chunk = self._every_row[rows]
        first = self._texts.places("negatives").start
        held = slice(columns.texts[1].start - first, columns.texts[1].stop - first)
        excluded = self._texts.negative_rows[held].unsqueeze(0) != chunk.unsqueeze(1)
        if self._rule == "id":
            excluded |= self._own_negatives[held]
        places = torch.cat([excluded.new_ones(len(chunk), len(chunk)), excluded], dim=1).nonzero()
        return Positions(*places.unbind(1))
