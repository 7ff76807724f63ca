"""All checks over one source of pairs, and the cheap ones over pairs that were read already."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from gistembed.doctor import damage, language, leak, limits, near, same, shape
from gistembed.doctor.findings import SEVERITIES, Diagnosis
from gistembed.doctor.numbered import PLAIN, Book, NumberedRows, Reading, numbered_pairs, read_numbered
from gistembed.models import EmbeddingModel
from gistembed.pairs import Pairs, Texts
from gistembed.record import Finding

if TYPE_CHECKING:
    from gistembed.pairs.opening import Source


@runtime_checkable
class Stage(Protocol):
    """Opens a progress bar, as `Console.stage` does."""

    def __call__(
        self, name: str, total: int, *, passing: bool = False
    ) -> AbstractContextManager[Callable[[int], None]]:
        """Open it; what it gives takes the number of units done since the call before."""


@contextmanager
def _silent(name: str, total: int, *, passing: bool = False) -> Iterator[Callable[[int], None]]:
    yield lambda done: None


def diagnose(
    source: "Source",
    reading: Reading = PLAIN,
    *,
    evaluation: "Source | None" = None,
    evaluation_reading: Reading = PLAIN,
    models: Mapping[str, EmbeddingModel] | None = None,
    near_duplicates: bool = True,
    stage: Stage = _silent,
) -> Diagnosis:
    """Look for everything that the doctor knows in the rows of a source.

    Args:
        source: See `gistembed.pairs.read_rows`.
        reading: How its rows are read.
        evaluation: Rows to evaluate on, which should not stand in the source.
        evaluation_reading: How these are read.
        models: Models whose limits the texts should keep to, by what they are: ``student``, ``guide``.
        near_duplicates: Whether to look for texts that are nearly the same, which takes longest.
        stage: What shows progress.

    Raises:
        UserError: If a source as a whole can't be read.
    """
    book = Book(Texts())
    rows = read_numbered(source, book, reading)
    eval_rows = None if evaluation is None else read_numbered(evaluation, book, evaluation_reading)
    findings = [*shape.unreadable_rows(rows), *shape.few_pairs(rows)]
    looked_at: list[str] = []
    if eval_rows is not None:
        findings += shape.unreadable_rows(eval_rows, evaluation=True)
    if len(rows):
        found = _near(rows, eval_rows, looked_at, stage) if near_duplicates else None
        with stage("check texts", len(_CHECKS), passing=True) as progress:
            findings += _checked(rows, progress)
        if found is not None:
            findings += near.near_duplicates(rows, found)
        if eval_rows is not None:
            findings += leak.overlap(rows, eval_rows, found)
        for who, model in (models or {}).items():
            findings += _cut(rows, model, who, looked_at, stage)
        if len(rows) > shape.SAMPLED_ROWS:
            looked_at.append(
                f"reversed columns, languages, labels: in {shape.SAMPLED_ROWS:,} of {len(rows):,} rows, "
                "drawn at random"
            )
    return Diagnosis(
        source=rows.source,
        advisable=all(finding.severity != "error" for finding in findings),
        rows=len(rows),
        unreadable_rows=rows.unreadable,
        pairs=len(rows.positives),
        negatives=len(rows.negatives),
        distinct_texts=len(rows.text_ids),
        looked_at=tuple(looked_at),
        findings=_sorted(findings),
    )


def examine(
    pairs: Pairs,
    *,
    evaluation: Pairs | None = None,
    counts: Iterable[limits.TokenCounts] = (),
) -> tuple[Finding, ...]:
    """The checks that take seconds, over pairs that were read already.

    What reading leaves out anyway (repeated pairs, contradicting negatives) is found only where it differs
    in case, white space or Unicode composition.

    Args:
        pairs: The pairs to train on.
        evaluation: The pairs to evaluate on, over the same texts.
        counts: Tokens of the texts as models read them.

    Returns:
        What was found, errors first.

    Raises:
        ValueError: If the evaluation pairs have texts of their own.
    """
    if evaluation is not None and evaluation.texts is not pairs.texts:
        raise ValueError("the evaluation pairs must be read into the texts of the training pairs")
    book = Book(pairs.texts)
    rows = numbered_pairs(pairs, book)
    findings = [*shape.few_pairs(rows), *_checked(rows, lambda done: None)]
    if evaluation is not None:
        findings += leak.overlap(rows, numbered_pairs(evaluation, book), None)
    for counted in counts:
        findings += limits.cut_texts(rows, counted)
    return _sorted(findings)


_CHECKS: tuple[Callable[[NumberedRows], list[Finding]], ...] = (
    same.contradicting_negatives,
    same.same_as_anchor,
    same.repeated_pairs,
    same.hubs,
    same.ids_with_several_texts,
    shape.reversed_columns,
    shape.constant_columns,
    shape.extreme_texts,
    damage.damaged_texts,
    leak.contained_texts,
    leak.labels,
    language.languages,
)


def _checked(rows: NumberedRows, on_progress: Callable[[int], None]) -> list[Finding]:
    findings: list[Finding] = []
    for check in _CHECKS:
        findings += check(rows)
        on_progress(1)
    return findings


def _near(
    rows: NumberedRows, evaluation: NumberedRows | None, looked_at: list[str], stage: Stage
) -> near.NearTexts:
    """Near duplicates among the texts of whole rows, as many as the limit allows."""
    lengths = rows.book.lengths
    texts = rows.text_ids
    anchors = np.empty(0, np.int64) if evaluation is None else np.unique(evaluation.anchors)
    characters, room = int(lengths[texts].sum()), max(near.LIMIT - int(lengths[anchors].sum()), 0)
    if characters > room:
        drawn = rows.sample(len(rows) * room // characters)
        texts = drawn.text_ids
        looked_at.append(
            f"near duplicates: among {len(drawn):,} of {len(rows):,} rows, drawn at random; there are more "
            "among all"
        )
    every = np.union1d(texts, anchors)
    with stage("near duplicates", len(every), passing=True) as progress:
        return near.near_texts(rows, every, progress)


def _cut(
    rows: NumberedRows, model: EmbeddingModel, who: str, looked_at: list[str], stage: Stage
) -> list[Finding]:
    sizes = [len(ids) for ids in limits.texts_by_role(rows).values()]
    total = sum(min(size, limits.COUNTED_TEXTS) for size in sizes)
    with stage(f"count tokens, {who}", total, passing=True) as progress:
        counted = limits.count_tokens(rows, model, who, progress)
    if counted is None:
        return []
    if total < sum(sizes):
        looked_at.append(
            f"tokens of the {who}: in {limits.COUNTED_TEXTS:,} texts of each role at most, drawn at random"
        )
    return limits.cut_texts(rows, counted)


def _sorted(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity)))
