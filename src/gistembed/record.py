"""What a run leaves behind: the one record that `run.json`, the report and the model card are made from."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from gistembed.terms import Block, DataSet, TrainedModel

Status = Literal["running", "interrupted", "failed", "finished"]
Verdict = Literal["better", "not distinguishable", "worse"]

RECORD_VERSION = 1


class Record(BaseModel):
    """Base of all records: immutable, and an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ProgressRecord(Record):
    """Base of the records of what may be unfinished.

    Attributes:
        status: ``running``, ``interrupted``, ``failed`` or ``finished``.
    """

    status: Status


Severity = Literal["error", "warning", "note"]


class DataRecord(Record):
    """What was read from one source of pairs, and what was left out of it.

    Attributes:
        source: The file, folder or object that the rows came from, as the user named it.
        digest: xxh3-128 of the rows' texts, in order; equal digests mean equal data.
        columns: Columns of the source by role: ``anchor``, ``positive``, ``negative``.
        ignored_columns: Columns of the source that have no role.
        rows_read: Rows in the source.
        pairs: (anchor, positive) pairs kept; a row with a list of positives gives several.
        negatives: Explicit negatives kept, over all pairs.
        distinct_texts: Distinct texts among the kept pairs.
        dropped: How many rows, pairs or negatives were left out, by reason in words.
        tasks: How many pairs each task has, where there are tasks.
        samples: The first few pairs, as texts.
    """

    source: str
    digest: str
    columns: dict[str, list[str]]
    ignored_columns: list[str]
    rows_read: int
    pairs: int
    negatives: int
    distinct_texts: int
    dropped: dict[str, int]
    tasks: dict[str, int] = {}
    samples: list["PairSample"]


class PairSample(Record):
    """One pair as texts, and where it stands in the source."""

    place: str
    anchor: str
    positive: str
    negatives: list[str]


class FindingExample(Record):
    """One case of a finding.

    Attributes:
        place: Where it stands: ``pairs.csv:118``.
        text: What stands there, cut short.
    """

    place: str
    text: str


class Finding(Record):
    """One kind of thing that the doctor found in the data.

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
    examples: tuple[FindingExample, ...] = ()
    fixable: bool = False


class TrainingFinding(Record):
    """One thing that was noticed about a training, before, while or after it ran.

    Attributes:
        code: Its name, for programs; it stays the same from version to version.
        severity: ``error``: training stopped; ``warning``: look at it.
        step: The step after which it was noticed; 0 before the first.
        what: What it is and what it means, whole sentences.
        advice: What to try.
        measured: The numbers behind it, by name.
        examples: Rows that it is about, the first few.
    """

    code: str
    severity: Severity
    step: int
    what: str
    advice: str
    measured: dict[str, float] = {}
    examples: tuple[FindingExample, ...] = ()


class SplitRecord(Record):
    """How the held-out pairs were chosen, without leaking a text.

    Attributes:
        method: ``components`` (whole groups of pairs that share texts), ``cut`` (pairs that would
            tie both sides together were dropped) or ``given`` (the user's own evaluation data).
        train_pairs: Pairs trained on.
        held_out_pairs: Pairs kept for evaluation.
        dev_pairs: Training pairs that were kept to choose the best model by.
        dropped_pairs: Pairs in none, because they share a text with a side that was held out.
        components: Groups of pairs that are tied together by shared texts.
        largest_component: Pairs in the largest such group.
    """

    method: Literal["components", "cut", "given"]
    train_pairs: int
    held_out_pairs: int
    dev_pairs: int = 0
    dropped_pairs: int
    components: int
    largest_component: int


class ModelRecord(Record):
    """A model as it was used.

    Attributes:
        name: Folder or hub name, as the user gave it.
        identity: xxh3-128 over the model's files.
        kind: ``transformer``, ``static``, the class name of the first module, ``endpoint``,
            ``given vectors``, or ``the student itself`` where it is its own guide.
        parameters: Number of parameters; None where it is not known.
        dimensions: Length of an embedding.
        max_length: Longest input in tokens; None if there is no limit.
        prompts: Prompt put before each text, by role (``anchor``, ``document``).
        truncated_share: Share of the distinct texts that are longer than ``max_length``; None if there is
            no limit.
    """

    name: str
    identity: str
    kind: str
    parameters: int | None
    dimensions: int
    max_length: int | None
    prompts: dict[str, str]
    truncated_share: float | None = None


class GuideRecord(Record):
    """The guide, and what encoding with it cost.

    Attributes:
        model: The guide as a model.
        store: Folder of its stored vectors, or the file of given ones; None for a student that guides itself.
        texts: (prompt, text) combinations needed.
        encoded: How many of them had to be encoded in this run; the others were in the store.
        seconds: Time spent on encoding.
    """

    model: ModelRecord
    store: str | None
    texts: int
    encoded: int
    seconds: float


class MaskedExample(Record):
    """One candidate that the guide took out of one anchor's softmax.

    Attributes:
        block: Where the candidate stood: ap (another row's positive), aa (another row's anchor),
            an (a hard negative), pp (another row's positive, scored against this row's positive), pa
            (another row's anchor, scored likewise).
        anchor: The row's anchor text.
        positive: The row's own positive text.
        candidate: The text that was taken out.
        guide_candidate: Guide similarity of the pair that the block compares with the candidate.
        guide_positive: Guide similarity of the anchor and its own positive.
        place: Where the row stands in the source.
    """

    block: Block
    anchor: str
    positive: str
    candidate: str
    guide_candidate: float
    guide_positive: float
    place: str


class AuditRecord(Record):
    """What the guide masks in sampled batches, seen from the texts.

    Attributes:
        batches: Batches looked at.
        rows: Rows looked at.
        mask_rate: Share of the possible negatives that the guide takes out, by block.
        known_rate: Share taken out because their text is known to belong to the row, by block.
        rows_by_masked: Histogram over rows: ``rows_by_masked[i]`` rows lose between ``masked_edges[i]`` and
            ``masked_edges[i + 1]`` candidates.
        masked_edges: Edges of that histogram, one more than its bins.
        examples: Masked candidates, block by block, those most similar to the row first.
        kept_examples: The most similar candidates that stayed.
    """

    batches: int
    rows: int
    mask_rate: dict[str, float]
    known_rate: dict[str, float]
    rows_by_masked: list[int]
    masked_edges: list[int]
    examples: list[MaskedExample]
    kept_examples: list[MaskedExample]


class StepRecord(Record):
    """One logged point of a training run; rates are means since the point before."""

    step: int
    epoch: float
    loss: float
    learning_rate: float
    metrics: dict[str, float]


class BestRecord(Record):
    """Which step's model was kept.

    Attributes:
        metric: What it was chosen by.
        step: The step of the best score.
        score: That score.
        curve: All scores with their steps; that of step 0 is the model before training.
        stopped_early: Whether training ended because no better score came.
    """

    metric: str
    step: int
    score: float
    curve: list[tuple[int, float]]
    stopped_early: bool


class AdaptationRecord(Record):
    """What of a student was trained, where it was not all of it.

    Attributes:
        words: The same in words.
        frozen: Names of the parts that kept their weights, as the transformer calls them; none with LoRA,
            where the whole student kept them.
        lora_layers: Names of the linear layers that had an adapter.
        trained_parameters: Number of parameters that were trained.
        all_parameters: Number of all parameters, adapters included.
    """

    words: str
    frozen: list[str]
    lora_layers: list[str]
    trained_parameters: int
    all_parameters: int


class TrainingRecord(Record):
    """One training run.

    Attributes:
        model: Which model of the comparison this run made.
        loss: ``guided`` or ``infonce``.
        steps: Optimizer steps.
        batch_size: Rows that see each other.
        negatives_per_row: Candidates in a row's softmax besides its positive, before any mask.
        seconds: Time spent in training.
        pairs_per_second: Training speed.
        history: Logged points in order.
        micro_batches: Parts in which the last batch went through the student.
        replayed: Those of them that were computed twice, to take less memory.
        padding_free: Whether texts went through the student without padding.
        best: Which step's model was kept; None for that of the last.
    """

    model: TrainedModel
    loss: Literal["guided", "infonce"]
    steps: int
    batch_size: int
    negatives_per_row: int
    seconds: float
    pairs_per_second: float
    history: list[StepRecord]
    micro_batches: int = 1
    replayed: int = 0
    padding_free: bool = False
    best: BestRecord | None = None


class Interval(Record):
    """A mean with its bootstrap confidence interval."""

    mean: float
    low: float
    high: float


class Comparison(Record):
    """Two models on the same queries: ``challenger`` minus ``baseline``.

    Attributes:
        baseline: Name of the model compared with.
        challenger: Name of the model compared.
        metric: Name of the metric.
        difference: Mean difference over queries with its paired-bootstrap interval.
        confidence: Confidence level of that interval.
        verdict: ``better`` if the interval lies above 0, ``worse`` if below, else ``not distinguishable``;
            that too for too few queries.
        wins: Queries where the challenger scores higher.
        losses: Queries where it scores lower.
        ties: Queries with equal scores.
    """

    baseline: str
    challenger: str
    metric: str
    difference: Interval
    confidence: float
    verdict: Verdict
    wins: int
    losses: int
    ties: int


class QueryChange(Record):
    """One query whose score changed, with what stood at the top before and after.

    Attributes:
        query: The query.
        relevant: One of the documents that should be found.
        others: How many further documents should be found.
        before: Score before training.
        after: Score after training.
        top_before: The document ranked first before training.
        top_after: The document ranked first after training.
        right_before: Whether the first document before training is one that should be found.
        right_after: The same after training.
    """

    query: str
    relevant: str
    others: int
    before: float
    after: float
    top_before: str
    top_after: str
    right_before: bool
    right_after: bool


class DimensionRecord(Record):
    """Scores of embeddings that were cut to their leading dimensions.

    Attributes:
        dimensions: How many were kept.
        scores: Model name → mean of the metric that the verdict is about, with its interval.
    """

    dimensions: int
    scores: dict[str, Interval]


class EvaluationRecord(Record):
    """Scores of all models on one data set.

    Attributes:
        data: ``held-out`` or ``retention``.
        source: What the data is, in words.
        metric: The metric that the verdict is about.
        queries: Number of queries.
        documents: Number of documents that are ranked for each query.
        scores: Model name → metric → mean with interval. ``base`` is the student before training.
        comparisons: Pairs of models, most important first.
        improved: Queries that gained most from base to tuned.
        worsened: Queries that lost most from base to tuned.
        by_dimensions: Scores at each number of dimensions that a Matryoshka run trained for, the widest
            first; nothing for another run.
    """

    data: DataSet
    source: str
    metric: str
    queries: int
    documents: int
    scores: dict[str, dict[str, Interval]]
    comparisons: list[Comparison]
    improved: list[QueryChange] = []
    worsened: list[QueryChange] = []
    by_dimensions: list[DimensionRecord] = []


class RunRecord(ProgressRecord):
    """A whole run of ``gistembed fit``.

    Attributes:
        version: Version of this record's layout.
        started: Start of the run, ISO 8601 with time zone.
        config: The resolved configuration, every default filled in.
        inputs: Digest of everything that went in, by name: pairs, evaluation pairs, models.
        versions: Versions of Python and of the libraries that the result depends on.
        machine: Processor, cores, accelerator: what the timings were measured on.
        train_data: The pairs that were read.
        eval_data: The user's own evaluation pairs, if given.
        split: How the held-out pairs were chosen.
        student: The student before training.
        adaptation: What of it was trained; None if it was all of it.
        guides: The guides; none for an unguided run.
        audit: What the guide masks; None for an unguided run.
        trainings: The training runs, in order.
        evaluations: Held-out first, then retention.
        verdict: The last line of the run.
        findings: What the doctor found in the pairs, the worst first.
        noticed: What was noticed about the training of each model, in order.
        warnings: What the user should know, one line each.
        timings: Seconds by stage, in order.
    """

    version: int = RECORD_VERSION
    started: str
    config: dict[str, Any]
    inputs: dict[str, str]
    versions: dict[str, str]
    machine: dict[str, str]
    train_data: DataRecord
    eval_data: DataRecord | None = None
    split: SplitRecord
    student: ModelRecord
    adaptation: AdaptationRecord | None = None
    guides: list[GuideRecord] = []
    audit: AuditRecord | None = None
    trainings: list[TrainingRecord] = []
    evaluations: list[EvaluationRecord] = []
    verdict: str = ""
    findings: list[Finding] = []
    noticed: dict[str, list[TrainingFinding]] = {}
    warnings: list[str] = []
    timings: dict[str, float] = {}
