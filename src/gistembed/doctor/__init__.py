"""What is wrong with pairs before anything is trained on them, and a copy without what can be mended."""

from gistembed.doctor.checkup import diagnose, examine
from gistembed.doctor.findings import Diagnosis, Example, Finding, Severity
from gistembed.doctor.limits import TokenCounts, count_tokens
from gistembed.doctor.mending import Mended, check_fix, mend
from gistembed.doctor.numbered import PLAIN, Reading

__all__ = [
    "PLAIN",
    "Diagnosis",
    "Example",
    "Finding",
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
