"""Pairs of texts: read, checked, numbered, and split without a leak."""

from gistembed.pairs.columns import Columns, parse_columns, resolve_columns
from gistembed.pairs.pairs import Pairs, Relations, offsets_of
from gistembed.pairs.read import read_pairs
from gistembed.pairs.rows import Passage, Row
from gistembed.pairs.split import Split, hold_out, without_texts
from gistembed.pairs.stream import Problem, read_rows
from gistembed.pairs.texts import Texts
from gistembed.pairs.write import write_rows

__all__ = [
    "Columns",
    "Pairs",
    "Passage",
    "Problem",
    "Relations",
    "Row",
    "Split",
    "Texts",
    "hold_out",
    "offsets_of",
    "parse_columns",
    "read_pairs",
    "read_rows",
    "resolve_columns",
    "without_texts",
    "write_rows",
]
