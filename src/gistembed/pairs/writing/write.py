"""Writes rows in a format, after looking at whether it has a place for all that they hold."""

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from gistembed.errors import UserError
from gistembed.pairs.rows.cells import kind_of
from gistembed.pairs.rows.row import Passage, Row
from gistembed.pairs.wording import counted, quoted
from gistembed.pairs.writing import beir
from gistembed.pairs.writing.containers import write_records
from gistembed.pairs.writing.formats import layout_of
from gistembed.pairs.writing.layouts import Layout, Record
from gistembed.pairs.writing.place import check_out
from gistembed.pairs.writing.shape import Shape, held_by


def write_rows(rows: Iterable[Row], path: Path, *, format: str = "pairs", lossy: bool = False) -> int:
    """Write rows to a new file or folder, whole or not at all.

    Args:
        rows: The rows.
        path: A file whose ending tells its kind (.jsonl, .csv or .tsv, also with .gz or .zst; .parquet or
            .arrow), or a folder for ``beir``.
        format: One of `FORMATS`.
        lossy: Leave out what the format has no place for, instead of refusing.

    Returns:
        How many rows were written.

    Raises:
        UserError: If `check_out` refuses the place, or something that rows hold would be lost.
        OSError: If the disk refuses; nothing is left behind.
    """
    check_out(path, format)
    layout = layout_of(path, format)
    holds = beir.HOLDS if layout is None else layout.holds
    with _again(rows, partial(_writable, path, "column" in holds)) as every:
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
            write_records(partial(_records, every, layout, shape), path, header=format != "triples")
    return count


def _records(rows: Callable[[], Iterator[Row]], layout: Layout, shape: Shape) -> Iterator[Record]:
    further = "column" in layout.holds
    for row in rows():
        yield from layout.records(row if further else row._replace(extra={}), shape)


def _look(
    rows: Iterator[Row], holds: frozenset[str], layout: Layout | None
) -> tuple[int, Shape, Counter[str]]:
    shape, lost, count = Shape(), Counter[str](), 0
    for row in rows:
        count += 1
        shape.see(row)
        lost.update(name for name in set(held_by(row)) if name not in holds and not _is_column(name, holds))
        if layout is not None:
            lost.update(set(layout.lost(row)))
        elif any(not passage.trusted for passage in row.negatives):
            lost["that nobody judged a negative"] += 1
    return count, shape, lost


def _is_column(name: str, holds: frozenset[str]) -> bool:
    return name.startswith("column ") and "column" in holds


@contextmanager
def _again(
    rows: Iterable[Row], writable: Callable[[Iterable[Row]], Iterator[Row]]
) -> Iterator[Callable[[], Iterator[Row]]]:
    """Rows that can be gone through more than once; those that can't by themselves wait in a file."""
    if isinstance(rows, Sequence):
        yield partial(writable, rows)
        return
    with tempfile.TemporaryFile("w+", encoding="utf-8", newline="\n") as file:
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


def _writable(path: Path, further: bool, rows: Iterable[Row]) -> Iterator[Row]:
    """The rows whose further columns can be written; of columns that are left out, only the names."""
    for number, row in enumerate(rows, 1):
        if not further:
            yield row._replace(extra=dict.fromkeys(row.extra))
            continue
        for column, cell in row.extra.items():
            _refuse_unwritable(cell, column, f"{path}: row {number} of those to write")
        yield row


def _refuse_unwritable(cell: object, column: str, where: str) -> None:
    """Refuse what stands in a further column if not every format has a place for it."""
    try:
        json.dumps({column: cell}, ensure_ascii=False).encode()
        return
    except UnicodeEncodeError:
        problem = "half a surrogate pair"
    except RecursionError:
        problem = "lists or objects that are nested too deeply"
    except (TypeError, ValueError):
        problem = f"{kind_of(cell)}, which can't be converted"
    raise UserError(
        f"{where}: column {quoted(column)} holds {problem}. Write it as text, or take the column out."
    )
