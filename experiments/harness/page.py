"""Puts the tables into docs/experiments.md, each between two marks that name it."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path

_HERE = Path(__file__).parents[2]
RESULTS = _HERE / "experiments" / "results"
PAGE = _HERE / "docs" / "experiments.md"

_MARK = "<!-- table: {name} -->"
_END = "<!-- end -->"


def with_tables(page: str, results: Path) -> str:
    """The page with every table as the results have it now.

    Args:
        page: The page's text.
        results: Folder of the tables.
    """

    def table(found: re.Match[str]) -> str:
        name = found[1]
        path = results / f"{name}.csv"
        body = markdown(path) if path.exists() else "Not run yet."
        return f"{_MARK.format(name=name)}\n{body}\n{_END}"

    pattern = _MARK.format(name=r"([\w-]+)") + r".*?" + _END
    return re.sub(pattern, table, page, flags=re.DOTALL)


def markdown(path: Path) -> str:
    """A table as Markdown, with the ends of an interval beside its mean."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    columns = [name for name in rows[0] if not name.endswith(("_low", "_high"))]
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for row in rows:
        lines.append("| " + " | ".join(_cell(row, name) for name in columns) + " |")
    return "\n".join(lines)


def refresh(page: Path = PAGE, results: Path = RESULTS) -> None:
    """Write the tables into the page."""
    page.write_text(with_tables(page.read_text(encoding="utf-8"), results), encoding="utf-8")


def _cell(row: dict[str, str], name: str) -> str:
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    return f"{row[name]} [{low}, {high}]" if low and high else row[name]


def tables_of(page: str) -> Sequence[str]:
    """Names of the tables that a page has."""
    return re.findall(_MARK.format(name=r"([\w-]+)"), page)
