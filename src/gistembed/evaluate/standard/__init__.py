"""mteb's tasks and its evaluators, with our models; the user's own data as one of its tasks."""

from gistembed.evaluate.standard.library import require_mteb
from gistembed.evaluate.standard.own import as_mteb_task
from gistembed.evaluate.standard.run import run_standard
from gistembed.evaluate.standard.tasks import find_standard

__all__ = ["as_mteb_task", "find_standard", "require_mteb", "run_standard"]
