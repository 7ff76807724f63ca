"""Writes rows in a format, after looking at whether it has a place for all that they hold."""

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from gistembed.errors import UserError
from gistembed.files import naming_the_place
from gistembed.pairs.rows.cells import kind_of
from gistembed.pairs.rows.row import Passage, Row
from gistembed.pairs.wording import counted, quoted
from gistembed.pairs.writing import beir
from gistembed.pairs.writing.containers import write_records
from gistembed.pairs.writing.formats import layout_of
from gistembed.pairs.writing.further import copied_names
from gistembed.pairs.writing.layouts import Layout, Record
from gistembed.pairs.writing.place import check_out
from gistembed.pairs.writing.shape import Shape, by_role, held_by

_OPEN = ("column", "positive key", "negative key")


def write_rows(
    rows: Iterable[Row],
    path: Path,
    *,
    format: str = "pairs",
    lossy: bool = False,
    on_renamed: Callable[[str, str], None] = lambda old, new: None,
) -> int:
    """Write rows to a new file or folder, whole or not at all.

    A further column whose name tells a role gets another name; see `copied_names`.

    Args:
        rows: The rows.
        path: A file whose ending tells its kind (.jsonl, .csv or .tsv, also with .gz or .zst; .parquet or
            .arrow), or a folder for ``beir``.
        format: One of `FORMATS`.
        lossy: Leave out what the format has no place for, instead of refusing.
        on_renamed: Called with the old and the new name of each further column that gets another one.

    Returns:
        How many rows were written.

    Raises:
        UserError: If `check_out` refuses the place, or something that rows hold would be lost.
        OSError: If the disk refuses; nothing is left behind.
    """
    check_out(path, format)
    layout = layout_of(path, format)
    holds = beir.HOLDS if layout is None else layout.holds
    with _again(rows, partial(_writable, path, holds)) as every:
        count, shape, lost = _look(every(), holds, layout)
        if not count:
            raise UserError(f"{path}: there are no rows to write")
        if lost and not lossy:
            what = ", ".join(f"{name} ({counted(rows, 'row')})" for name, rows in sorted(lost.items()))
            raise UserError(
                f"{path}: {format} has no place for {what}; choose another format, or leave it out with "
                "--lossy"
            )
        if layout is None:
            beir.write_beir(every, path)
        else:
            names = copied_names(shape.columns) if "column" in holds else {}
            write_records(partial(_records, every, layout, shape, names), path, header=format != "triples")
            for old, new in names.items():
                if new != old:
                    on_renamed(old, new)
    return count


def _records(
    rows: Callable[[], Iterator[Row]], layout: Layout, shape: Shape, names: Mapping[str, str]
) -> Iterator[Record]:
    """The records of all rows; further columns are those that have a name."""
    for row in rows():
        extra = {names[name]: cell for name, cell in row.extra.items() if name in names}
        yield from layout.records(row._replace(extra=extra), shape)


def _look(
    rows: Iterator[Row], holds: frozenset[str], layout: Layout | None
) -> tuple[int, Shape, Counter[str]]:
    shape, lost, count = Shape(), Counter[str](), 0
    for row in rows:
        count += 1
        shape.see(row)
        lost.update(name for name in set(held_by(row)) if name not in holds and not _is_open(name, holds))
        lost.update(set(beir.lost(row) if layout is None else layout.lost(row)))
    return count, shape, lost


def _is_open(name: str, holds: frozenset[str]) -> bool:
    """Whether it is one of a kind of which any name will do."""
    return any(kind in holds and name.startswith(f"{kind} ") for kind in _OPEN)


@contextmanager
def _again(
    rows: Iterable[Row], writable: Callable[[Iterable[Row]], Iterator[Row]]
) -> Iterator[Callable[[], Iterator[Row]]]:
    """Rows that can be gone through more than once; those that can't by themselves wait in a file."""
    if isinstance(rows, Sequence):
        yield partial(writable, rows)
        return
    folder = tempfile.gettempdir()
    with (
        naming_the_place(folder),
        tempfile.TemporaryFile("w+", encoding="utf-8", newline="\n", dir=folder) as file,
    ):
        for row in writable(rows):
            file.write(json.dumps(row._replace(extra=dict(row.extra)), ensure_ascii=False) + "\n")

        def read() -> Iterator[Row]:
            file.seek(0)
            for line in file:
                anchor, positives, negatives, *others = json.loads(line)
                yield Row(
                    Passage(*anchor),
                    tuple(Passage(*one) for one in positives),
                    tuple(Passage(*one) for one in negatives),
                    *others,
                )

        yield read


def _writable(path: Path, holds: frozenset[str], rows: Iterable[Row]) -> Iterator[Row]:
    """The rows whose further columns and keys can be written; of those that are left out, only the names."""
    for number, row in enumerate(rows, 1):
        if row.extra or any(passage.extra for _, passages in by_role(row) for passage in passages):
            check = partial(_writable_cells, where=f"{path}: row {number} of those to write")
            texts = {
                role: tuple(
                    passage._replace(extra=check("key", passage.extra or {}, f"{role} key" in holds) or None)
                    for passage in passages
                )
                for role, passages in by_role(row)
            }
            (anchor,) = texts["anchor"]
            extra = check("column", row.extra, "column" in holds)
            row = row._replace(
                anchor=anchor, positives=texts["positive"], negatives=texts["negative"], extra=extra
            )
        yield row


def _writable_cells(word: str, cells: Mapping[str, object], held: bool, *, where: str) -> dict[str, object]:
    """What stands in further columns or keys if it can be written; only the names if it is left out."""
    if not held:
        return dict.fromkeys(cells)
    for name, cell in cells.items():
        _refuse_unwritable(cell, word, name, where)
    return dict(cells)


def _refuse_unwritable(cell: object, word: str, name: str, where: str) -> None:
    """Refuse what not every format has a place for."""
    try:
        json.dumps({name: cell}, ensure_ascii=False).encode()
        return
    except UnicodeEncodeError:
        problem = "half a surrogate pair"
    except RecursionError:
        problem = "lists or objects that are nested too deeply"
    except (TypeError, ValueError):
        problem = f"{kind_of(cell)}, which can't be converted"
    raise UserError(
        f"{where}: {word} {quoted(name)} holds {problem}. Write it as text, or take the {word} out."
    )
