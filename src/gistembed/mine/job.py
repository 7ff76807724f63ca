"""A whole piece of mining: from the user's files to rows with negatives in a file of their own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gistembed.console import Console
from gistembed.errors import UserError
from gistembed.guide import (
    EncodingPlan,
    GuideSettings,
    GuideStore,
    GuideVectors,
    Keys,
    column_vectors,
    default_store,
    do_work,
    given_vectors,
    is_columns,
    is_given,
    prepare_work,
)
from gistembed.mine.corpus import Corpus, read_corpus
from gistembed.mine.faiss_search import require_faiss
from gistembed.mine.mining import Documents, comparisons, mine_negatives
from gistembed.mine.rows import MiningTally, mined_rows
from gistembed.mine.settings import MiningSettings
from gistembed.pairs import Grades, Pairs, check_out, read_pairs, read_rows, write_rows
from gistembed.pairs.wording import counted
from gistembed.terms import VectorDtype


@dataclass(frozen=True)
class MiningJob:
    """What is mined, with which guide, and where it goes.

    Attributes:
        data: The pairs.
        out: The file to write; see `write_rows`.
        guide: The guide: a model, an endpoint, a file of vectors or columns of the pairs.
        settings: What may be taken, and how.
        columns: Columns of the pairs by role, if their names don't tell.
        grades: Which rows of pairs with scores or labels are positives; None where all are.
        corpus: Further documents.
        corpus_column: The column of their texts, where there are several.
        store: Folder of guides' vectors; the user's cache by default.
        dtype: How vectors are kept there.
    """

    data: str
    out: Path
    guide: GuideSettings
    settings: MiningSettings
    columns: Mapping[str, Sequence[str]] | None = None
    grades: Grades | None = None
    corpus: str | None = None
    corpus_column: str | None = None
    store: Path | None = None
    dtype: VectorDtype = "float16"

    @property
    def has_vectors(self) -> bool:
        """Whether the guide is vectors that are there already."""
        return is_given(self.guide.name) or is_columns(self.guide.name)

    def check(self) -> None:
        """Refuse what can be refused before anything is read.

        Raises:
            UserError: If the file can't be written, settings don't fit the guide, or faiss is not there.
        """
        check_out(self.out)
        if self.settings.search == "faiss":
            require_faiss()
        if self.corpus is not None and is_columns(self.guide.name):
            raise UserError(
                f"--guide {self.guide.name}: has no vectors of the corpus; give a model or a file of vectors"
            )
        of_encoding = {
            "prompt": self.guide.prompts or None,
            "max-length": self.guide.max_length,
            "dimensions": self.guide.dimensions,
            "requests-per-minute": self.guide.requests_per_minute,
            "dtype": None if self.dtype == "float16" else self.dtype,
            "backend": None if self.guide.backend == "torch" else self.guide.backend,
            "store": self.store,
        }
        for option, value in of_encoding.items():
            if self.has_vectors and value is not None:
                raise UserError(f"--{option}: the guide's vectors are there already; leave it out")

    def read(self) -> tuple[Pairs, Corpus | None]:
        """The pairs, and the corpus if there is one."""
        pairs = read_pairs(self.data, columns=self.columns, grades=self.grades)
        if self.corpus is None:
            return pairs, None
        return pairs, read_corpus(self.corpus, pairs, column=self.corpus_column)


@dataclass(frozen=True)
class MiningPlan:
    """What a job is going to do.

    Attributes:
        anchors: Distinct anchors, each of which gets negatives.
        documents: Distinct documents that may be negatives.
        missing: Texts that the guide has to encode; none where its vectors are there.
    """

    anchors: int
    documents: int
    missing: int


def plan_mining(job: MiningJob) -> MiningPlan:
    """Find out what a job would do; nothing is written.

    Args:
        job: The job.

    Raises:
        UserError: If anything about the job is not as it should be.
    """
    job.check()
    pairs, corpus = job.read()
    parts = [pairs] if corpus is None else [pairs, corpus.documents]
    return MiningPlan(
        anchors=len(np.unique(pairs.anchors)),
        documents=_documents(pairs, corpus),
        missing=0 if job.has_vectors else _missing(job, parts),
    )


def run_mining(job: MiningJob, console: Console) -> MiningTally:
    """Encode what the store lacks, mine, and write the rows; OUT is written whole or not at all.

    Args:
        job: The job.
        console: Where progress is shown.

    Returns:
        What became of the rows.

    Raises:
        UserError: If anything about the job is not as it should be, or no anchor gets a negative.
        OSError: If the disk refuses.
    """
    job.check()
    pairs, corpus = job.read()
    vectors = _vectors(job, pairs, console)
    further = None if corpus is None else corpus.documents
    more = None if further is None else Documents.of(further, _vectors(job, further, console))
    known = None if corpus is None else corpus.known
    anchors, documents = len(np.unique(pairs.anchors)), _documents(pairs, corpus)
    console.say(f"{counted(anchors, 'anchor')}, {counted(documents, 'document')} that may be negatives")
    with console.stage("mine hard negatives", comparisons(anchors, documents, job.settings)) as progress:
        mined = mine_negatives(
            pairs, vectors, job.settings, corpus=more, also_known=known, on_progress=progress
        )
    tally = MiningTally()
    rows = read_rows(job.data, columns=job.columns, grades=job.grades)
    written = mined_rows(rows, pairs, mined, job.settings, tally, corpus=further)
    write_rows(written, job.out, on_renamed=tally.renamed.__setitem__)
    return tally


def _documents(pairs: Pairs, corpus: Corpus | None) -> int:
    own = len(np.unique(np.concatenate([pairs.positives, pairs.negative_ids])))
    return own if corpus is None else own + len(corpus.documents)


def _missing(job: MiningJob, parts: Sequence[Pairs]) -> int:
    """How many vectors the store lacks; a text with one vector for several parts and roles counts once."""
    keys = []
    for part in parts:
        # The guide of one part is gone before that of the next is loaded.
        store, plan = _store_and_plan(job, part)
        keys += list(plan.keys.values())
    every = Keys.joined(keys)
    return int((store.find(every.at(every.distinct())) < 0).sum())


def _store_and_plan(job: MiningJob, part: Pairs) -> tuple[GuideStore, EncodingPlan]:
    work = prepare_work(job.guide, job.store or default_store(), part, dtype=job.dtype)
    return work.store, work.plan


def _vectors(job: MiningJob, part: Pairs, console: Console) -> GuideVectors:
    name = job.guide.name
    if is_columns(name):
        return column_vectors(job.data, name, part)
    if is_given(name):
        return given_vectors(name, part)
    work = prepare_work(job.guide, job.store or default_store(), part, dtype=job.dtype)
    if (estimate := work.estimate(None)) is not None:
        console.say(f"to be sent: {estimate}")
    return do_work(work, console)
