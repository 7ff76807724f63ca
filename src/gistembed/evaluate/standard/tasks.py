"""mteb's tasks by the names that it has for benchmarks, tasks and types of tasks."""

import difflib
from collections.abc import Sequence
from typing import Any, get_args

from gistembed.errors import UserError
from gistembed.evaluate.standard.library import require_mteb
from gistembed.pairs.wording import listed, quoted


def find_standard(names: Sequence[str], languages: Sequence[str] | None = None) -> list[Any]:
    """The tasks of some names, each once, in their order; of types only what is text.

    Args:
        names: Benchmarks (``MTEB(eng, v2)``), tasks (``STS12``) or types (``STS``).
        languages: Of tasks and types, only the parts in these languages (``eng``); None for all.

    Raises:
        UserError: If mteb isn't installed, or a name is none of these.
    """
    tasks: dict[str, Any] = {}
    for name in names:
        tasks |= {task.metadata.name: task for task in _tasks_of(name, languages)}
    return list(tasks.values())


def _tasks_of(name: str, languages: Sequence[str] | None) -> Sequence[Any]:
    mteb = require_mteb()
    from mteb.abstasks.task_metadata import TaskType

    wanted = None if languages is None else list(languages)
    benchmarks = {benchmark.name: benchmark for benchmark in mteb.get_benchmarks()}
    if name in benchmarks:
        return list(benchmarks[name].tasks)
    if name in get_args(TaskType):
        found = mteb.get_tasks(
            task_types=[name], languages=wanted, modalities=["text"], exclusive_modality_filter=True
        )
    else:
        try:
            found = mteb.get_tasks([name], languages=wanted)
        except KeyError:
            every = [task.metadata.name for task in mteb.get_tasks(exclude_superseded=False)]
            near = difflib.get_close_matches(name, [*benchmarks, *get_args(TaskType), *every])
            advice = f"near to it are {listed(near)}" if near else "see `mteb available-tasks`"
            raise UserError(
                f"--mteb {quoted(name)}: no benchmark, task or type of tasks is called so; {advice}"
            ) from None
    if not found:
        raise UserError(f"--mteb {quoted(name)}: none of its tasks is in {listed(languages or ())}")
    return list(found)
