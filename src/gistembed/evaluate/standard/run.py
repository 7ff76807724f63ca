"""Scores models on mteb's tasks by its own evaluators, and keeps what is scored already."""

import json
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gistembed.console import Console
from gistembed.errors import UserError
from gistembed.evaluate.runs.results import Result, ResultFolder, write_items
from gistembed.evaluate.runs.run import Evaluated
from gistembed.evaluate.runs.settings import ModelToScore
from gistembed.evaluate.standard.encoder import StandardEncoder
from gistembed.evaluate.standard.library import require_mteb
from gistembed.files import write_whole
from gistembed.pairs.wording import one_line

_MEASURES = {"P": "precision", "success": "hit_rate"}


def run_standard(
    models: Sequence[ModelToScore],
    tasks: Sequence[Any],
    folder: ResultFolder,
    console: Console,
    failed: dict[str, str],
) -> Iterator[Evaluated]:
    """Score models on mteb's tasks, model by model; a model is loaded only if there is something to score.

    A task whose data can't be had is passed over.

    Args:
        models: The models.
        tasks: mteb's tasks.
        folder: Where results are kept.
        console: Where progress is shown.
        failed: Takes what is passed over, by the name of the task, and why.

    Yields:
        One result after another.

    Raises:
        UserError: If a model can't be loaded, or memory runs out; what is scored before is kept.
    """
    for found in models:
        encoder: StandardEncoder | None = None
        for task in tasks:
            if task.metadata.name in failed:
                continue
            result = _kept(found, task, folder)
            was_kept = result is not None
            if result is None:
                was_loaded = task.data_loaded
                if (problem := _load(task)) is not None:
                    failed[task.metadata.name] = problem
                    console.warn(f"{task.metadata.name}: its data can't be had: {problem}")
                    continue
                encoder = encoder or StandardEncoder(found, found.load(), console)
                result = _score(encoder, task, folder)
                if not was_loaded:
                    # A benchmark's data together may be larger than memory.
                    task.unload_data()
            size = ", ".join(result.content["scores"])
            yield Evaluated(
                found.given,
                task.metadata.name,
                task.metadata.type,
                task.metadata.main_score,
                size,
                result,
                was_kept,
            )


def _kept(found: ModelToScore, task: Any, folder: ResultFolder) -> Result | None:  # noqa: ANN401
    """The result that is there already, of the same data and scored by the same mteb."""
    result = folder.read(found, task.metadata.name)
    if result is None:
        return None
    content = result.content
    same = (content["mteb_version"], content["dataset_revision"]) == (
        require_mteb().__version__,
        task.metadata.revision,
    )
    subsets = {(split, subset["hf_subset"]) for split, every in content["scores"].items() for subset in every}
    wanted = {(split, subset) for split in task.eval_splits for subset in task.hf_subsets}
    return result if same and wanted <= subsets else None


def _load(task: Any) -> str | None:  # noqa: ANN401
    """Fetch the data of a task; why it can't be had, if it can't."""
    from mteb.abstasks.aggregated_task import AbsTaskAggregate

    if task.data_loaded or isinstance(task, AbsTaskAggregate):
        return None
    try:
        with _no_bars():
            task.load_data()
    # The hub's client and the readers of data sets raise almost anything.
    except Exception as error:
        lines = str(error).strip().splitlines()
        return one_line(lines[0] if lines else type(error).__name__)
    return None


def _score(encoder: StandardEncoder, task: Any, folder: ResultFolder) -> Result:  # noqa: ANN401
    mteb = require_mteb()
    place = folder.begin(encoder.found, encoder.model)
    name = folder.place(encoder.found, task.metadata.name)
    by_query: list[dict[str, Any]] = []
    with (
        TemporaryDirectory(dir=place, prefix=".") as beside,
        _noting_queries(task, by_query),
        _no_bars(),
        warnings.catch_warnings(),
    ):
        # What evaluators warn of (a class that nothing is taken for) is in the scores.
        warnings.filterwarnings("ignore", module=r"(sklearn|mteb\._evaluators)\b")
        try:
            (scored,) = mteb.evaluate(
                encoder,
                task,
                cache=None,
                co2_tracker=False,
                show_progress_bar=False,
                # Of a search they are a thousand documents for each query, and its scores say enough.
                prediction_folder=None if _searches(task) else Path(beside),
            ).task_results
        except UserError:
            raise
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"--mteb {task.metadata.name}: mteb can't score it: {one_line(str(error))}; leave it out"
            ) from error
        if by_query:
            write_items(folder.items(encoder.found, task.metadata.name), _columns(by_query))
        for predictions in Path(beside).glob("*_predictions.json"):
            (place / "predictions").mkdir(exist_ok=True)
            write_whole(place / "predictions" / name.name, predictions.read_bytes())
        written = Path(beside) / "result.json"
        scored.to_disk(written)
        return folder.put(name, _without_nan(json.loads(written.read_bytes())))


def _searches(task: Any) -> bool:  # noqa: ANN401
    from mteb.abstasks import AbsTaskRetrieval

    return isinstance(task, AbsTaskRetrieval)


@contextmanager
def _noting_queries(task: Any, by_query: list[dict[str, Any]]) -> Iterator[None]:  # noqa: ANN401
    """Note the scores of each query of a search: mteb hands them to one method, and keeps their means."""
    if not _searches(task):
        yield
        return
    further = task.task_specific_scores

    def note(scores: Mapping[str, Mapping[str, float]], *given: Any, **named: Any) -> Any:  # noqa: ANN401
        where = {"split": named["hf_split"], "subset": named["hf_subset"]}
        by_query.extend({**where, "query_id": query, **_as_named(own)} for query, own in scores.items())
        return further(scores, *given, **named)

    task.task_specific_scores = note
    try:
        yield
    finally:
        del task.task_specific_scores


def _as_named(scores: Mapping[str, float]) -> dict[str, float]:
    """Measures of a query, named as mteb names those of a task: ``ndcg_at_10`` for ``ndcg_cut_10``."""
    named = {}
    for measure, score in scores.items():
        name, _, cut = measure.rpartition("_")
        name = name.removesuffix("_cut")
        named[f"{_MEASURES.get(name, name)}_at_{cut}"] = score
    return named


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


@contextmanager
def _no_bars() -> Iterator[None]:
    """Without the progress bars of `datasets`: they count what nobody waits for."""
    import datasets

    had_bars = datasets.utils.are_progress_bars_disabled() is False
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if had_bars:
            datasets.enable_progress_bars()


def _without_nan(value: Any) -> Any:  # noqa: ANN401
    """The same without numbers that JSON has not; null stands for them."""
    if isinstance(value, dict):
        return {key: _without_nan(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_nan(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
