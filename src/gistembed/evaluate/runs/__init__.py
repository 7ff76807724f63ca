"""Models on tasks: each scored once, and the result kept in mteb's form."""

from gistembed.evaluate.runs.results import Result, ResultFolder
from gistembed.evaluate.runs.run import Evaluated, run_evaluation
from gistembed.evaluate.runs.settings import ModelSettings, parse_prompts

__all__ = [
    "Evaluated",
    "ModelSettings",
    "Result",
    "ResultFolder",
    "parse_prompts",
    "run_evaluation",
]
