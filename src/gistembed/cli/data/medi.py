"""``gistembed data medi``: the MEDI archive as rows, with or without what a guide disagrees with."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gistembed.cli.data.encoding import encoded
from gistembed.cli.data.renamed import and_renamed
from gistembed.cli.options import AsJson, Out, Quiet, Store

if TYPE_CHECKING:
    from gistembed.console import Console
    from gistembed.guide import GuideVectors, TextsByRole
    from gistembed.pairs import Problem, Row

_MEGABYTE = 10**6


def medi(
    archive: Annotated[Path, typer.Argument(help="medi-data.zip, or the medi-data.json in it.")],
    out: Out,
    guide: Annotated[
        str | None, typer.Option(help="Leave out triplets whose negative this guide finds more similar.")
    ] = None,
    concat: Annotated[
        list[Path] | None, typer.Option(help="Rows to write after those of MEDI, such as those of mtebcls.")
    ] = None,
    skip_malformed: Annotated[
        bool, typer.Option("--skip-malformed", help="Leave out records of another form, and name each.")
    ] = False,
    store: Store = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Turn the MEDI archive into rows, with each text's instruction and each row's task.

    It is read from start to end, never held in memory, and not unpacked to disk.
    """
    from gistembed.console import Console
    from gistembed.pairs import check_out, write_rows

    console = Console(quiet=quiet or as_json)
    check_out(out)
    build = _Build(archive, guide, skip_malformed, store, console)
    appended = {path: _Appended(path) for path in concat or []}

    def rows() -> "Iterator[Row]":
        yield from build.rows()
        for one in appended.values():
            yield from one.rows()

    renamed: dict[str, str] = {}
    count = write_rows(rows(), out, on_renamed=renamed.__setitem__)
    found = {
        "file": str(out),
        "rows": count,
        "records": build.records,
        "malformed": [{"record": one.place, "problem": one.text} for one in build.malformed],
        "filtered": build.filtered,
        "concatenated": {str(path): one.count for path, one in appended.items()},
        "renamed": renamed,
    }
    line = _line(build, appended, count, out) + and_renamed(renamed)
    typer.echo(json.dumps(found, ensure_ascii=False) if as_json else line)


@dataclass
class _Build:
    """The rows of the archive, and what was left out of them so far."""

    archive: Path
    guide: str | None
    skip_malformed: bool
    store: Path | None
    console: "Console"
    records: int = 0
    filtered: int = 0
    malformed: "list[Problem]" = field(default_factory=list)

    def rows(self) -> "Iterator[Row]":
        from gistembed.build import agreed_rows, size_of
        from gistembed.errors import UserError
        from gistembed.pairs.wording import counted

        if self.guide is None:
            size = size_of(self.archive)
            with self.console.stage("read MEDI, MB", _megabytes(size)) as progress:
                for _, row in self._read(_in_megabytes(progress)):
                    yield row
        else:
            read = self._read(lambda count: None)
            yield from agreed_rows(read, self._encode, self._place, on_left_out=self._filter)
        if self.records == self.filtered + len(self.malformed):
            raise UserError(
                f"{self._name}: no row is left of {counted(self.records, 'record')}; left out: "
                f"{len(self.malformed):,} malformed, {self.filtered:,} that the guide disagrees with."
            )

    def _read(self, on_bytes: Callable[[int], None]) -> "Iterator[tuple[int, Row]]":
        from gistembed.build import read_medi

        on_problem = self._skip if self.skip_malformed else None
        for number, row in read_medi(self.archive, on_problem=on_problem, on_bytes=on_bytes):
            self.records += 1
            yield number, row

    def _skip(self, problem: "Problem") -> None:
        self.records += 1
        self.malformed.append(problem)
        self.console.warn(f"{self._place(problem.place)}: {problem.text}")

    def _filter(self, count: int) -> None:
        self.filtered += count

    def _encode(self, texts: "TextsByRole") -> "GuideVectors":
        assert self.guide is not None
        return encoded(self.guide, self.store, texts, self.console)

    def _place(self, number: int) -> str:
        return f"{self._name}: record {number}"

    @property
    def _name(self) -> str:
        from gistembed.pairs.wording import one_line

        return one_line(str(self.archive))


class _Appended:
    """The rows of a file that follow those of MEDI; it is opened before the long work."""

    def __init__(self, path: Path) -> None:
        from gistembed.pairs import read_rows

        self.count = 0
        self._rows = read_rows(path)
        self._first = next(self._rows, None)

    def rows(self) -> "Iterator[Row]":
        if self._first is not None:
            self.count += 1
            yield self._first[1]
        for _, row in self._rows:
            self.count += 1
            yield row


def _in_megabytes(progress: Callable[[int], None]) -> Callable[[int], None]:
    """Progress in bytes, for a bar in megabytes."""
    done = 0

    def add(count: int) -> None:
        nonlocal done
        progress(_megabytes(done + count) - _megabytes(done))
        done += count

    return add


def _megabytes(count: int) -> int:
    """Bytes in megabytes, of which the last may be begun only, so that small files have a bar too."""
    return -(-count // _MEGABYTE)


def _line(build: _Build, appended: dict[Path, _Appended], count: int, out: Path) -> str:
    from gistembed.pairs.wording import counted

    added = "".join(
        f"; {counted(one.count, 'row')} of {path} follow{'s' * (one.count == 1)}"
        for path, one in appended.items()
    )
    return (
        f"{counted(build.records, 'record')}; left out: {len(build.malformed):,} malformed, "
        f"{build.filtered:,} that the guide disagrees with{added}\n{counted(count, 'row')} in {out}"
    )
