"""What is wrong with pairs before anything is trained on them, and a copy without what can be mended."""

from gistembed.doctor.checkup import diagnose, examine
from gistembed.doctor.findings import Diagnosis
from gistembed.doctor.limits import TokenCounts, count_tokens
from gistembed.doctor.mending import Mended, check_fix, mend
from gistembed.doctor.numbered import PLAIN, Reading
from gistembed.record import Finding, FindingExample, Severity

__all__ = [
    "PLAIN",
    "Diagnosis",
    "Finding",
    "FindingExample",
    "Mended",
    "Reading",
    "Severity",
    "TokenCounts",
    "check_fix",
    "count_tokens",
    "diagnose",
    "examine",
    "mend",
]
