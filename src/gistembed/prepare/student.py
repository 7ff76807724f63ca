"""The student of a run: loaded, its tokens read, what of it learns, and what the doctor says of the pairs."""

from pathlib import Path

import numpy as np

from gistembed.batches import TokenCache, texts_by_role
from gistembed.config import RunConfig
from gistembed.console import Console
from gistembed.doctor import TokenCounts, examine
from gistembed.models import EmbeddingModel, load_model
from gistembed.pairs import Pairs
from gistembed.record import AdaptationRecord, Finding
from gistembed.train import TrainingPlan, adapt, remove_lora

# So many, the doctor looks through in seconds.
_EXAMINED_PAIRS = 100_000


def load_student(config: RunConfig) -> EmbeddingModel:
    """A fresh copy of the student."""
    return load_model(
        config.student,
        option="--student",
        prompts=config.student_prompts,
        max_length=config.student_max_length,
    )


def read_tokens(student: EmbeddingModel, train: Pairs, console: Console) -> TokenCache:
    """What the student reads for each training text."""
    texts = texts_by_role(student, train.anchors, np.concatenate([train.positives, train.negative_ids]))
    count = sum(map(len, texts.values()))
    with console.stage(f"tokenise, {Path(student.name).name}", count, passing=True) as progress:
        tokens = TokenCache.read(student, train, progress)
    if tokens.uncached_because is not None:
        console.say(f"texts are tokenised anew at each step: the student {tokens.uncached_because}")
    return tokens


def adaptation_of(student: EmbeddingModel, plan: TrainingPlan) -> AdaptationRecord | None:
    """What is going to be trained; the student is left with the weights and the embeddings that it has."""
    adaptation = adapt(student.model, plan.adaptation)
    if plan.adaptation.lora is not None:
        remove_lora(student.model)
    return adaptation


def examine_pairs(
    train: Pairs, student: EmbeddingModel, tokens: TokenCache, console: Console
) -> tuple[Finding, ...]:
    """What the doctor finds in the training pairs, or in as many as he looks at in seconds."""
    drawn = np.sort(np.random.default_rng(0).permutation(len(train))[:_EXAMINED_PAIRS])
    looked_at = train.take(drawn)
    counts = []
    if student.max_length is not None:
        ids = looked_at.text_ids()
        lengths = tokens.lengths[ids].astype(np.int64)
        counts.append(TokenCounts("student", student.max_length, np.arange(len(ids)), lengths))
    findings = examine(looked_at.apart(), counts=counts)
    for finding in findings:
        if finding.severity != "note":
            example = f", as in {finding.examples[0].place}" if finding.examples else ""
            console.warn(f"{finding.what}: {finding.count:,}{example}. {finding.advice}")
    if any(finding.severity == "error" for finding in findings):
        console.warn(f"{train.source}: `gistembed data doctor` says more, and its --fix mends what it can")
    return findings
