"""What is wrong with pairs before anything is trained on them, and a copy without what can be mended."""

from gistembed.doctor.checkup import diagnose, examine
from gistembed.doctor.findings import Diagnosis
from gistembed.doctor.limits import TokenCounts, count_tokens
from gistembed.doctor.mending import Mended, check_target, mend
from gistembed.record import Finding, FindingExample, Severity

__all__ = [
    "Diagnosis",
    "Finding",
    "FindingExample",
    "Mended",
    "Severity",
    "TokenCounts",
    "check_target",
    "count_tokens",
    "diagnose",
    "examine",
    "mend",
]
