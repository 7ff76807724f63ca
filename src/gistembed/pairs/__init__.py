"""Pairs of texts: read, checked, numbered, and split without a leak."""

from gistembed.pairs.columns import Columns, parse_columns, resolve_columns
from gistembed.pairs.pairs import Pairs, Relations, offsets_of
from gistembed.pairs.read import read_pairs
from gistembed.pairs.split import Split, hold_out, without_texts
from gistembed.pairs.texts import Texts

__all__ = [
    "Columns",
    "Pairs",
    "Relations",
    "Split",
    "Texts",
    "hold_out",
    "offsets_of",
    "parse_columns",
    "read_pairs",
    "resolve_columns",
    "without_texts",
]
