"""What the doctor finds: records for the console, for JSON, and for whoever decides by them."""

from typing import Literal

from gistembed.record import Record

Severity = Literal["error", "warning", "note"]

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


class Example(Record):
    """One case of a finding.

    Attributes:
        place: Where it stands: ``pairs.csv:118``.
        text: What stands there, cut short.
    """

    place: str
    text: str


class Finding(Record):
    """One kind of thing that was found in the data.

    Attributes:
        code: Its name, for programs; it stays the same from version to version.
        severity: ``error``: don't train on this; ``warning``: look at it first; ``note``: good to know.
        count: How often it was found.
        of: Among how many.
        share: The one divided by the other.
        what: What was counted, to be read after the count.
        advice: What to do.
        examples: The first few cases.
        fixable: Whether `mend` takes it out.
    """

    code: str
    severity: Severity
    count: int
    of: int
    share: float
    what: str
    advice: str
    examples: tuple[Example, ...] = ()
    fixable: bool = False


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
    examples: tuple[Example, ...] = (),
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
