"""Tables from folders of queries, documents and judgements: BEIR, Tevatron and MS MARCO."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from gistembed.errors import UserError
from gistembed.pairs.collections.corpus import COLUMNS, HIGHEST_SCORE, Corpus, Judgement, cell_of, judged_rows
from gistembed.pairs.rows.cells import NEEDED, CellError, is_blank, name_of, text_problem
from gistembed.pairs.sources.by_ending import open_file
from gistembed.pairs.sources.lines import PACKED, plain_suffix
from gistembed.pairs.sources.table import BLOCK_ROWS, Block, Choose, OnProblem, Problem, Table, pass_over
from gistembed.pairs.sources.text_files import open_csv, open_plain_tsv
from gistembed.pairs.wording import PlaceWord, listed, quoted

_PREFERRED = "train"
_ID_LISTS = {"positive_document_ids": "positive_passages", "negative_document_ids": "negative_passages"}
_JSONL = (".jsonl", ".ndjson", ".json")

_CollectedRows = Callable[[OnProblem | None], Iterator[tuple[int, list[object]]]]
"""Gives the place and the cells of each row, by `COLUMNS`."""


def open_collection(folder: Path, name: str) -> Table | None:
    """A folder of BEIR, Tevatron or MS MARCO; None if it is none of these.

    Args:
        folder: The folder.
        name: The folder, as messages name it.

    Raises:
        UserError: If files that belong to it are missing or not as they should be.
    """
    if (corpus := _find(folder, name, "corpus", _JSONL)) is not None:
        if (folder / "qrels").is_dir():
            return _beir(folder, name, corpus, None)
        return _tevatron(folder, name, corpus)
    if (collection := _find(folder, name, "collection", (".tsv",))) is not None:
        return _msmarco(folder, name, collection)
    if (folder / "qrels").is_dir():
        raise UserError(f"{name}: there are judgements (qrels), but no corpus.jsonl. Add it to the folder.")
    return None


def open_judged_split(path: Path, name: str) -> Table | None:
    """A split of a folder of BEIR, by its file of judgements; None if the file is none of these."""
    folder = path.parent.parent
    if path.parent.name != "qrels" or plain_suffix(path) != ".tsv":
        return None
    folder_name = name.rpartition("/qrels/")[0] or "."
    corpus = _find(folder, folder_name, "corpus", _JSONL)
    return None if corpus is None else _beir(folder, folder_name, corpus, path)


def _beir(folder: Path, name: str, corpus: Path, judged: Path | None) -> Table:
    queries = _needed(folder, name, "queries", _JSONL)
    if judged is None:
        splits = _tsv_files(folder / "qrels")
        if (split := _training_split(splits)) is None:
            found = f"there are {listed(splits)}" if splits else "there is none"
            raise UserError(
                f"{name}/qrels: no file of judgements is named '{_PREFERRED}.tsv'; {found}. "
                f"Give the file that is meant, such as {name}/qrels/test.tsv."
            )
        judged = _only(splits[split], f"{name}/qrels")
    judgements = open_csv(judged, f"{name}/qrels/{judged.name}", "\t")
    expected = ("query-id", "corpus-id", "score")
    if judgements.known_names != expected:
        raise UserError(
            f"{judgements.name}:1: the columns are {listed(judgements.known_names or ())}, not "
            f"{listed(expected)}. "
            "Write them so in the first line."
        )

    asked = open_file(queries, f"{name}/{queries.name}")
    documents = open_file(corpus, f"{name}/{corpus.name}")

    def rows(on_problem: OnProblem | None) -> Iterator[tuple[int, list[object]]]:
        corpora = Corpus.read(asked, "_id", "text", None), Corpus.read(documents, "_id", "text", "title")
        yield from judged_rows(*corpora, read_judgements(judgements, expected), judgements)

    return _table(asked.name, asked.place_word, rows)


def _msmarco(folder: Path, name: str, collection: Path) -> Table:
    files = _tsv_files(folder)
    asked_splits, triples, judged = (
        _splits_of(kind, files) for kind in ("queries", "qidpidtriples", "qrels")
    )
    if not asked_splits:
        raise UserError(f"{name}: there is a collection, but no queries.tsv. Add it to the folder.")
    if not (splits := triples or judged):
        raise UserError(
            f"{name}: there is a collection, but neither qidpidtriples*.tsv nor qrels*.tsv. Add one."
        )
    if (split := _training_split(splits)) is None:
        kind = "qidpidtriples" if triples else "qrels"
        raise UserError(
            f"{name}: none of {_file_names(splits)} is the one for training. "
            f"Name it {kind}.{_PREFERRED}.tsv, or leave no other in the folder."
        )
    file = _only(splits[split], name)
    if (of_queries := _queries_split(split, asked_splits)) is None:
        raise UserError(
            f"{name}: no queries for {quoted(file.name)}; there are only {_file_names(asked_splits)}. "
            "Name those that belong to it queries.tsv, or by the same split."
        )
    queries = _only(asked_splits[of_queries], name)
    header = ("qid", "positive", "negative") if triples else ("qid", "iteration", "pid", "score")
    table = open_plain_tsv(file, f"{name}/{file.name}", header)

    def corpora() -> tuple[Corpus, Corpus]:
        named = ("id", "text")
        return (
            Corpus.read(open_plain_tsv(queries, f"{name}/{queries.name}", named), "id", "text", None),
            Corpus.read(open_plain_tsv(collection, f"{name}/{collection.name}", named), "id", "text", None),
        )

    def rows(on_problem: OnProblem | None) -> Iterator[tuple[int, list[object]]]:
        asked, documents = corpora()
        if not triples:
            yield from judged_rows(asked, documents, read_judgements(table, ("qid", "pid", "score")), table)
            return
        for place, (query, positive, negative) in table.rows(header, on_problem):
            try:
                found = [
                    _named(kind, corpus, str(cell))
                    for kind, corpus, cell in (
                        ("query", asked, query),
                        ("document", documents, positive),
                        ("document", documents, negative),
                    )
                ]
            except CellError as problem:
                pass_over(table.name, table.place_word, Problem(place, str(problem)), on_problem)
                continue
            yield place, [found[0]["docid"], found[0]["text"], [found[1]], [found[2]], [False], None]

    return _table(table.name if triples else f"{name}/{queries.name}", table.place_word, rows)


def _tevatron(folder: Path, name: str, corpus: Path) -> Table:
    """Rows that name their documents by ids, and the documents."""
    file = _find(folder, name, _PREFERRED, (*_JSONL, ".parquet"))
    if file is None:
        raise UserError(
            f"{name}: there is a corpus, but neither a folder of judgements (qrels) nor a file of rows "
            f"(train.jsonl). Add one."
        )
    inner = open_file(file, f"{name}/{file.name}")
    listed_documents = open_file(corpus, f"{name}/{corpus.name}")

    def read(choose: Choose, on_problem: OnProblem | None) -> Iterator[Block]:
        documents = _documents(listed_documents)

        def chosen(names: tuple[str, ...]) -> Sequence[str]:
            back = {new: old for old, new in _ID_LISTS.items()}
            wanted = choose(tuple(_ID_LISTS.get(column, column) for column in names))
            return [back.get(column, column) for column in wanted]

        for block in inner.read(chosen, on_problem):
            yield _looked_up(inner, block, documents, on_problem)

    names = inner.known_names
    known = None if names is None else tuple(_ID_LISTS.get(column, column) for column in names)
    return Table(inner.name, inner.place_word, read, known)


def _documents(table: Table) -> Corpus:
    """A corpus whose ids are in a column of one of several names."""
    known = ("docid", "_id", "id", "document_id", "doc_id")
    column = next((name for name in known if name in table.names), None)
    if column is None:
        raise UserError(
            f"{table.name}: no column of ids. The columns are {listed(table.names)}; name one 'docid'."
        )
    return Corpus.read(table, column, "text", "title")


def _looked_up(table: Table, block: Block, documents: Corpus, on_problem: OnProblem | None) -> Block:
    """The rows with documents in the place of ids."""
    places, rows = [], []
    for place, cells in zip(block.places, zip(*block.cells, strict=True), strict=True):
        try:
            rows.append(
                [
                    _documents_of(cell, column, documents) if column in _ID_LISTS else cell
                    for column, cell in zip(block.chosen, cells, strict=True)
                ]
            )
        except CellError as problem:
            pass_over(table.name, table.place_word, Problem(place, str(problem)), on_problem)
            continue
        places.append(place)
    columns = list(zip(*rows, strict=True)) or [()] * len(block.chosen)
    return Block(places, [_ID_LISTS.get(column, column) for column in block.chosen], columns)


def _documents_of(cell: object, column: str, documents: Corpus) -> object:
    if is_blank(cell) or cell == []:
        if _ID_LISTS[column] == "positive_passages":
            raise CellError(f"column {quoted(column)} {_emptiness(cell)}. {NEEDED}")
        return None
    found = []
    for number, item in enumerate(cell if isinstance(cell, list) else [cell], 1):
        if is_blank(item):
            raise CellError(
                f"column {quoted(column)}, item {number} {_emptiness(item)}. Mend or drop the row."
            )
        found.append(_named("document", documents, str(name_of(item, column))))
    return found


def _emptiness(cell: object) -> str:
    return "is an empty list" if isinstance(cell, list) else str(text_problem(cell))


def _named(kind: str, corpus: Corpus, name: str) -> dict[str, Any]:
    (number,) = corpus.numbers([name]).tolist()
    if number < 0:
        raise CellError(f"there is no {kind} {quoted(name)} in {corpus.table.name}. Add it or drop the line.")
    return cell_of(corpus[number].passage)


def read_judgements(table: Table, columns: tuple[str, str, str]) -> Iterator[Judgement]:
    """The judgements of a table, one after another.

    Args:
        table: The table.
        columns: Columns of the query's id, the document's, and the score.

    Yields:
        Judgements.

    Raises:
        UserError: If a score isn't a small whole number.
    """
    for place, (query, document, score) in table.rows(columns):
        try:
            judged = int(str(score))
        except ValueError:
            judged = None
        if judged is None or abs(judged) > HIGHEST_SCORE:
            problem = "not a whole number" if judged is None else f"more than {HIGHEST_SCORE:,}"
            raise UserError(
                f"{table.place(place)}: column {quoted(columns[2])} holds {quoted(score)}, {problem}. "
                "Mend or drop the line."
            )
        yield Judgement(place, str(query), str(document), judged)


def _table(name: str, word: PlaceWord, rows: _CollectedRows) -> Table:
    """A table with the columns `COLUMNS`."""
    return Table(name, word, partial(_blocks, rows), COLUMNS)


def _blocks(rows: _CollectedRows, choose: Choose, on_problem: OnProblem | None) -> Iterator[Block]:
    chosen = choose(COLUMNS)
    positions = [COLUMNS.index(column) for column in chosen]
    every = rows(on_problem)
    while block := list(islice(every, BLOCK_ROWS)):
        cells = list(zip(*(cells for _, cells in block), strict=True))
        yield Block([place for place, _ in block], chosen, [cells[position] for position in positions])


def _tsv_files(folder: Path) -> dict[str, list[Path]]:
    """The .tsv files of a folder by their names without ending: several where a packed one lies beside."""
    files: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if plain_suffix(path) == ".tsv":
            files.setdefault(path.name[: path.name.lower().rindex(".tsv")], []).append(path)
    return files


def _splits_of(kind: str, files: Mapping[str, list[Path]]) -> dict[str, list[Path]]:
    """Those of MS MARCO's files that are of a kind, by their split: ``train`` of ``queries.train``."""
    splits: dict[str, list[Path]] = {}
    for stem, paths in files.items():
        if (match := re.fullmatch(rf"{kind}(?:[._-](.+))?", stem)) is not None:
            splits.setdefault(match[1] or "", []).extend(paths)
    return splits


def _training_split(splits: Mapping[str, list[Path]]) -> str | None:
    """The split to train on, by its name or because there is no other; None if that isn't clear."""
    if _PREFERRED in splits:
        return _PREFERRED
    of_training = [split for split in splits if _PREFERRED in _words(split)]
    return next((among[0] for among in (of_training, list(splits)) if len(among) == 1), None)


def _queries_split(split: str, splits: Mapping[str, list[Path]]) -> str | None:
    """Of which split the queries are that belong to judgements: ``train`` or none of ``train.full.2``."""
    if not split and len(splits) == 1:
        return next(iter(splits))
    fitting = [queries for queries in splits if _words(queries) <= _words(split)]
    return max(fitting, key=lambda queries: len(_words(queries)), default=None)


def _words(split: str) -> set[str]:
    return set(re.findall(r"[^._-]+", split))


def _file_names(splits: Mapping[str, list[Path]]) -> str:
    return listed(path.name for paths in splits.values() for path in paths)


def _only(paths: Sequence[Path], name: str) -> Path:
    """The file of a split, unless there are two that could be it."""
    if len(paths) > 1:
        names = listed(path.name for path in paths)
        raise UserError(f"{name}: {names} are one split twice. Leave one of them in the folder.")
    return paths[0]


def _find(folder: Path, name: str, stem: str, endings: tuple[str, ...]) -> Path | None:
    """The one file of a folder with this stem and one of these endings, packed or not."""
    packed = [ending + packing for ending in endings for packing in ("", *PACKED)]
    found = [path for ending in packed if (path := folder / f"{stem}{ending}").is_file()]
    if len(found) > 1:
        names = listed(path.name for path in found)
        raise UserError(f"{name}: {names} are one file twice. Leave one of them in the folder.")
    return next(iter(found), None)


def _needed(folder: Path, name: str, stem: str, endings: tuple[str, ...]) -> Path:
    if (path := _find(folder, name, stem, endings)) is None:
        raise UserError(f"{name}: there is no {stem}{endings[0]}. Add it to the folder.")
    return path
