"""Proof on the user's own models that what training relies on is so."""

from gistembed.selftest.checks import CheckResult, check_count, run_selftest
from gistembed.selftest.dense import dense_loss

__all__ = ["CheckResult", "check_count", "dense_loss", "run_selftest"]
