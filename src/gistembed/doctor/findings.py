"""What the doctor finds: records for the console, for JSON, and for whoever decides by them."""

from typing import get_args

from gistembed.record import Finding, FindingExample, Record, Severity

SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""The worst first."""


class Diagnosis(Record):
    """All that was found in one source of pairs.

    Attributes:
        source: The source, as the user named it.
        advisable: Whether to train on it: nothing that was found is an error.
        rows: Rows that could be read.
        unreadable_rows: Rows that could not.
        pairs: Pairs of an anchor and a positive.
        negatives: Negatives over all rows.
        distinct_texts: Distinct texts.
        looked_at: Where not everything was looked at, how much of it, one line each.
        findings: What was found, errors first.
    """

    source: str
    advisable: bool
    rows: int
    unreadable_rows: int
    pairs: int
    negatives: int
    distinct_texts: int
    looked_at: tuple[str, ...]
    findings: tuple[Finding, ...]


def finding(
    code: str,
    severity: Severity,
    count: int,
    of: int,
    what: str,
    advice: str,
    examples: tuple[FindingExample, ...] = (),
    *,
    fixable: bool = False,
) -> Finding:
    """A finding with its share worked out; see `Finding`."""
    return Finding(
        code=code,
        severity=severity,
        count=count,
        of=of,
        share=count / of,
        what=what,
        advice=advice,
        examples=examples,
        fixable=fixable,
    )


def graded(share: float, *, error: float = 2.0, warning: float = 0.0) -> Severity:
    """How bad a share is.

    Args:
        share: The share, from 0 to 1.
        error: From which share it is an error; never, by default.
        warning: From which share it is a warning; always, by default.
    """
    if share >= error:
        return "error"
    return "warning" if share >= warning else "note"
