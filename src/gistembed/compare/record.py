"""What a comparison leaves behind: ``compare.json``."""

from gistembed.record import Interval, Record, Verdict

COMPARE_VERSION = 1


class SideRecord(Record):
    """What was compared as one.

    Attributes:
        name: What it is called; the first one is the baseline.
        places: Where its scores come from: one place for each seed.
        seeds: The seeds that are recorded.
    """

    name: str
    places: list[str]
    seeds: list[int]


class ChangeRecord(Record):
    """One item that two sides score differently; means over seeds.

    Attributes:
        texts: The item: a query, or both texts of a pair.
        note: What else is known of it.
        before: What it says for the baseline.
        after: What it says for the challenger.
        found_before: What the baseline took for the answer; None where that is not known.
        found_after: What the challenger took for it.
    """

    texts: list[str]
    note: str
    before: float
    after: float
    found_before: str | None = None
    found_after: str | None = None


class EffectRecord(Record):
    """A challenger against the baseline on one task.

    Attributes:
        task: The task.
        metric: The name of its score.
        judged: How the score comes from the items.
        is_retention: Whether the task shows what was forgotten, and stands apart.
        unit: What an item is, in the plural.
        items: How many items both have.
        decides: Whether there are enough of them for a verdict.
        baseline: The baseline's score.
        challenger: The challenger's score.
        difference: The second minus the first; its interval is not corrected for being one of several.
        p_value: The level at which that interval would begin to hold 0; None of one item with one seed, of
            which nothing can vary.
        corrected_p_value: The same by Holm's method over all tests of the comparison.
        verdict: By the corrected p-value.
        wins: Items that say more for the challenger.
        losses: Items that say less for it.
        ties: The others.
        gains: Those that gained most.
        falls: Those that lost most.
    """

    task: str
    metric: str
    judged: str
    is_retention: bool
    unit: str
    items: int
    decides: bool
    baseline: Interval
    challenger: Interval
    difference: Interval
    p_value: float | None
    corrected_p_value: float | None
    verdict: Verdict
    wins: int
    losses: int
    ties: int
    gains: list[ChangeRecord]
    falls: list[ChangeRecord]


class OverallRecord(Record):
    """A challenger against the baseline over several tasks.

    Attributes:
        tasks: The tasks, which weigh the same.
        difference: The mean of their differences.
        p_value: As of one task.
        corrected_p_value: The same by Holm's method over all challengers.
        verdict: By the corrected p-value.
    """

    tasks: list[str]
    difference: Interval
    p_value: float
    corrected_p_value: float
    verdict: Verdict


class ChallengerRecord(Record):
    """All that is said of one challenger.

    Attributes:
        name: What it is called.
        verdict: That of the overall effect, or of the only task that is not retention.
        line: The same in words, with interval, numbers, and what became of retention.
        overall: The effect over several tasks; None where there is but one.
        effects: The effect on each task, retention last.
    """

    name: str
    verdict: Verdict
    line: str
    overall: OverallRecord | None
    effects: list[EffectRecord]


class ComparisonRecord(Record):
    """A whole comparison.

    Attributes:
        version: Version of this record's layout.
        made_with: Version of gistembed.
        confidence: Confidence level of all intervals.
        resamples: How many resamples each interval is from.
        tests: How many tests of tasks and challengers were corrected together.
        seeds: Over how many seeds scores are means.
        sides: The baseline, then the challengers.
        challengers: What is said of each.
        method: How it was computed, in words.
        warnings: What was left out, and what a reader should know.
    """

    version: int = COMPARE_VERSION
    made_with: str
    confidence: float
    resamples: int
    tests: int
    seeds: int
    sides: list[SideRecord]
    challengers: list[ChallengerRecord]
    method: list[str]
    warnings: list[str]
