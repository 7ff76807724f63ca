"""Pairs of texts: read, checked, numbered, and split without a leak."""

from gistembed.pairs.grades import Grades
from gistembed.pairs.join import join_pairs
from gistembed.pairs.names import Names
from gistembed.pairs.opening import open_table
from gistembed.pairs.pairs import Pairs, Relations, offsets_of
from gistembed.pairs.read import read_pairs
from gistembed.pairs.rows.columns import Columns, parse_columns, resolve_columns
from gistembed.pairs.rows.row import Passage, Row
from gistembed.pairs.same import normalised, same_texts
from gistembed.pairs.sources.table import Problem
from gistembed.pairs.split import Split, hold_out, without_texts
from gistembed.pairs.stream import read_rows
from gistembed.pairs.texts import Texts
from gistembed.pairs.writing import FORMATS, check_new, check_out, write_rows

__all__ = [
    "FORMATS",
    "Columns",
    "Grades",
    "Names",
    "Pairs",
    "Passage",
    "Problem",
    "Relations",
    "Row",
    "Split",
    "Texts",
    "check_new",
    "check_out",
    "hold_out",
    "join_pairs",
    "normalised",
    "offsets_of",
    "open_table",
    "parse_columns",
    "read_pairs",
    "read_rows",
    "resolve_columns",
    "same_texts",
    "without_texts",
    "write_rows",
]
