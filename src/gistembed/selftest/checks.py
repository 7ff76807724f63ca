"""The checks: each measures one thing that must hold, on real texts and the models at hand."""

import itertools
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gistembed.dropin import CachedGISTEmbedLoss, GISTEmbedLoss, GuideCollator
from gistembed.dropin.guide import GuideReader
from gistembed.evaluate import retention_path
from gistembed.loss import guided_contrastive_loss
from gistembed.mask import BatchMask, BatchTexts, MaskPolicy, score_rows, unit_length
from gistembed.models import ROLES, TASKS, EmbeddingModel
from gistembed.pairs import read_pairs
from gistembed.selftest.dense import dense_loss

_ROWS = 28
_TEMPERATURE = 0.05
_MINI_BATCH = 5
# One seed for all that is drawn: a selftest that failed must fail again.
_SEED = 20240226


@dataclass(frozen=True)
class CheckResult:
    """What one check found.

    Attributes:
        name: What must hold.
        measured: By how much it does not, or, for a note, a number worth knowing; None if it broke off.
        allowed: The most that rounding excuses; None for a note.
        detail: More in words, or why the check broke off.
    """

    name: str
    measured: float | None
    allowed: float | None
    detail: str = ""

    @property
    def passed(self) -> bool:
        """Whether it holds; for a note, whether there is a number."""
        if self.measured is None:
            return False
        return math.isfinite(self.measured) and (self.allowed is None or self.measured <= self.allowed)


class _Bench:
    """Real texts, some of them twice, and what the models make of them."""

    def __init__(self, model: EmbeddingModel, guide: EmbeddingModel) -> None:
        self.model = model
        self.guide = guide
        pairs = read_pairs(retention_path())
        step = len(pairs) // _ROWS
        rows = [
            [pairs.texts[int(pairs.anchors[row])], pairs.texts[int(pairs.positives[row])]]
            for row in range(0, step * _ROWS, step)
        ]
        rows[5][1] = rows[4][1]
        rows[9][0] = rows[8][0]
        rows[12][1] = rows[12][0]
        self.rows = rows
        numbers = {text: number for number, text in enumerate(dict.fromkeys(itertools.chain(*rows)))}
        ids = torch.tensor([[numbers[text] for text in row] for row in rows])
        self.ids = {"anchor_ids": ids[:, 0], "positive_ids": ids[:, 1]}
        self.student_vectors = self._vectors(model)
        self.guide_vectors = self._vectors(guide)

    def padding(self) -> tuple[float, str]:
        """Wrong padding, pooling or attention shows here."""
        texts = [text for row in self.rows[:4] for text in row]
        together = self.model.embed(texts, "document")
        alone = [self.model.embed([text], "document")[0] for text in texts]
        # Not Python's max, which passes over a NaN.
        return float(abs(np.stack(alone) - together).max()), "largest difference of a component"

    def repeats(self) -> tuple[float, str]:
        """Something random at inference shows here."""
        texts = [row[0] for row in self.rows[:8]]
        first, second = (self.model.embed(texts, "anchor") for _ in range(2))
        return float(abs(first - second).max()), "largest difference of a component"

    def chunked(self) -> tuple[float, str]:
        expected = self._loss_and_gradient(
            partial(
                dense_loss,
                guide_anchors=self.guide_vectors[0],
                guide_positives=self.guide_vectors[1],
                temperature=_TEMPERATURE,
                **self.ids,
            )
        )
        found = self._loss_and_gradient(partial(self._loss, chunk_rows=_MINI_BATCH))
        return _difference(found, expected), f"{_ROWS} rows, {_MINI_BATCH} at a time, float64"

    def ranks(self) -> tuple[float, str]:
        whole = self._loss_and_gradient(self._loss)
        distances = []
        for count in (2, 4):
            # Uneven on purpose.
            bounds = [0, *sorted({(_ROWS - 1) * rank // count for rank in range(1, count)}), _ROWS]
            parts = [
                self._loss_and_gradient(partial(self._loss, rows=slice(*ends)))
                for ends in itertools.pairwise(bounds)
            ]
            summed = [torch.stack(values).sum(0) for values in zip(*parts, strict=True)]
            distances.append(_difference(summed, whole))
        return float(np.max(distances)), "each with its own rows, all texts as candidates, float64"

    def cached(self) -> tuple[float, str]:
        plain, cached = self._drop_ins()
        self.model.model.eval()
        expected, found = self._parameter_gradient(plain), self._parameter_gradient(cached)
        return _difference([found], [expected]), f"mini-batches of {_MINI_BATCH}, by the gradient's length"

    def replay(self) -> tuple[float, str]:
        _, cached = self._drop_ins()
        seen: list[Tensor] = []

        def watch(_module: object, _inputs: object, output: dict[str, Tensor]) -> None:
            seen.append(output["sentence_embedding"].detach())

        handle = self.model.model.register_forward_hook(watch)
        try:
            with _training(self.model):
                self._parameter_gradient(cached)
        finally:
            handle.remove()
        if len(seen) % 2:
            raise RuntimeError("the two passes of the cached loss embed different mini-batches")
        first, second = torch.cat(seen[: len(seen) // 2]), torch.cat(seen[len(seen) // 2 :])
        if len(seen) == 2:
            return 0.0, "a static student is embedded once"
        return float((first - second).abs().max()), "largest difference of a component"

    def own_texts(self) -> tuple[float, str]:
        """With a margin at which the guide masks nothing, exactly the row's own texts are gone."""
        metrics = self._metrics(MaskPolicy(margin=-3.0))
        expected = 0
        for anchor, positive in self.rows:
            others = [text for row in self.rows for text in row]
            # Blocks ap and pp hold the positives, block aa the anchors.
            positives, anchors = others[1::2], others[::2]
            own = {anchor, positive}
            expected += 2 * sum(text not in own for text in positives) + sum(
                text not in own for text in anchors
            )
        found = metrics["negatives_per_row"] * _ROWS
        return abs(found - expected), f"{expected} negatives among {3 * _ROWS * _ROWS} candidates"

    def margins(self) -> tuple[float, str]:
        left = [
            self._metrics(MaskPolicy(margin=margin))["negatives_per_row"]
            for margin in (-0.2, -0.1, -0.05, 0.0, 0.05, 0.1, 0.2)
        ]
        rises = sum(more > fewer for fewer, more in itertools.pairwise(left))
        return float(
            rises
        ), f"negatives a row: {left[0]:.1f} at −0.2, {left[3]:.1f} at 0, {left[-1]:.1f} at 0.2"

    def order(self) -> tuple[float, str]:
        order = torch.randperm(_ROWS)
        expected = self._loss(*self.student_vectors)
        found = guided_contrastive_loss(
            self.student_vectors[0][order],
            self.student_vectors[1][order],
            guide_anchors=self.guide_vectors[0][order],
            guide_positives=self.guide_vectors[1][order],
            temperature=_TEMPERATURE,
            anchor_ids=self.ids["anchor_ids"][order],
            positive_ids=self.ids["positive_ids"][order],
        ).loss
        return float((found - expected).abs()), "difference of the loss, float64"

    def frozen_guide(self) -> tuple[float, str]:
        plain, _ = self._drop_ins()
        self.model.model.eval()
        with torch.no_grad():
            expected = plain(self._columns(), self._collated())
            self.guide.model.train()
            found = plain(self._columns(), self._collated())
        return float((found - expected).abs()), "difference of the loss"

    def silent_parameters(self) -> tuple[float, str]:
        plain, _ = self._drop_ins()
        self.model.model.eval()
        self._parameter_gradient(plain)
        silent = [
            name
            for name, parameter in self.model.model.named_parameters()
            if parameter.requires_grad and (parameter.grad is None or not parameter.grad.any())
        ]
        self.model.model.zero_grad(set_to_none=True)
        return float(len(silent)), ", ".join(silent[:3]) + (" …" if len(silent) > 3 else "")

    def decoded(self) -> tuple[float, str]:
        reader = GuideReader(self.model.model, self.guide.model, None)
        with warnings.catch_warnings():
            # What is lost is what is measured here.
            warnings.simplefilter("ignore")
            kept = [self._kept(reader.vectors(self._columns(), given)) for given in (self._collated(), {})]
        return float((kept[0] != kept[1]).double().mean()), "share of all comparisons; see GuideCollator"

    def accuracy(self) -> tuple[float, str]:
        metrics = self._metrics(MaskPolicy(contrast_anchors=False, contrast_positives=False))
        return metrics[
            "in_batch_accuracy"
        ], f"chance would be {1 / _ROWS:.2f}; near it, look at pooling and prompts"

    def _vectors(self, model: EmbeddingModel) -> list[Tensor]:
        columns = zip(*self.rows, strict=True)
        return [
            torch.from_numpy(model.embed(list(column), role)).double()
            for column, role in zip(columns, ROLES, strict=True)
        ]

    def _loss(self, anchors: Tensor, positives: Tensor, **options: Any) -> Tensor:  # noqa: ANN401
        return guided_contrastive_loss(
            anchors,
            positives,
            guide_anchors=self.guide_vectors[0],
            guide_positives=self.guide_vectors[1],
            temperature=_TEMPERATURE,
            anchor_ids=self.ids["anchor_ids"],
            positive_ids=self.ids["positive_ids"],
            **options,
        ).loss

    def _metrics(self, policy: MaskPolicy) -> dict[str, float]:
        output = guided_contrastive_loss(
            self.student_vectors[0],
            self.student_vectors[1],
            guide_anchors=self.guide_vectors[0],
            guide_positives=self.guide_vectors[1],
            temperature=_TEMPERATURE,
            policy=policy,
            anchor_ids=self.ids["anchor_ids"],
            positive_ids=self.ids["positive_ids"],
        )
        return {name: float(value) for name, value in output.metrics.items()}

    def _loss_and_gradient(self, loss: Callable[[Tensor, Tensor], Tensor]) -> list[Tensor]:
        leaves = [vectors.clone().requires_grad_() for vectors in self.student_vectors]
        value = loss(*leaves)
        return [value.detach(), *torch.autograd.grad(value, leaves)]

    def _drop_ins(self) -> tuple[GISTEmbedLoss, CachedGISTEmbedLoss]:
        models = self.model.model, self.guide.model
        return (
            GISTEmbedLoss(*models, _TEMPERATURE),
            CachedGISTEmbedLoss(*models, _TEMPERATURE, mini_batch_size=_MINI_BATCH),
        )

    def _columns(self) -> list[Any]:
        columns = []
        for column, role in zip(zip(*self.rows, strict=True), ROLES, strict=True):
            features = self.model.model.preprocess(
                list(column), prompt=self.model.prompts[role], task=TASKS[role]
            )
            columns.append(_moved(dict(features), self.model.model.device))
        return columns

    def _collated(self) -> dict[str, Any]:
        """What the guide and the mask need, from the raw texts."""
        guide = None if self.guide is self.model else self.guide.model
        collator = GuideCollator(self.model.model, guide, guide_prompts=self.guide.prompts)
        rows = [dict(zip(("anchor", "positive"), row, strict=True)) for row in self.rows]
        moved: dict[str, Any] = _moved(collator(rows)["label"], self.model.model.device)
        return moved

    def _parameter_gradient(self, loss: GISTEmbedLoss | CachedGISTEmbedLoss) -> Tensor:
        loss.zero_grad(set_to_none=True)
        torch.autograd.backward(loss(self._columns(), self._collated()))
        gradients = [one.grad.flatten() for one in self.model.model.parameters() if one.grad is not None]
        return torch.cat(gradients).double()

    def _kept(self, guide: list[Tensor]) -> Tensor:
        """Which comparisons the guide leaves in."""
        texts = BatchTexts(
            rows=_ROWS,
            ids=torch.cat([self.ids["positive_ids"], self.ids["anchor_ids"]]),
            negative_rows=torch.empty(0, dtype=torch.int64),
        )
        unit, _ = unit_length(torch.cat([guide[1], guide[0]]).cpu())
        mask, rows = BatchMask(texts, MaskPolicy()), slice(0, _ROWS)
        columns = mask.columns(rows)
        similarities = score_rows(unit, texts, rows, columns, unit.new_empty(_ROWS, columns.width))
        return mask.decide(rows, columns, [similarities]).keep(columns)


def _difference(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """Largest distance of a tensor from what it should be, by the size of that (of a number, at least 1)."""
    distances = [
        (one - other).norm() / max(float(other.norm()), 0.0 if other.ndim else 1.0)
        for one, other in zip(found, expected, strict=True)
    ]
    # Not Python's max, which passes over a NaN.
    return float(torch.stack(distances).max())


def _moved(value: Any, device: torch.device) -> Any:  # noqa: ANN401
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, list):
        return [_moved(one, device) for one in value]
    if hasattr(value, "items"):
        return {name: _moved(one, device) for name, one in value.items()}
    return value


@contextmanager
def _training(model: EmbeddingModel) -> Iterator[None]:
    model.model.train()
    try:
        yield
    finally:
        model.model.eval()


class _Check(NamedTuple):
    name: str
    measure: Callable[[_Bench], tuple[float, str]]
    allowed: float | None
    needs_guide: bool = False


_CHECKS = (
    _Check("a text alone = the same text in a batch", _Bench.padding, 1e-5),
    _Check("twice the same text, twice the same embedding", _Bench.repeats, 0.0),
    _Check("chunked loss = dense loss", _Bench.chunked, 1e-12),
    _Check("2 and 4 ranks = one batch", _Bench.ranks, 1e-12),
    _Check("cached gradients = uncached gradients", _Bench.cached, 1e-4),
    _Check("dropout is replayed by the cached loss", _Bench.replay, 1e-6),
    _Check("a row never meets its own texts as negatives", _Bench.own_texts, 0.0),
    _Check("a larger margin never keeps more", _Bench.margins, 0.0),
    _Check("the order of the rows does not matter", _Bench.order, 1e-12),
    _Check("a guide left in training mode says the same", _Bench.frozen_guide, 0.0, needs_guide=True),
    _Check("parameters without a gradient", _Bench.silent_parameters, None),
    _Check("masked otherwise if the guide reads tokens, not texts", _Bench.decoded, None, needs_guide=True),
    _Check("questions nearest to their own answer", _Bench.accuracy, None),
)


def check_count(*, with_guide: bool) -> int:
    """How many checks there are.

    Args:
        with_guide: Whether there is a guide besides the student.
    """
    return sum(with_guide or not check.needs_guide for check in _CHECKS)


def run_selftest(
    model: EmbeddingModel,
    guide: EmbeddingModel | None,
    on_result: Callable[[CheckResult], None] = lambda result: None,
) -> list[CheckResult]:
    """Run all checks.

    Args:
        model: The student.
        guide: The guide; None lets the student guide itself.
        on_result: Called with each result when it is there.
    """
    bench = _Bench(model, guide or model)
    results = []
    for check in _CHECKS:
        if check.needs_guide and guide is None:
            continue
        try:
            torch.manual_seed(_SEED)
            measured, detail = check.measure(bench)
            result = CheckResult(check.name, measured, check.allowed, detail)
        # A check that can't be carried out has not been passed; the others still tell something.
        except Exception as error:
            lines = str(error).splitlines() or [type(error).__name__]
            result = CheckResult(check.name, None, check.allowed, lines[0])
        results.append(result)
        on_result(result)
    return results
