"""Tasks: numbered texts, and what is known of them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xxhash
from jaxtyping import Bool, Float64, Int64

from gistembed.evaluate.tasks.kinds import Kind
from gistembed.pairs import Texts


@dataclass(frozen=True, eq=False)
class Task(ABC):
    """What a model is scored on.

    Attributes:
        name: What the task is called.
        texts: The table that the ids point into.
    """

    name: str
    texts: Texts

    @property
    @abstractmethod
    def kind(self) -> Kind:
        """The kind of task."""

    @property
    @abstractmethod
    def size(self) -> str:
        """How much there is to score, in words."""

    @abstractmethod
    def text_ids(self) -> Int64[np.ndarray, " ids"]:
        """The texts in their places; a model embeds each distinct one once in a use."""

    @abstractmethod
    def _known(self) -> Sequence[np.ndarray | str]:
        """What is known of the texts, for the digest."""

    def digest(self) -> str:
        """xxh3-128 of the texts in their places and of all that is known of them.

        It does not depend on how texts are numbered.
        """
        digest = xxhash.xxh3_128(self.kind.encode() + self.texts.hashes()[self.text_ids()].tobytes())
        for part in self._known():
            digest.update(part.encode() if isinstance(part, str) else part.tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Retrieval(Task):
    """Queries, all documents, and how well some of them answer a query.

    Attributes:
        query_names: What the source calls each query.
        queries: Text id of each query; each has a relevant document.
        document_names: What the source calls each document, by its number.
        documents: Text id of each document.
        judged_queries: The query of each judgement, by its number, sorted.
        judged_documents: The document of each judgement, by its number.
        grades: How well it answers: 0 for not at all.
    """

    query_names: tuple[str, ...]
    queries: Int64[np.ndarray, " queries"]
    document_names: Texts
    documents: Int64[np.ndarray, " documents"]
    judged_queries: Int64[np.ndarray, " judgements"]
    judged_documents: Int64[np.ndarray, " judgements"]
    grades: Int64[np.ndarray, " judgements"]

    @property
    def kind(self) -> Kind:
        """``retrieval``."""
        return "retrieval"

    @property
    def size(self) -> str:
        """Queries and documents."""
        return f"{len(self.queries):,} queries, {len(self.documents):,} documents"

    def text_ids(self) -> Int64[np.ndarray, " ids"]:
        """Queries, then documents."""
        return np.concatenate([self.queries, self.documents])

    def _known(self) -> Sequence[np.ndarray | str]:
        return (
            "\0".join(self.query_names),
            self.document_names.hashes(),
            self.judged_queries,
            self.judged_documents,
            self.grades,
        )


@dataclass(frozen=True, eq=False)
class Reranking(Task):
    """Queries, each with candidates of its own, of which some are relevant.

    Attributes:
        queries: Text id of each query.
        offsets: The candidates of query ``i`` are ``candidates[offsets[i] : offsets[i + 1]]``.
        candidates: Text id of each candidate.
        relevant: Whether it is relevant; each query has one that is and one that isn't.
    """

    queries: Int64[np.ndarray, " queries"]
    offsets: Int64[np.ndarray, " queries_and_one"]
    candidates: Int64[np.ndarray, " candidates"]
    relevant: Bool[np.ndarray, " candidates"]

    @property
    def kind(self) -> Kind:
        """``reranking``."""
        return "reranking"

    @property
    def size(self) -> str:
        """Queries and candidates."""
        return f"{len(self.queries):,} queries, {len(self.candidates):,} candidates"

    def text_ids(self) -> Int64[np.ndarray, " ids"]:
        """Queries, then candidates."""
        return np.concatenate([self.queries, self.candidates])

    def _known(self) -> Sequence[np.ndarray | str]:
        return (self.offsets, self.relevant)


@dataclass(frozen=True, eq=False)
class GradedPairs(Task):
    """Pairs of texts with how similar they are (STS), or whether they belong together (pair classification).

    Attributes:
        first: Text id of one text of each pair.
        second: Text id of the other.
        grades: How similar they are; 0 or 1 for pair classification.
        binary: Whether this is pair classification.
    """

    first: Int64[np.ndarray, " pairs"]
    second: Int64[np.ndarray, " pairs"]
    grades: Float64[np.ndarray, " pairs"]
    binary: bool

    @property
    def kind(self) -> Kind:
        """``pair-classification`` or ``sts``."""
        return "pair-classification" if self.binary else "sts"

    @property
    def size(self) -> str:
        """Pairs."""
        return f"{len(self.first):,} pairs"

    def text_ids(self) -> Int64[np.ndarray, " ids"]:
        """One text of each pair, then the other of each."""
        return np.concatenate([self.first, self.second])

    def _known(self) -> Sequence[np.ndarray | str]:
        return (self.grades,)


@dataclass(frozen=True, eq=False)
class Bitext(Task):
    """Sentences and their translations.

    Attributes:
        first: Text id of each sentence.
        second: Text id of its translation.
    """

    first: Int64[np.ndarray, " pairs"]
    second: Int64[np.ndarray, " pairs"]

    @property
    def kind(self) -> Kind:
        """``bitext``."""
        return "bitext"

    @property
    def size(self) -> str:
        """Pairs."""
        return f"{len(self.first):,} pairs"

    def text_ids(self) -> Int64[np.ndarray, " ids"]:
        """All sentences, then their translations."""
        return np.concatenate([self.first, self.second])

    def _known(self) -> Sequence[np.ndarray | str]:
        return ()


@dataclass(frozen=True, eq=False)
class Classification(Task):
    """Labelled texts to learn classes from, and others to tell the class of.

    Attributes:
        classes: The classes by their number.
        train: Text ids to learn from.
        train_labels: Their classes.
        test: Text ids to tell the class of; none of them is in ``train``.
        test_labels: Their classes.
    """

    classes: tuple[str, ...]
    train: Int64[np.ndarray, " train"]
    train_labels: Int64[np.ndarray, " train"]
    test: Int64[np.ndarray, " test"]
    test_labels: Int64[np.ndarray, " test"]

    @property
    def kind(self) -> Kind:
        """``classification``."""
        return "classification"

    @property
    def size(self) -> str:
        """Texts and classes."""
        return f"{len(self.train):,} + {len(self.test):,} texts, {len(self.classes):,} classes"

    def text_ids(self) -> Int64[np.ndarray, " ids"]:
        """Texts to learn from, then the others."""
        return np.concatenate([self.train, self.test])

    def _known(self) -> Sequence[np.ndarray | str]:
        return ("\0".join(self.classes), self.train_labels, self.test_labels)


@dataclass(frozen=True, eq=False)
class Clustering(Task):
    """Labelled texts, whose classes clusters should find again.

    Attributes:
        classes: The classes by their number.
        members: Text ids.
        labels: Their classes.
    """

    classes: tuple[str, ...]
    members: Int64[np.ndarray, " texts"]
    labels: Int64[np.ndarray, " texts"]

    @property
    def kind(self) -> Kind:
        """``clustering``."""
        return "clustering"

    @property
    def size(self) -> str:
        """Texts and classes."""
        return f"{len(self.members):,} texts, {len(self.classes):,} classes"

    def text_ids(self) -> Int64[np.ndarray, " ids"]:
        """All texts."""
        return self.members

    def _known(self) -> Sequence[np.ndarray | str]:
        return ("\0".join(self.classes), self.labels)
