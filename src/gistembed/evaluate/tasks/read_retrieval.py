"""Reads queries, documents and what answers what: from pairs, or from a folder of BEIR."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from gistembed.errors import UserError
from gistembed.evaluate.retrieval import RetrievalTask
from gistembed.evaluate.tasks.task import Reranking, Retrieval, Task
from gistembed.pairs import Texts, offsets_of, parse_columns, read_pairs, read_rows
from gistembed.pairs.collections.corpus import Corpus, Judgement
from gistembed.pairs.collections.folders import read_judgements
from gistembed.pairs.rows.columns import plain_name
from gistembed.pairs.sources.by_ending import open_file
from gistembed.pairs.sources.lines import plain_suffix
from gistembed.pairs.sources.table import Table
from gistembed.pairs.sources.text_files import open_csv
from gistembed.pairs.wording import listed, one_line, quoted

_TEXT_ENDINGS = {".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow", ".feather"}
_ID_NAMES = ["id", "docid", "queryid", "documentid", "corpusid", "qid", "pid"]
_TEXT_NAMES = ["text", "query", "question", "document", "passage", "contents", "content", "body"]
_QUERY_NAMES = ["queryid", "qid", "query"]
_DOCUMENT_NAMES = ["corpusid", "docid", "documentid", "passageid", "pid", "document"]
_SCORE_NAMES = ["score", "relevance", "rel", "grade", "label"]
_PREFERRED_SPLITS = ("test", "dev", "validation")
_AT_ONCE = 10_000


def holds_retrieval(path: Path) -> bool:
    """Whether this is a folder of queries, documents and judgements, or its file of judgements."""
    return _judged_file(path) or (path.is_dir() and _file(path, "corpus") is not None)


def read_retrieval(source: str, name: str, columns: str | None) -> Task:
    """Read a retrieval task.

    Of a folder, all documents are searched, and ``qrels/test.tsv`` says what answers what. Of pairs, every
    distinct positive and negative is a document, and an anchor's positives answer it.

    Args:
        source: The source.
        name: What the task is called.
        columns: Columns by role, from the user; only for pairs.

    Raises:
        UserError: If it can't be read; the message names the place.
    """
    path = Path(source)
    if _judged_file(path):
        return _collection(path.parent.parent, one_line(source), name, path)
    if holds_retrieval(path):
        if columns is not None:
            raise UserError(
                f"--columns: {source} is a folder of queries and documents; leave the option out."
            )
        return _collection(path, one_line(source), name, None)
    if path.is_dir() and _file(path, "collection") is not None:
        raise UserError(
            f"{one_line(source)}: a folder of MS MARCO, whose collection is not searched here. Write it as "
            "corpus.jsonl, queries.jsonl and qrels/test.tsv."
        )
    return _of_pairs(source, name, columns)


def read_reranking(source: str, name: str, columns: str | None) -> Task:
    """Read queries with candidates of their own: positives, which are relevant, and negatives.

    What several rows say of a query, it has together. A query without a negative is left out.

    Args:
        source: Pairs with negatives.
        name: What the task is called.
        columns: Columns by role, from the user.

    Raises:
        UserError: If it can't be read; the message names the place.
    """
    texts = Texts()
    positives: dict[int, dict[int, None]] = {}
    negatives: dict[int, dict[int, None]] = {}
    roles = None if columns is None else parse_columns(columns)
    for _, row in read_rows(source, columns=roles):
        query = texts.add(row.anchor.text)
        for found, passages in ((positives, row.positives), (negatives, row.negatives)):
            found.setdefault(query, {}).update((texts.add(passage.text), None) for passage in passages)
    candidates: list[list[int]] = []
    relevant: list[list[bool]] = []
    queries: list[int] = []
    for query, own in positives.items():
        others = [text for text in negatives[query] if text not in own]
        if others:
            queries.append(query)
            candidates.append([*own, *others])
            relevant.append([True] * len(own) + [False] * len(others))
    if not queries:
        raise UserError(f"{one_line(source)}: no row has a negative. Candidates are positives and negatives.")
    return Reranking(
        name,
        texts,
        np.array(queries, np.int64),
        offsets_of(np.array([len(one) for one in candidates], np.int64)),
        np.concatenate([np.array(one, np.int64) for one in candidates]),
        np.concatenate([np.array(one, bool) for one in relevant]),
    )


def _of_pairs(source: str, name: str, columns: str | None) -> Retrieval:
    pairs = read_pairs(source, columns=None if columns is None else parse_columns(columns))
    task = RetrievalTask.from_pairs(pairs, name)
    relevant = [task.relations.of(query) for query in task.queries.tolist()]
    counts = np.array([len(own) for own in relevant], np.int64)
    names = Texts()
    names.add_all([f"d{number}" for number in range(len(task.documents))])
    return Retrieval(
        name,
        pairs.texts,
        tuple(f"q{number}" for number in range(len(task.queries))),
        task.queries,
        names,
        task.documents,
        np.repeat(np.arange(len(task.queries)), counts),
        np.searchsorted(task.documents, np.concatenate(relevant)),
        np.ones(int(counts.sum()), np.int64),
    )


def _collection(folder: Path, source: str, name: str, judged: Path | None) -> Retrieval:
    """The queries of a split, and all documents."""
    root = source if judged is None else one_line(str(folder))
    judgements = _open_judgements(folder, root, judged)
    queries, documents = (_corpus(folder, root, stem) for stem in ("queries", "corpus"))
    found = _numbered(queries, documents, judgements)
    asked = np.unique(found[0][found[2] > 0])
    if not len(asked):
        raise UserError(
            f"{judgements.name}: no document is judged to answer a query, with a score above 0. "
            "Give judgements of which some are."
        )
    found = found[:, np.isin(found[0], asked)]
    found = found[:, np.lexsort((found[1], found[0]))]
    query_ids, query_texts, text_of_query = queries.numbered_texts()
    document_ids, texts, text_of_document = documents.numbered_texts()
    wanted = text_of_query[asked]
    return Retrieval(
        name,
        texts,
        tuple(query_ids.of(asked)),
        texts.add_all(query_texts.of(wanted)),
        document_ids,
        text_of_document,
        np.searchsorted(asked, found[0]),
        found[1],
        found[2],
    )


def _numbered(queries: Corpus, documents: Corpus, table: Table) -> Int64[np.ndarray, "3 judgements"]:
    """Query, document and score of each judgement, by number; of several of one pair the last counts."""
    columns = _judgement_columns(table)
    latest: dict[tuple[int, int], int] = {}
    judgements = read_judgements(table, columns)
    while block := list(islice(judgements, _AT_ONCE)):
        asked = queries.numbers([judgement.query for judgement in block])
        found = documents.numbers([judgement.document for judgement in block])
        for kind, numbers, corpus in (("query", asked, queries), ("document", found, documents)):
            if len(missing := np.flatnonzero(numbers < 0)):
                _refuse_unknown(block[missing[0]], kind, corpus, table)
        scores = [judgement.score for judgement in block]
        latest.update(zip(zip(asked.tolist(), found.tolist(), strict=True), scores, strict=True))
    return np.array([(*pair, score) for pair, score in latest.items()], np.int64).reshape(-1, 3).T


def _refuse_unknown(judgement: Judgement, kind: str, corpus: Corpus, table: Table) -> None:
    name = quoted(judgement.query if kind == "query" else judgement.document)
    raise UserError(
        f"{table.place(judgement.place)}: there is no {kind} {name} in {corpus.table.name}. "
        "Add it or drop the line."
    )


def _judgement_columns(table: Table) -> tuple[str, str, str]:
    header = "query-id, corpus-id and score"
    query, document, score = (
        _known_column(known, table.names, table.name, header)
        for known in (_QUERY_NAMES, _DOCUMENT_NAMES, _SCORE_NAMES)
    )
    return query, document, score


def _known_column(known: Sequence[str], names: Sequence[str], source: str, header: str) -> str:
    """The first column that has a name known for its role."""
    found = next((name for name in names if plain_name(name) in known), None)
    if found is None:
        raise UserError(f"{source}: the columns are {listed(names)}. Name them {header}.")
    return found


def _corpus(folder: Path, source: str, stem: str) -> Corpus:
    path = _file(folder, stem)
    if path is None:
        raise UserError(f"{source}: there is no {stem}.jsonl. Add it to the folder.")
    table = open_file(path, f"{source}/{path.name}")
    identity = _known_column(_ID_NAMES, table.names, table.name, "_id and text")
    text = _known_column(_TEXT_NAMES, table.names, table.name, "_id and text")
    titles = [name for name in table.names if plain_name(name) == "title"] if stem == "corpus" else []
    title = titles[0] if titles else None
    return Corpus.read(table, identity, text, title)


def _open_judgements(folder: Path, source: str, judged: Path | None) -> Table:
    if judged is None:
        judged = _choose_split(folder, source)
    name = f"{source}/{judged.relative_to(folder)}"
    return open_csv(judged, name, "\t") if plain_suffix(judged) == ".tsv" else open_file(judged, name)


def _choose_split(folder: Path, source: str) -> Path:
    if (alone := _file(folder, "qrels")) is not None:
        return alone
    inside = folder / "qrels"
    splits = {
        path.name.partition(".")[0]: path
        for path in (sorted(inside.iterdir()) if inside.is_dir() else ())
        if path.is_file() and plain_suffix(path) in _TEXT_ENDINGS
    }
    if not splits:
        raise UserError(
            f"{source}: there are no judgements. Add qrels/test.tsv with the columns query-id, corpus-id, "
            "score."
        )
    for split in _PREFERRED_SPLITS:
        if split in splits:
            return splits[split]
    if len(splits) > 1:
        raise UserError(
            f"{source}/qrels: there are {listed(splits)}, and none is named 'test'. Give the file that is "
            f"meant, such as {source}/qrels/{next(iter(splits.values())).name}."
        )
    return next(iter(splits.values()))


def _judged_file(path: Path) -> bool:
    return path.parent.name == "qrels" and path.is_file() and _file(path.parent.parent, "corpus") is not None


def _file(folder: Path, stem: str) -> Path | None:
    """The one file of a name, whatever its ending."""
    found = [
        path
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name.partition(".")[0] == stem and plain_suffix(path) in _TEXT_ENDINGS
    ]
    return found[0] if found else None
