"""What the weight tools leave behind or print: how a model was blended, exported or quantised."""

from typing import Literal

from gistembed.record import Interval, Record, Verdict

ExportFormat = Literal["onnx", "openvino", "torch"]
Precision = Literal["float32", "int8"]


class ScoredOn(Record):
    """What models were scored on.

    Attributes:
        source: The pairs, as the user named them.
        queries: Distinct anchors.
        documents: Distinct positives and negatives.
    """

    source: str
    queries: int
    documents: int


class Trial(Record):
    """The scores of one blend, and how they changed against those of BASE.

    Attributes:
        alpha: Share of TUNED.
        dev: Mean score on the development pairs.
        retention: Mean score on the retention pairs.
        dev_change: Relative change of ``dev``: 0.1 is a tenth better.
        retention_change: Relative change of ``retention``.
        allowed: Whether enough of the retention score is left.
    """

    alpha: float
    dev: float
    retention: float
    dev_change: float
    retention_change: float
    allowed: bool

    @property
    def gain(self) -> float:
        """The mean of the two relative changes, which the choice goes by."""
        return (self.dev_change + self.retention_change) / 2


class BlendChoice(Record):
    """How the share of TUNED was chosen.

    Attributes:
        metric: What was scored.
        dev: The development pairs.
        retention: The retention pairs.
        least_retention: Share of BASE's retention score that has to be left.
        rule: The rule in words.
        trials: All blends that were scored, from BASE to TUNED.
    """

    metric: str
    dev: ScoredOn
    retention: ScoredOn
    least_retention: float
    rule: str
    trials: list[Trial]


class BlendRecord(Record):
    """A blended model.

    Attributes:
        base: Name of the model at 0.
        base_identity: xxh3-128 over its files.
        tuned: Name of the model at 1.
        tuned_identity: xxh3-128 over its files.
        alpha: Share of TUNED: weights are (1 - alpha) BASE + alpha TUNED.
        choice: How ``alpha`` was chosen; None if the user gave it.
    """

    base: str
    base_identity: str
    tuned: str
    tuned_identity: str
    alpha: float
    choice: BlendChoice | None


class ExportRecord(Record):
    """An exported model, and all that is needed to run it.

    Attributes:
        model: Name of the model that it was made from.
        identity: xxh3-128 over that model's files.
        kind: ``transformer`` or ``static``.
        format: What runs it.
        precision: What its weights are kept in.
        merged: Whether an adapter was merged into the weights.
        graph: The file to load, below the folder.
        inputs: The graph's inputs, by name, in order: int64 of shape (texts, tokens).
        dimensions: Length of an embedding.
        max_length: Longest input in tokens; None if there is no limit.
        pad_id: Token that fills up shorter texts; their attention mask is 0 there.
        special_tokens: Whether the tokenizer adds its special tokens.
        prompts: What is put before each text, by role.
        probes: How many texts it was checked on.
        largest_difference: Largest distance of its embedding of one of them from the model's, as a share of
            the length of the model's.
        allowed_difference: What would have been refused.
        versions: The libraries that made it.
    """

    model: str
    identity: str
    kind: str
    format: ExportFormat
    precision: Precision
    merged: bool
    graph: str | None
    inputs: list[str]
    dimensions: int
    max_length: int | None
    pad_id: int
    special_tokens: bool
    prompts: dict[str, str]
    probes: int
    largest_difference: float
    allowed_difference: float
    versions: dict[str, str]


class KeptForm(Record):
    """One way to keep embeddings, and what it does to retrieval.

    Attributes:
        precision: What is kept of each number.
        dimensions: How many of the first numbers are kept.
        bytes: What the embedding of a text takes.
        score: Mean over queries, with its interval.
        change: Against all of float32, with its interval.
        verdict: Whether the change can be told from none.
    """

    precision: str
    dimensions: int
    bytes: int
    score: Interval
    change: Interval
    verdict: Verdict


class QuantisationRecord(Record):
    """A model's embeddings in several forms, scored on the same pairs.

    Attributes:
        model: Name of the model.
        metric: What was scored.
        data: The pairs.
        forms: All of float32 first.
    """

    model: str
    metric: str
    data: ScoredOn
    forms: list[KeptForm]
